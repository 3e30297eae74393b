"""The recipes of both containers are read here, and never built: no engine was within reach."""

import json
import os
import re
import shutil
import subprocess

import pytest

SECTIONS = {"arguments", "files", "post", "environment", "runscript", "test", "labels", "help"}


@pytest.fixture(scope="module")
def dockerfile(root):
    """[(instruction, argument)], continued lines joined."""
    text = (root / "envs/Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


@pytest.fixture(scope="module")
def definition(root):
    """({key: value} of the header, {section: its lines}) of Apptainer's definition."""
    text = (root / "envs/halfseen.def").read_text()
    header, *parts = re.split(r"^%", text, flags=re.MULTILINE)
    keys = dict(re.findall(r"^(\w+): (.+)$", header, flags=re.MULTILINE))
    sections = {part.split("\n", 1)[0]: part.split("\n", 1)[1] for part in parts}
    return keys, {
        name: [line.strip() for line in body.splitlines() if line.strip()]
        for name, body in sections.items()
    }


def of(dockerfile, name):
    return [argument for instruction, argument in dockerfile if instruction == name]


def test_hadolint_finds_nothing(root):
    if not shutil.which("hadolint"):
        pytest.skip("hadolint is not there; it is no dependency, since it is under the GPL")
    done = subprocess.run(["hadolint", root / "envs/Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_definition_has_known_sections_once_and_what_a_build_needs(root, definition):
    keys, sections = definition
    names = re.findall(r"^%(\w+)", (root / "envs/halfseen.def").read_text(), flags=re.MULTILINE)
    assert sorted(names) == sorted(SECTIONS)
    assert keys["Bootstrap"] == "docker"
    arguments = {line.split("=")[0] for line in sections["arguments"]}
    assert arguments == set(re.findall(r"{{ (\w+) }}", "\n".join(sections["post"])))
    for name in ("post", "environment", "runscript", "test"):
        script = "\n".join(sections[name])
        assert subprocess.run(["sh", "-n"], input=script, text=True).returncode == 0, name


def test_both_containers_start_from_one_image_and_the_environments_python(dockerfile, definition):
    (image,) = of(dockerfile, "FROM")
    assert definition[0]["From"] == image
    assert image.startswith("python:3.11-")


def test_both_hold_the_same_files_and_each_of_them_is_there(root, dockerfile, definition):
    copied = {name for line in of(dockerfile, "COPY") for name in line.split()[:-1]}
    listed = dict(line.split() for line in definition[1]["files"])
    assert listed.keys() == copied
    assert all((root / name).exists() for name in copied)
    assert all(target == f"/opt/halfseen/{name}" for name, target in listed.items())
    kept = re.findall(r"^!(.+)$", (root / "envs/Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert set(kept) == copied


def test_both_hold_all_that_a_run_reads(dockerfile):
    copied = {name for line in of(dockerfile, "COPY") for name in line.split()[:-1]}
    # as tests/workflow_copy.py, whose copies run
    assert copied >= {"Snakefile", "config.yaml", "workflow", "envs"}
    assert any(
        "ln -s workflow/profiles /opt/halfseen/profiles" in run for run in of(dockerfile, "RUN")
    )


def test_both_run_snakemake_on_the_working_directory(dockerfile, definition):
    (entry,) = of(dockerfile, "ENTRYPOINT")
    command = json.loads(entry)
    assert command == ["snakemake", "--snakefile", "/opt/halfseen/Snakefile"]
    assert definition[1]["runscript"] == [f'exec {" ".join(command)} "$@"']


def test_torch_is_chosen_by_one_variable_in_one_script(root, dockerfile, definition):
    assert of(dockerfile, "ARG") == ["TORCH_INDEX=lock"]
    assert definition[1]["arguments"] == ["TORCH_INDEX=lock"]
    assert "TORCH_INDEX ?= lock" in (root / "Makefile").read_text()
    for recipe in ("Makefile", "envs/Dockerfile", "envs/halfseen.def"):
        text = (root / recipe).read_text()
        assert len(re.findall(r"sh \S*envs/install_packages\.sh \S*python\b", text)) == 1, recipe
        assert "pip install " not in text, recipe


@pytest.fixture
def install(root, tmp_path):
    """A function that runs the script with a Python that only says how it was called."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)

    def run(**variables):
        environment = {key: os.environ[key] for key in os.environ if key != "TORCH_INDEX"}
        command = ["sh", root / "envs/install_packages.sh", python]
        done = subprocess.run(command, env=environment | variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


@pytest.mark.parametrize("variables", [{}, {"TORCH_INDEX": "lock"}])
def test_the_lock_file_s_packages_are_held_to_their_hashes(root, install, variables):
    (only,) = install(**variables)
    assert only.startswith("-m pip install --quiet --require-hashes --requirement ")
    lock = only.split()[-1]
    assert os.path.samefile(lock, root / "requirements.lock")


def test_another_build_of_torch_is_of_the_locked_version(root, install):
    first, second = install(TORCH_INDEX="http://index.example/rocm")
    versions = dict(
        re.findall(
            r"^(torch|torchvision)==([^ ;\\]+)",
            (root / "requirements.lock").read_text(),
            flags=re.MULTILINE,
        )
    )
    assert "--require-hashes" in first
    assert second == (
        "-m pip install --quiet --force-reinstall --no-deps --index-url http://index.example/rocm"
        f" torch=={versions['torch']} torchvision=={versions['torchvision']}"
    )
