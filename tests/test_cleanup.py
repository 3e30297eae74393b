"""What no study of the configuration needs: records less needs, and nobody else's files."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from halfseen.config import check_config, take_labels
from halfseen.study.cleanup import unneeded_files
from halfseen.study.code import Code
from halfseen.study.records import write_record
from halfseen.study.removal import cleanup_text, remove
from halfseen.study.study import Study

CODE = Code()


@pytest.fixture(scope="module")
def config(root):
    config = yaml.safe_load((root / "tests/study/config.yaml").read_text())
    check_config(config, root / "workflow/schemas/config.schema.yaml")
    take_labels(config)
    return config


def leave(made):
    """Write what a job leaves: its files, its record, a log and a benchmark."""
    for path in made.paths.values():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("12345")
    write_record(made.path("record"), made.record, "c")


def files(tmp_path):
    return {str(path) for path in tmp_path.rglob("*") if path.is_file()}


def test_what_a_study_needs_stays_and_what_none_needs_goes_whatever_made_it(config, tmp_path):
    needed = Study(config, results=str(tmp_path), code=CODE)
    for made in needed.artifacts():
        leave(made)
    kept = files(tmp_path)
    assert unneeded_files(config, str(tmp_path)) == {}
    other = deepcopy(config)
    other["seed"] = 8
    for made in Study(other, results=str(tmp_path), code=CODE).artifacts():
        leave(made)
    old = Study(other, results=str(tmp_path), code=CODE).features(
        "emoji_scenes", "image_statistics"
    )
    more = [
        old.path("features").replace(".h5", ".3of4.h5"),
        f"{tmp_path}/logs/extract_part/emoji_scenes/image_statistics-{old.key}.3of4.log",
        f"{tmp_path}/benchmarks/fit_probes/emoji_scenes/gone-{old.key}.tsv",
        f"{tmp_path}/features/emoji_scenes/.image_statistics-{old.key}.abc.h5",
    ]
    mine = [f"{tmp_path}/features/emoji_scenes/mine.h5", f"{tmp_path}/logs/mine-{old.key}.log"]
    for path in (*more, *mine):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("123")
    found = unneeded_files(config, str(tmp_path))
    assert set(found) == files(tmp_path) - kept - set(mine)
    assert {found[path] for path in more} == {3}
    for path in found:
        remove(path)
    assert files(tmp_path) == kept | set(mine)


def test_weights_and_archives_that_no_study_selects_go(config, tmp_path):
    for path in ("weights/mobile_sam", "weights/gone", "archives/gone"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        for suffix in (".yaml", ".ckpt" if path.startswith("w") else ".archive"):
            (tmp_path / path).with_suffix(suffix).write_text("x")
    (tmp_path / "weights/mine.ckpt").write_text("no record beside it")
    found = {Path(path).name for path in unneeded_files(config, str(tmp_path))}
    assert found == {"gone.yaml", "gone.ckpt", "gone.archive"}


def test_nothing_goes_of_a_data_set_whose_folder_cannot_be_seen_now(config, tmp_path):
    (tmp_path / "pictures/a").mkdir(parents=True)
    there = deepcopy(config)
    row = {key: there["datasets"]["emoji_scenes"][key] for key in ("segmenter", "prompt", "shards",
           "second_prompt", "segment_on", "extraction_shards", "mask_note")}  # fmt: skip
    there["datasets"]["mine"] = row | {"kind": "folder", "root": str(tmp_path / "pictures")}
    there["studies"]["minute"] = there["studies"]["minute"] | {"datasets": ["mine"]}
    results = tmp_path / "results"
    for made in Study(there, results=str(results), code=CODE).artifacts():
        leave(made)
    assert unneeded_files(there, str(results)) == {}
    (tmp_path / "pictures/a/1.png").write_text("one more")
    assert len(unneeded_files(there, str(results))) > 20
    there["datasets"]["mine"]["root"] = str(tmp_path / "unplugged")
    assert unneeded_files(there, str(results)) == {}


def test_the_bytes_are_told_and_how_they_are_freed():
    assert cleanup_text({}, False) == "Every file is needed by a study of the configuration.\n"
    text = cleanup_text({"results/a": 1_500_000, "results/b": 500}, False)
    assert "1.500 MB  results/a\n" in text
    assert text.endswith("2 files and folders, 1.500 MB, would be removed with --config "
                         "remove_unneeded=True.\n")  # fmt: skip
    assert "were removed" in cleanup_text({"results/a": 1}, True)
