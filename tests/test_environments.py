import re
import tomllib

import pytest
import yaml


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
