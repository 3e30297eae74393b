"""What no study of the configuration needs: all that jobs left, less all that studies need."""

import re
from pathlib import Path

from halfseen.study.artifacts import RULES
from halfseen.study.code import Code
from halfseen.study.fingerprints import MissingFolderError
from halfseen.study.records import records_below
from halfseen.study.results import FIGURES, PAGES, TABLES, figures
from halfseen.study.study import Study

KEYED = re.compile(r"-([0-9a-f]{12})(?:\.\d+of\d+)?\.")
PART_RULES = ("extract_part", "gather_features")
# What a study holds beside its tables, pages and figures.
OTHER_RESULTS = (
    "README.md", "artifacts.csv", "atlas.html", "choices.csv", "claims.html", "claims_cells.csv",
    "datasets.html", "fallbacks.html", "masks.html", "paper_comparison.html", "plan.csv",
    "report.html", "table1.html", "table1.md", "table1.tex", "table1_passing.html",
)  # fmt: skip


def unneeded_files(config: dict, results: str = "results") -> dict[str, int]:
    """{path: bytes} of the files and folders that jobs left and no study of `config` needs.

    What has no record and is no result, log or benchmark by name is somebody's own and stays, and
    so does all of a data set whose root is not there now: what it needs cannot be told.
    """
    code = Code()
    studies = [Study(config, name, results, code) for name in config["studies"]]
    keys, unknown = set(), set()
    for study in studies:
        for name in study.datasets:
            try:
                keys |= {made.key for made in _of_dataset(study, name)}
            except MissingFolderError:
                unknown.add(name)
    found = [
        *_keyed(Path(results), keys, unknown),
        *_fetched(Path(results), studies),
        *_plain(Path(results), studies),
        *_unfinished(Path(results)),
    ]
    return {str(path): _size(path) for path in dict.fromkeys(found)}


def _of_dataset(study, dataset):
    """The artifacts of a study that are of one data set."""
    return [made for stage in RULES for made in study.of_stage(stage, [dataset])]


def _keyed(results, keys, unknown):
    """Keyed files with their logs and benchmarks."""
    for path, record in records_below(results).items():
        if record["key"] not in keys and record["names"].get("dataset") not in unknown:
            yield from (each for each in map(Path, record["files"]) if each.exists())
            yield Path(path)
    for path in sorted(results.glob("features/*/*of*.h5")):  # parts have no record
        match = KEYED.search(path.name)
        if match and match[1] not in keys and path.parent.name not in unknown:
            yield path
    for kind in ("logs", "benchmarks"):
        for rule in (*RULES.values(), *PART_RULES):
            for path in sorted((results / kind / rule).rglob("*.*")):
                dataset = path.relative_to(results / kind / rule).parts[0].partition("-")[0]
                match = KEYED.search(path.name)
                if match and match[1] not in keys and dataset not in unknown:
                    yield path


def _fetched(results, studies):
    """Files of weights and archives, and what is remembered of folders."""
    archives = {
        name
        for study in studies
        for row in study.rows("datasets").values()
        for name in row.get("archives", [])
    }
    weights = {name for study in studies for name in study.weights()}
    for table, suffix, needed in (("weights", "ckpt", weights), ("archives", "archive", archives)):
        for record in sorted((results / table).glob("*.yaml")):
            if record.stem not in needed:
                rule = f"fetch_{table.removesuffix('s') if table == 'archives' else table}"
                yield from _existing(
                    record.with_suffix(f".{suffix}"),
                    record,
                    results / "logs" / rule / f"{record.stem}.log",
                    results / "benchmarks" / rule / f"{record.stem}.tsv",
                )
    datasets = {name for study in studies for name in study.datasets}
    for index in sorted((results / "fingerprints").glob("*.json")):
        if index.stem.removesuffix("_masks") not in datasets:
            yield index


def _plain(results, studies):
    """What studies that are gone have left, and figures that a study has no longer."""
    current = {study.name: study for study in studies}
    for listing in sorted(results.glob("*/artifacts.csv")):
        folder = listing.parent
        study = current.get(folder.name)
        shown = figures(study) if study else []
        for name, figure in FIGURES.items():
            if name not in shown:
                paths = [folder / "figures" / f"{name}.{suffix}" for suffix in figure.suffixes]
                yield from _existing(*paths, folder / f"{name}.csv")
                for kind in ("logs", "benchmarks"):
                    yield from sorted((results / kind).glob(f"*/{folder.name}/{name}.*"))
        of_datasets = sorted((folder / "figures").glob("masks_of_*.*"))
        for path in of_datasets:
            if study is None or path.stem.removeprefix("masks_of_") not in study.datasets:
                yield path
        if study is None:
            tables = [folder / "tables" / f"{name}.csv" for name in TABLES]
            yield from _existing(*tables, *(folder / name for name in (*PAGES, *OTHER_RESULTS)))
            for kind in ("logs", "benchmarks"):
                yield from sorted((results / kind).glob(f"*/{folder.name}.*"))
                yield from _existing(*sorted((results / kind).glob(f"*/{folder.name}")))


def _unfinished(results):
    """What killed jobs have begun to write."""
    for stage in ("archives", "datasets", "features", "manifests", "masks", "neighbors", "probes",
                  "shards", "similarity", "umap", "weights"):  # fmt: skip
        yield from sorted((results / stage).rglob(".*-*.*"))


def _existing(*paths):
    return [path for path in paths if path.exists()]


def _size(path):
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size
