import os

import h5py
import pytest

from halfseen.orphans import delete, delete_variants, orphan_variants, orphans

# In the form in which Snakemake has them: every wildcard with its constraint, but {study}.
DATASET, MODEL = "{dataset,cats|dogs}", "{model,small|large}"
PATTERNS = {
    "build": {
        "makes": [f"out/shards/{DATASET}/{{shard,\\d+}}.h5"],
        "tells": [f"out/logs/build/{DATASET}/{{shard,\\d+}}.log"],
    },
    "fetch": {"makes": [f"out/datasets/{DATASET}"], "tells": [f"out/logs/fetch/{DATASET}.log"]},
    "extract": {
        "makes": [f"out/features/{{dataset,dogs}}/{MODEL}.h5"],
        "tells": [f"out/logs/extract/{{dataset,dogs}}/{MODEL}.log"],
    },
    "extract_part": {
        "makes": [f"out/features/{{dataset,cats}}/{MODEL}/{{part,\\d+}}.h5"],
        "tells": [f"out/logs/extract_part/{{dataset,cats}}/{MODEL}/{{part,\\d+}}.log"],
    },
    "gather": {
        "makes": [f"out/features/{{dataset,cats}}/{MODEL}.h5"],
        "tells": [f"out/logs/gather/{{dataset,cats}}/{MODEL}.log"],
    },
    "fit": {
        "makes": [f"out/probes/{DATASET}/{MODEL}{end}" for end in (".csv", ".selection.csv")],
        "tells": [
            f"out/logs/fit/{DATASET}/{MODEL}.log",
            f"out/benchmarks/fit/{DATASET}/{MODEL}.tsv",
        ],
    },
    "embed": {
        "makes": [f"out/{{study}}/umap/{DATASET}.csv"],
        "tells": [f"out/logs/embed/{{study}}/{DATASET}.log"],
    },
    "summarise": {
        "makes": ["out/{study}/masks.csv", "out/{study}/README.md"],
        "tells": ["out/logs/summarise/{study}.log"],
    },
    "plot": {
        "makes": [
            "out/{study}/{curve,dose_response}.csv",
            "out/{study}/figures/{curve,dose_response}.png",
        ],
        "tells": ["out/logs/plot/{study}/{curve,dose_response}.log"],
    },
    "plan": {"makes": ["out/{study}/plan.csv"], "tells": ["out/logs/plan/{study}.log"]},
    "all": {"makes": [], "tells": []},
}
ROWS = {
    "dataset": ["cats", "dogs"],
    "model": ["small", "large"],
    "studies": {
        "both": {"dataset": ["cats", "dogs"], "curve": ["dose_response"]},
        "one": {"dataset": ["cats"], "curve": []},
    },
    "shards": {"cats": 2, "dogs": 1},
    "parts": {"cats": 2},
}
# What jobs left, and what tells of it.
THERE = {
    "out/shards/cats/0.h5": "out/logs/build/cats/0.log",
    "out/shards/cats/1.h5": "out/logs/build/cats/1.log",
    "out/shards/dogs/0.h5": "out/logs/build/dogs/0.log",
    "out/datasets/cats/archive/small.csv": "out/logs/fetch/cats.log",
    "out/features/cats/small.h5": "out/logs/gather/cats/small.log",
    "out/features/cats/small/1.h5": "out/logs/extract_part/cats/small/1.log",
    "out/probes/dogs/large.selection.csv": "out/benchmarks/fit/dogs/large.tsv",
    "out/both/umap/dogs.csv": "out/logs/embed/both/dogs.log",
    "out/one/umap/cats.csv": "out/logs/embed/one/cats.log",
    "out/one/masks.csv": "out/logs/summarise/one.log",
    "out/one/plan.csv": "out/logs/plan/one.log",
    "out/both/dose_response.csv": "out/logs/plot/both/dose_response.log",
}
GONE = {
    "out/features/birds/small.h5": "out/logs/extract/birds/small.log",
    "out/features/cats/gone.h5": "out/logs/gather/cats/gone.log",
    "out/features/dogs/small/0.h5": "out/logs/extract_part/dogs/small/0.log",
    "out/probes/cats/gone.selection.csv": "out/logs/fit/cats/gone.log",
    "out/shards/birds/0.h5": "out/logs/build/birds/0.log",
    "out/shards/cats/2.h5": "out/logs/build/cats/2.log",
    "out/gone/masks.csv": "out/logs/summarise/gone.log",
    "out/gone/plan.csv": "out/logs/plan/gone.log",
    "out/gone/umap/cats.csv": "out/logs/embed/gone/cats.log",
    "out/one/umap/dogs.csv": "out/logs/embed/one/dogs.log",
    "out/one/dose_response.csv": "out/logs/plot/one/dose_response.log",
}
OF_OTHERS = [
    "out/bench/masks.csv",
    "out/bench/speed.csv",
    "out/copy_of_one/masks.csv",
    "out/copy_of_one/umap/cats.csv",
    "out/datasets/my_photos/1.jpg",
    "out/features/mine/net.h5",
    "out/logs/build/cats/notes.log",
    "out/logs/plot/one/notes.log",
    "out/mynotes/README.md",
    "out/mynotes/anything.csv",
    "out/notes.txt",
    "out/one/figures/mine.png",
    "out/one/my_table.csv",
    "out/one/umap/mine.csv",
    "out/probes/cats/my.notes.csv",
    "out/shards/cats/my_shard.h5",
]


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
    assert orphans(folder([*THERE, *THERE.values(), *OF_OTHERS]), PATTERNS, ROWS) == []


