"""The profiles of Snakemake; tests/test_slurm.py runs them on a Slurm."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml
from workflow_copy import Study

# Slurm is asked for nothing in a dry run, so these need none.


def profile(root, name):
    return yaml.safe_load((root / f"workflow/profiles/{name}/config.yaml").read_text())


def rule_blocks(root):
    """{rule: its text}"""
    text = "\n".join(path.read_text() for path in sorted((root / "workflow/rules").glob("*.smk")))
    blocks = re.split(r"^(?=rule )", text, flags=re.MULTILINE)[1:]
    return {re.match(r"rule (\w+)", block).group(1): block for block in blocks}


@pytest.mark.parametrize("name", ["slurm", "slurm-gpu"])
def test_a_named_profile_says_what_the_default_one_says_whose_place_it_takes(root, name):
    default = profile(root, "default")
    del default["cores"]  # of this machine, which submits
    assert profile(root, name).items() >= default.items()


def run_without_cores(root, folder, *arguments):
    """What Snakemake prints that runs the study of a minute, its cores left to a profile."""
    shutil.copy(root / "tests/study/config.yaml", folder)
    command = [sys.executable, "-m", "snakemake", "--snakefile", root / "Snakefile"]
    command += ["--directory", folder, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_command_without_a_number_of_cores_runs(root, tmp_path):
    assert "Every file is needed" in run_without_cores(root, tmp_path, "clean")


def test_a_rule_gets_as_many_threads_as_its_profile_says_if_its_cores_are_as_many(root, tmp_path):
    settings = profile(root, "slurm") | {"cores": 8, "set-threads": {"fit_probes": 8}}
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm/config.yaml").write_text(yaml.safe_dump(settings))
    arguments = ["--dry-run", "--workflow-profile", tmp_path / "slurm"]
    output = run_without_cores(root, tmp_path, *arguments, "--until", "fit_probes")
    (block,) = re.findall(r"^rule fit_probes:\n(?: .*\n)*", output, flags=re.MULTILINE)
    assert "threads: 8\n" in block


def test_with_gpus_the_profile_of_slurm_differs_by_what_gets_one(root):
    with_gpus = profile(root, "slurm-gpu")
    resources = with_gpus.pop("set-resources")
    assert with_gpus == profile(root, "slurm")
    assert set(resources) == {"build_shard", "extract_features", "extract_part"}
    assert all(row == {"slurm_partition": "gpu", "gpu": 1} for row in resources.values())


def test_a_profile_names_rules_that_there_are(root):
    settings = profile(root, "slurm-gpu")
    assert rule_blocks(root).keys() >= settings["groups"].keys() | settings["set-resources"].keys()
    assert settings["group-components"].keys() == set(settings["groups"].values())


def test_no_rule_repeats_itself_inside_of_its_allocation(root):
    assert [name for name, block in rule_blocks(root).items() if "retries:" in block] == []


def test_what_a_rule_asks_of_slurm_grows_with_every_attempt(root):
    asked = re.compile(r"^        (?:mem_mb|runtime)=(.*),$", flags=re.MULTILINE)
    values = [value for block in rule_blocks(root).values() for value in asked.findall(block)]
    assert len(values) > 10
    assert {value.partition("(")[0] for value in values} == {"memory", "minutes"}
    assert all("attempt" in value for value in profile(root, "slurm")["default-resources"].values())


def test_the_networks_get_a_gpu_and_small_jobs_a_common_submission(root, tmp_path):
    shutil.copy(root / "tests/study/config.yaml", tmp_path)
    profile = root / "workflow/profiles/slurm-gpu"
    output = Study(root, tmp_path).run("--dry-run", "--workflow-profile", profile)
    resources = dict(
        re.findall(r"^ *rule (\w+):\n(?: .*\n)*? *resources: (.*)$", output, flags=re.MULTILINE)
    )
    assert {name for name, row in resources.items() if "gpu=1" in row} == {
        "build_shard",
        "extract_features",
    }
    assert "mem_mb=4000," in resources["build_shard"]
    assert "mem_mb=2000," in resources["plot_variants"]
    groups = re.findall(r"Group job (\w+) ", output)
    assert sorted(set(groups)) == ["analyses", "comparisons", "figures", "manifests"]
