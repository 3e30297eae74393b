import os

import h5py
import pytest

from halfseen.orphans import delete, delete_variants, orphan_variants, orphans

PATTERNS = [
    "out/shards/{dataset,cats|dogs}/{shard,\\d+}.h5",
    "out/datasets/{dataset}",
    "out/features/{dataset}/{model}.h5",
    "out/features/{dataset}/{model}/{part}.h5",
    "out/probes/{dataset}/{model}.csv",
    "out/probes/{dataset}/{model}.selection.csv",
    "out/logs/fit/{dataset}/{model}.log",
    "out/{study}/umap/{dataset}.csv",
    "out/{study}/figures/{figure}.png",
    "out/{study}/table.csv",
]
ROWS = {
    "dataset": ["cats", "dogs"],
    "model": ["small", "large"],
    "studies": {"both": ["cats", "dogs"], "one": ["cats"]},
    "shards": {"cats": 2, "dogs": 1},
    "parts": {"cats": 2},
}
THERE = [
    "out/shards/cats/0.h5",
    "out/shards/cats/1.h5",
    "out/shards/dogs/0.h5",
    "out/datasets/cats/archive/small.csv",
    "out/features/cats/small.h5",
    "out/features/cats/small/1.h5",
    "out/probes/dogs/large.selection.csv",
    "out/both/umap/dogs.csv",
    "out/one/umap/cats.csv",
    "out/one/figures/any.png",
    "out/one/table.csv",
]
OF_OTHERS = ["out/bench/speed.csv", "out/notes.txt", "out/probes/cats/my.notes.csv"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A function that makes empty files in a folder `out`, where the test runs."""
    monkeypatch.chdir(tmp_path)

    def make(paths):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
        return "out"

    return make


def test_nothing_is_left_over_where_every_row_is_there(folder):
    assert orphans(folder([*THERE, *OF_OTHERS]), PATTERNS, ROWS) == []


@pytest.mark.parametrize(
    "path",
    [
        "out/features/birds/small.h5",
        "out/features/cats/gone.h5",
        "out/probes/cats/gone.selection.csv",
        "out/logs/fit/birds/gone.log",
        "out/shards/birds/0.h5",
        "out/shards/cats/2.h5",
        "out/gone/table.csv",
        "out/gone/figures/any.png",
        "out/one/umap/dogs.csv",
    ],
)
def test_a_file_of_a_row_that_is_gone_is_left_over(folder, path):
    assert orphans(folder([*THERE, *OF_OTHERS, path]), PATTERNS, ROWS) == [path]


def test_a_folder_that_a_rule_makes_is_left_over_as_a_whole(folder):
    paths = [*THERE, "out/datasets/birds/a/1.jpg", "out/datasets/birds/small.csv"]
    assert orphans(folder(paths), PATTERNS, ROWS) == ["out/datasets/birds"]


def test_a_name_that_stands_twice_in_a_pattern_is_the_same_twice(folder):
    paths = folder(["out/cats/cats.txt", "out/birds/birds.txt", "out/birds/cats.txt"])
    assert orphans(paths, ["out/{dataset}/{dataset}.txt"], ROWS) == ["out/birds/birds.txt"]


def test_what_one_pattern_explains_by_a_row_is_kept_whatever_another_says(folder):
    patterns = ["out/{study}/umap/{dataset}.csv", "out/probes/{dataset}/{model}.csv"]
    rows = ROWS | {"dataset": ["umap"], "model": ["small"]}
    assert orphans(folder(["out/probes/umap/small.csv"]), patterns, rows) == []
    assert orphans("out", patterns[:1], rows) == ["out/probes/umap/small.csv"]


def test_a_file_and_a_folder_are_deleted_and_what_is_empty_then(folder):
    folder(THERE)
    delete("out/one/table.csv")
    delete("out/datasets/cats")
    delete("out/one/umap/cats.csv")
    assert not os.path.exists("out/one/table.csv")
    assert not os.path.exists("out/datasets")
    assert not os.path.exists("out/one/umap")
    assert os.path.exists("out/one/figures/any.png")


def write_variants(path, variants):
    with h5py.File(path, "w") as file:
        file.attrs["made_by"] = "all of this"
        for name, values in variants.items():
            file[f"{name}/features"] = values
            file[name].attrs["key"] = name.upper()


def test_a_variant_that_is_gone_leaves_the_file_and_the_others_stay_as_they_are(tmp_path):
    path = tmp_path / "features.h5"
    write_variants(path, {"whole": [1.0, 2.0], "hole": list(range(50_000)), "ring": [3.0]})
    os.utime(path, ns=(10**18, 10**18))
    size = path.stat().st_size
    assert orphan_variants(path, ["whole", "ring", "more"]) == ["hole"]
    delete_variants(path, ["hole"])
    assert orphan_variants(path, ["whole", "ring"]) == []
    with h5py.File(path) as file:
        assert file.attrs["made_by"] == "all of this"
        assert set(file) == {"whole", "ring"}
        assert file["whole/features"][:].tolist() == [1.0, 2.0]
        assert file["ring"].attrs["key"] == "RING"
    assert path.stat().st_mtime_ns == 10**18
    assert path.stat().st_size < size / 10