@pytest.mark.parametrize("path", GONE)
def test_a_file_of_a_row_that_is_gone_is_left_over_and_so_is_what_tells_of_it(folder, path):
    paths = [*THERE, *THERE.values(), *OF_OTHERS, path, GONE[path]]
    assert orphans(folder(paths), PATTERNS, ROWS) == [path, GONE[path]]


@pytest.mark.parametrize("path", GONE)
def test_what_no_job_tells_of_is_nobody_s_orphan(folder, path):
    assert orphans(folder([*THERE, *THERE.values(), path]), PATTERNS, ROWS) == []


def test_any_of_what_tells_is_enough(folder):
    paths = ["out/probes/cats/gone.csv", "out/benchmarks/fit/cats/gone.tsv"]
    assert orphans(folder(paths), PATTERNS, ROWS) == paths


def test_what_tells_comes_last_so_that_half_a_deletion_can_be_ended(folder):
    found = orphans(folder([*GONE, *GONE.values()]), PATTERNS, ROWS)
    assert found == [*sorted(GONE), *sorted(GONE.values())]
    for path in found[: len(GONE) // 2]:
        delete(path)
    assert orphans("out", PATTERNS, ROWS) == found[len(GONE) // 2 :]


def test_a_folder_that_a_rule_makes_is_left_over_as_a_whole(folder):
    log = "out/logs/fetch/birds.log"
    paths = [*THERE, "out/datasets/birds/a/1.jpg", "out/datasets/birds/small.csv", log]
    assert orphans(folder(paths), PATTERNS, ROWS) == ["out/datasets/birds", log]


def of_one_rule(pattern):
    """A rule whose output tells of itself."""
    return {"rule": {"makes": [], "tells": [pattern]}}


def test_a_name_that_stands_twice_in_a_pattern_is_the_same_twice(folder):
    paths = folder(["out/cats/cats.txt", "out/birds/birds.txt", "out/birds/cats.txt"])
    patterns = of_one_rule("out/{dataset}/{dataset}.txt")
    assert orphans(paths, patterns, ROWS) == ["out/birds/birds.txt"]


def test_what_one_pattern_explains_by_a_row_is_kept_whatever_another_says(folder):
    embed = of_one_rule("out/{study}/umap/{dataset}.csv")
    fit = {"fit": {"makes": [], "tells": ["out/probes/{dataset}/{model}.csv"]}}
    rows = ROWS | {"dataset": ["umap"], "model": ["small"]}
    assert orphans(folder(["out/probes/umap/small.csv"]), embed | fit, rows) == []
    assert orphans("out", embed, rows) == ["out/probes/umap/small.csv"]


def test_a_file_and_a_folder_are_deleted_and_what_is_empty_then(folder):
    folder(THERE)
    delete("out/one/masks.csv")
    delete("out/datasets/cats")
    delete("out/one/umap/cats.csv")
    assert not os.path.exists("out/one/masks.csv")
    assert not os.path.exists("out/datasets")
    assert not os.path.exists("out/one/umap")
    assert os.path.exists("out/one/plan.csv")


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
