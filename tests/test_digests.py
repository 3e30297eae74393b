import hashlib
import shutil

import pytest

from halfseen.digests import code_digest, content_digest

PROJECT = {
    "script.py": '''\
"""Do it."""

import numpy
from tiny.steps import run

print(run(numpy.pi))
''',
    "tiny/__init__.py": "LEVEL = 1\n",
    "tiny/steps.py": '''\
"""Steps."""

from tiny import constants


def run(x):
    """Run."""
    from tiny.deep.inner import twice

    return twice(x) + constants.ONE  # a sum
''',
    "tiny/constants.py": "ONE = 1\n",
    "tiny/deep/__init__.py": '"""Deep."""\n',
    "tiny/deep/inner.py": """\
import tiny.deep.models as models


def twice(x):
    return models.Doubler.factor * x
""",
    "tiny/deep/models.py": '''\
from tiny.steps import *


class Doubler:
    """Doubles."""

    factor = 2
''',
    "tiny/unrelated.py": "TWO = 2\n",
}


@pytest.fixture
def digest_with(tmp_path):
    """The digest of the project's script after the replacements {file: (old, new)}.

    Every call writes a folder of its own: a process may assume that its code does not change.
    """

    def digest(edits=None):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in PROJECT.items():
            old, new = (edits or {}).get(name, ("", ""))
            assert old in text
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace(old, new) if old else new + text)
        return code_digest(folder / "script.py", package=folder / "tiny")

    return digest


def test_a_digest_is_16_hex_digits_and_does_not_depend_on_the_folder(digest_with):
    assert int(digest_with(), 16) >= 0
    assert len(digest_with()) == 16
    assert digest_with() == digest_with()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("script.py", '"""Do it."""', '"""Do something else."""'),
        ("script.py", '"""Do it."""\n', ""),
        ("script.py", "print(run(numpy.pi))", "print(\n    run(numpy.pi),\n)  # the answer"),
        ("tiny/steps.py", "# a sum", "# a total"),
        ("tiny/steps.py", '    """Run."""\n', ""),
        ("tiny/steps.py", '"""Run."""', '"""Runs.\n\n    Slowly.\n    """'),
        ("tiny/deep/__init__.py", '"""Deep."""\n', ""),
        ("tiny/deep/models.py", '    """Doubles."""\n\n', ""),
        ("tiny/unrelated.py", "TWO = 2", "TWO = 3"),
        ("tiny/unrelated.py", "TWO = 2", "from . import steps"),
    ],
)
def test_comments_docstrings_formatting_and_unrelated_modules_do_not_count(
    digest_with, file, old, new
):
    assert digest_with({file: (old, new)}) == digest_with()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("script.py", "numpy.pi", "numpy.e"),
        ("script.py", "print", "str"),
        ("tiny/__init__.py", "LEVEL = 1", "LEVEL = 2"),
        ("tiny/steps.py", "+ constants", "- constants"),
        ("tiny/constants.py", "ONE = 1", "ONE = 1.0"),
        ("tiny/deep/__init__.py", "", "import numpy\n"),
        ("tiny/deep/inner.py", "factor * x", "factor * (x)**2"),
        ("tiny/deep/models.py", "factor = 2", "factor = '2'"),
    ],
)
def test_code_counts_in_the_script_and_in_all_that_it_imports(digest_with, file, old, new):
    assert digest_with({file: (old, new)}) != digest_with()


def test_all_edits_of_code_have_different_digests(digest_with):
    edits = [{"tiny/constants.py": ("1", str(number))} for number in range(2, 12)]
    assert len({digest_with(edit) for edit in edits}) == len(edits)


@pytest.mark.parametrize("statement", ["from . import constants", "from .deep import inner"])
def test_a_relative_import_is_refused_with_its_place(digest_with, statement):
    with pytest.raises(ValueError, match=r"steps.py line 3 has a relative import; name the module"):
        digest_with({"tiny/steps.py": ("from tiny import constants", statement)})


def test_every_script_of_the_workflow_has_a_digest_that_its_imports_decide(root, tmp_path):
    scripts = sorted((root / "workflow/scripts").glob("*.py"))
    package = shutil.copytree(root / "workflow/halfseen", tmp_path / "halfseen")
    assert [code_digest(script, package) for script in scripts] == list(map(code_digest, scripts))
    changed = shutil.copytree(root / "workflow/halfseen", tmp_path / "changed" / "halfseen")
    with open(changed / "logs.py", "a") as logs:  # what every script imports
        logs.write("CHANGED = True\n")
    assert all(code_digest(script, changed) != code_digest(script) for script in scripts)


def test_the_digest_of_a_value_is_that_of_its_sorted_json():
    value = {"b": [True, None, 1.5, "ü"], "a": {"d": 1, "c": 2}}
    text = '{"a": {"c": 2, "d": 1}, "b": [true, null, 1.5, "\\u00fc"]}'
    assert content_digest(value) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_order_of_keys_does_not_count_but_that_of_a_list_does():
    assert content_digest({"a": 1, "b": 2}) == content_digest({"b": 2, "a": 1})
    assert content_digest([1, 2]) != content_digest([2, 1])


def test_nan_has_no_digest():
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_digest({"fill": float("nan")})
