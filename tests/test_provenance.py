import subprocess

import h5py
import numpy as np
import pytest
import yaml

from halfseen.provenance import commit_of, config_text, files_made, package_versions


def git(folder, *arguments):
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("a")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message", "One")
    git(tmp_path, "tag", "--annotate", "v1", "--message", "v1")
    return tmp_path


def test_the_commit_is_told_in_full_whatever_tags_there_are(repository):
    head = (repository / ".git" / (repository / ".git/HEAD").read_text().split()[1]).read_text()
    assert commit_of(repository) == head.strip()


def test_an_edit_that_is_not_committed_is_told(repository):
    (repository / "file").write_text("b")
    assert commit_of(repository).endswith("-dirty")


def test_a_folder_that_is_no_repository_has_no_commit_even_within_one(repository):
    inside = repository / "inside"
    inside.mkdir()
    assert commit_of(inside) is None


def test_without_git_there_is_no_commit(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit_of(repository) is None


def test_a_configuration_is_told_in_its_order_and_without_references():
    mean = [0.5, 0.25]
    config = {"z": {"mean": mean}, "a": {"mean": mean, "name": "é"}}
    text = config_text(config)
    assert text.index("z:") < text.index("a:")
    assert "é" in text
    assert "&" not in text
    assert yaml.safe_load(text) == config


def test_versions_are_those_of_the_installed_packages_and_others_are_left_out():
    assert package_versions(["numpy", "no-such-package"]) == {"numpy": np.__version__}


def test_files_tell_their_code_seed_and_weights_and_equal_shards_once(tmp_path):
    said = {
        "shards/d/0.h5": '{"code": "c1", "seed": 3, "weights_sha256": "aa", "source": {}}',
        "shards/d/1.h5": '{"code": "c1", "seed": 3, "weights_sha256": "aa", "source": {}}',
        "shards/d/2.h5": '{"code": "c2", "seed": 3}',
        "features/d/m.h5": '{"code": "c3", "seed": 3, "model": {"sha256": "bb"}}',
        "features/d/n.h5": '{"code": "c3", "seed": 3, "model": {"sha256": null}}',
    }
    for name, text in said.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs["made_by"] = text
    paths = [tmp_path / name for name in said]
    made = files_made(paths[:3], paths[3:])
    assert [(row["dataset"], row["model"], row["code"], row["sha256"]) for row in made] == [
        ("d", None, "c1", "aa"),
        ("d", None, "c2", None),
        ("d", "m", "c3", "bb"),
        ("d", "n", "c3", None),
    ]
