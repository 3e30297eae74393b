"""Which code counts for a result: what its script reaches by name, and nothing else."""

import shutil

import pytest

from halfseen.study.code import PACKAGE, Code

PROJECT = {
    "script.py": '''\
"""Do it."""

import numpy
from tiny.steps import run

print("begun")
run(numpy.pi)
''',
    "tiny/__init__.py": "",
    "tiny/steps.py": '''\
"""Steps."""

import numpy as np
from tiny import constants
from tiny.progress import shown

np.seterr(all="raise")
UNUSED = 1


def run(x: float, kind="plain") -> float:
    """Run."""
    from tiny.deep.inner import twice

    if x < 0:
        raise ValueError(f"x is {x}{_comma(x)}")
    with shown(x):
        return KINDS[kind](twice(x) + constants.ONE)  # a sum


def _comma(x):
    return ","


def plain(x):
    return x


def fancy(x):
    return x * constants.TWO


KINDS = {"plain": plain, "fancy": fancy} | {"late": lambda x: plain(x)}
''',
    "tiny/constants.py": "ONE = 1\nTWO: int = 2\n",
    "tiny/progress.py": "def shown(x):\n    return x\n",
    "tiny/deep/__init__.py": '"""Deep."""\n',
    "tiny/deep/inner.py": """\
import tiny.deep.models as models


def twice(x):
    return models.Doubler.factor * x
""",
    "tiny/deep/models.py": '''\
from tiny.constants import ONE


class Doubler:
    """Doubles."""

    factor = 2


def other():
    return ONE
''',
}
PLAIN, FANCY = "tiny.steps.KINDS[plain]", "tiny.steps.KINDS[fancy]"


@pytest.fixture
def code_with(tmp_path):
    """The Code of the project after the replacements {file: (old, new)}, and its script."""

    def code(edits=None):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in PROJECT.items():
            old, new = (edits or {}).get(name, ("", ""))
            assert old in text
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace(old, new) if old else new + text)
        made = Code(folder / "tiny", frozenset({"tiny.progress"}), frozenset({"tiny.steps.KINDS"}))
        return made, folder / "script.py"

    return code


@pytest.fixture
def digest_with(code_with):
    """The digest of what the script runs with a plain kind, after some replacements."""

    def digest(edits=None, kind=PLAIN):
        code, script = code_with(edits)
        return code.digest(script, kind)

    return digest


def test_a_digest_is_16_hex_digits_and_does_not_depend_on_the_folder(digest_with):
    assert int(digest_with(), 16) >= 0
    assert len(digest_with()) == 16
    assert digest_with() == digest_with()


