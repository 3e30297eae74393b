import subprocess

import pytest

from halfseen.commits import commit_of


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