def test_the_definitions_are_those_that_the_script_reaches(code_with):
    code, script = code_with()
    expected = ["script", "tiny.constants.ONE", "tiny.deep.inner.twice", "tiny.deep.models.Doubler"]
    assert list(code.definitions(script)) == [*expected, "tiny.steps.run"]
    kinds = [PLAIN, "tiny.steps.run"]
    assert list(code.definitions(script, PLAIN)) == [*expected, *kinds[:1], "tiny.steps.plain",
                                                     *kinds[1:]]  # fmt: skip
    assert "tiny.constants.TWO" in code.definitions(FANCY)
    assert "tiny.steps.plain" in code.definitions("tiny.steps.KINDS[late]")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("script.py", '"""Do it."""', '"""Do something else."""'),
        ("script.py", '"""Do it."""\n', ""),
        ("script.py", 'print("begun")', 'print("started")'),
        ("script.py", 'print("begun")\n', ""),
        ("script.py", "run(numpy.pi)", "run(\n    numpy.pi,\n)  # the answer"),
        ("tiny/steps.py", "# a sum", "# a total"),
        ("tiny/steps.py", '    """Run."""\n', ""),
        ("tiny/steps.py", "x: float", "x: int"),
        ("tiny/steps.py", " -> float", ""),
        ("tiny/steps.py", 'f"x is {x}{_comma(x)}"', 'f"{x} is negative"'),
        ("tiny/steps.py", 'return ","', 'return ";"'),
        ("tiny/steps.py", "UNUSED = 1", "UNUSED = 2"),
        ("tiny/steps.py", "return x * constants.TWO", "return x * constants.ONE"),
        ("tiny/steps.py", '"fancy": fancy}', '"fancy": fancy, "new": lambda x: 3 * x}'),
        ("tiny/constants.py", "TWO: int = 2", "TWO: int = 3"),
        ("tiny/progress.py", "return x", "return str(x)"),
        ("tiny/deep/models.py", '    """Doubles."""\n\n', ""),
        ("tiny/deep/models.py", "return ONE", "return 2 * ONE"),
    ],
)
def test_comments_messages_plumbing_other_kinds_and_unreached_definitions_do_not_count(
    digest_with, file, old, new
):
    assert digest_with({file: (old, new)}) == digest_with()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("script.py", "numpy.pi", "numpy.e"),
        ("tiny/steps.py", "+ constants", "- constants"),
        ("tiny/steps.py", "x < 0", "x <= 0"),
        ("tiny/steps.py", "raise ValueError", "raise TypeError"),
        ("tiny/steps.py", 'all="raise"', 'all="warn"'),
        ("tiny/steps.py", 'kind="plain"', 'kind="fancy"'),
        ("tiny/steps.py", "    return x\n\n\ndef fancy", "    return -x\n\n\ndef fancy"),
        ("tiny/steps.py", '{"plain": plain', '{"plain": fancy'),
        ("tiny/constants.py", "ONE = 1", "ONE = 1.0"),
        ("tiny/deep/inner.py", "factor * x", "factor * (x)**2"),
        ("tiny/deep/models.py", "factor = 2", "factor = '2'"),
    ],
)
def test_what_the_script_reaches_counts_wherever_it_stands(digest_with, file, old, new):
    assert digest_with({file: (old, new)}) != digest_with()


def test_a_kind_counts_where_it_is_selected(digest_with):
    edit = {"tiny/constants.py": ("TWO: int = 2", "TWO: int = 3")}
    assert digest_with(edit, FANCY) != digest_with(kind=FANCY)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("from . import constants", "has a relative import; name the module in full"),
        ("from tiny.constants import *", r"imports \*; name what it uses"),
        ("from tiny.constants import THREE\nrun = THREE", "constants.py defines no 'THREE'"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(digest_with, statement, told):
    with pytest.raises(ValueError, match=told):
        digest_with({"tiny/steps.py": ("from tiny import constants", statement)})


# --- The package itself, in copies ---

SCRIPTS = PACKAGE.parent / "scripts"
# A root for each kind of stage, as the default study selects it.
STAGES = {
    "write_manifest": ("datasets.kinds.KINDS[emoji_scenes]",),
    "build_shard": ("datasets.kinds.KINDS[emoji_scenes]", "segmenters.SEGMENTERS[mobile_sam]",
                    "prompts.PROMPTS[box]", "prompts.DRAWN[filled_box]"),
    "extract_features": ("networks.LOADERS[timm]", "variants.KEEP[center]"),
    "fit_probes": ("probes.PROTOCOLS[nested]", "probes.PROTOCOLS[fixed]"),
    "measure_similarity": ("measures.MEASURES[linear_cka]",),
    "count_neighbors": (),
    "embed_umap": (),
    "compare_probes": (),
    "compare_models": ("measures.MEASURES[linear_cka]",),
    "assess_masks": (),
}  # fmt: skip


def digests(package=PACKAGE):
    code = Code(package)
    return {
        script: code.digest(SCRIPTS / f"{script}.py", *(f"halfseen.{kind}" for kind in kinds))
        for script, kinds in STAGES.items()
    }


@pytest.fixture
def changed(tmp_path):
    """A function: the scripts whose digest changes with replacements {file: (old, new)}."""

    def scripts(edits):
        package = shutil.copytree(PACKAGE, tmp_path / "halfseen")
        for name, (old, new) in edits.items():
            text = (package / name).read_text()
            assert old in text
            (package / name).write_text(text.replace(old, new, 1))
        before, after = digests(), digests(package)
        return {script for script in STAGES if before[script] != after[script]}

    return scripts


KIND = "class Mine:\n    pass\n"


@pytest.mark.parametrize(
    "edits",
    [
        {"datasets/kinds.py": ("KINDS = {", f'{KIND}KINDS = {{\n    "mine": Mine,')},
        {"datasets/kinds.py": ("DRAWN = {", 'DRAWN = {"mine", ')},
        {"networks.py": ("LOADERS = {", f'{KIND}LOADERS = {{\n    "mine": Mine,')},
        {"networks.py": ("return pixel_grid", "return lambda pixels: pixels")},
        {"prompts.py": ("PROMPTS = {", f'{KIND}PROMPTS = {{\n    "mine": Mine,')},
        {"measures.py": ("MEASURES = {", 'MEASURES = {\n    "mine": None,')},
        {"measures.py": ("def ridge_cka(pair, ridge):", "def ridge_cka(pair, ridge=1):")},
        {"probes.py": ("PROTOCOLS = {", 'PROTOCOLS = {"mine": None, ')},
        {"variants.py": ("KEEP = {", 'KEEP = {"mine": None, ')},
        {
            "figures.py": (
                "def plot_neighbors(",
                "def plot_mine():\n    pass\n\n\ndef plot_neighbors(",
            )
        },
        {"figures.py": ("wspace", "hspace")},
        {"progress.py": ("@contextmanager", "SIZE = 3\n\n\n@contextmanager")},
        {"logs.py": ("def ", "SIZE = 3\n\n\ndef ")},
        {"pages.py": ("def ", "SIZE = 3\n\n\ndef ")},
        {"features.py": ("BLOCK_ROWS = 4096", "BLOCK_ROWS = 1024")},
        {"manifest.py": ('"the data set has a single class; a probe needs two"', '"one class"')},
    ],
)
def test_a_new_kind_a_figure_logs_progress_messages_and_pages_make_nothing_anew(changed, edits):
    assert changed(edits) == set()


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ({"measures.py": ("/ (pair.x.norm * pair.y.norm)", "/ pair.x.norm / pair.y.norm")},
         {"measure_similarity", "compare_models"}),
        ({"geometry.py": ("SIZE_PX = 224", "SIZE_PX = 225")}, {"build_shard"}),
        ({"variants.py": ("return np.broadcast_to(disc", "return 1 * np.broadcast_to(disc")},
         {"extract_features"}),
        ({"encoders.py": ("torch.manual_seed(seed)", "torch.manual_seed(seed + 1)")},
         {"extract_features"}),
        ({"logistic.py": ("import torch", "import torch\n")}, set()),
        ({"probes.py": ("return np.nanmean(scores, axis=1)", "return np.nanmax(scores, axis=1)")},
         {"fit_probes"}),
        ({"uncertainty.py": ("size = max(n - 1, 1)", "size = max(n, 1)")},
         {"compare_probes", "count_neighbors"}),
        ({"uncertainty.py": ("np.where(constant, difference == 0, p)", "np.where(constant, 1, p)")},
         {"compare_probes"}),
        ({"near_duplicates.py": ("HASH_SIDE = ", "HASH_SIDE = 1 + ")}, {"write_manifest"}),
        ({"files.py": ('float_format="%.9g"', 'float_format="%.8g"')},
         set(STAGES) - {"build_shard", "extract_features"}),
    ],
)  # fmt: skip
def test_an_edited_function_makes_anew_exactly_what_goes_through_it(changed, edits, expected):
    assert changed(edits) == expected
