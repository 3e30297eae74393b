"""What would stop a study hours later, found before its first job."""

import csv
import importlib.metadata
import os
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from halfseen.config import raise_problems
from halfseen.datasets.layout import class_counts
from halfseen.spelling import did_you_mean
from halfseen.study.fingerprints import MissingFolderError, expanded
from halfseen.study.study import RESOURCES, Study

# Protocols that choose inside of a training part need three folds.
NESTED_FOLDS = 3
# Images that a similarity needs, and that a fold of cross-validated CCA does.
SIMILARITY_IMAGES, CCA_FOLD_IMAGES = 4, 3


def check_study(study: Study) -> None:
    """Raise ConfigError with a line for everything in a study's rows that cannot work.

    Names of networks and poolings that they lack, folders that are not there, roles that two
    variants claim, and analyses that need more images, classes or folds than a data set has, as far
    as its row, its folder or its manifest tells.
    """
    problems = [
        *_role_problems(study),
        *_variant_problems(study),
        *_fold_problems(study),
        *(line for name in study.datasets for line in _folder_problems(study, name)),
        *(line for name in study.models for line in network_problems(study, name)),
    ]
    if not problems:
        problems = [line for name in study.datasets for line in size_problems(study, name)]
    raise_problems(f"study {study.name!r}", problems)


def _role_problems(study):
    holders = {}
    for name, row in study.rows("variants").items():
        holders.setdefault(row["role"], []).append(name)
    for role, names in holders.items():
        if role and len(names) > 1:
            yield (
                f"variants: {', '.join(names)} all have `role: {role}`; give `role: null` to all "
                "but one"
            )


def _variant_problems(study):
    if len(study.variants) < 2:
        yield f"studies.{study.name}.variants: there is one; similarity compares two or more"


def _fold_problems(study):
    for name, row in study.rows("probes").items():
        if row["kind"] == "nested" and study.config["folds"] < NESTED_FOLDS:
            yield (
                f"folds: {study.config['folds']}, but protocol {name!r} chooses C inside of each "
                f"training part, which takes {NESTED_FOLDS}"
            )


def _folder_problems(study, dataset):
    row = study.config["datasets"][dataset]
    segmenter = study.config["segmenters"][row["segmenter"]]
    for where, folder in (
        (f"datasets.{dataset}.root", row.get("root")),
        (f"segmenters.{row['segmenter']}.folder", segmenter.get("folder")),
    ):
        if not folder:
            continue
        try:
            path = expanded(folder)
        except MissingFolderError as reason:
            yield f"{where}: {reason}"
            continue
        if not os.path.isdir(path):
            yield f"{where}: there is no folder {path}"
    known = _torchvision_datasets() if row["kind"] == "torchvision" else set()
    if known and row["name"] not in known:
        near = did_you_mean(row["name"], known, count=3)
        yield f"datasets.{dataset}.name: torchvision has no data set {row['name']!r}{near}"


# Networks


def network_problems(study: Study, model: str) -> list[str]:
    """What is wrong with the network that a model's row names: lines, none if nothing is."""
    row = study.config["models"][model]
    if row["loader"] == "torch_hub":
        repo = row["repo"]
        if repo.startswith(("/", ".")) and not (Path(repo) / "hubconf.py").is_file():
            return [f"models.{model}.repo: there is no {repo}/hubconf.py"]
        return []
    if row["loader"] not in ("timm", "torchvision"):
        return []
    name = row["name"].split(".")[0] if row["loader"] == "timm" else row["name"]
    known = listed_networks(row["loader"])
    if name not in known:
        installed = _installed_names(row["loader"])
        if name in installed:
            return []
        near = did_you_mean(name, known.keys() | installed, count=3)
        return [f"models.{model}.name: {row['loader']} has no model {name!r}{near}"]
    poolings = known[name]["poolings"].split()
    if (
        row["pooling"] == "network"
        or row["pooling"] in poolings
        or "global_pool" in (row.get("arguments") or {})
    ):
        return []
    has = f"has {' and '.join(poolings)}" if poolings else "does not show how it pools"
    valid = " or ".join([*poolings, "network"])
    return [
        f"models.{model}.pooling: {name} of {row['loader']} {has}, not {row['pooling']}; give "
        f"pooling: {valid}"
    ]


@cache
def listed_networks(library: str) -> dict[str, dict[str, str]]:
    """{name: row} of the networks of a library, as `network_list` wrote them."""
    with open(RESOURCES / "networks.csv", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file) if row["library"] == library}


def _installed_names(library):
    """The names that the library that is installed here registers, read without importing it."""
    try:
        importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return set()
    folder = Path(find_spec(library).submodule_search_locations[0]) / "models"
    pattern = re.compile(r"@register_model(?:\(\))?\s*\n(?:@.*\n)*\s*def (\w+)\(")
    return {
        name for path in folder.rglob("*.py") for name in pattern.findall(path.read_text("utf-8"))
    }


def _torchvision_datasets():
    """The names of torchvision's data sets; none where it is not installed."""
    try:
        importlib.metadata.version("torchvision")
    except importlib.metadata.PackageNotFoundError:
        return set()
    folder = Path(find_spec("torchvision").submodule_search_locations[0]) / "datasets"
    text = (folder / "__init__.py").read_text("utf-8")
    return set(re.findall(r"^    \"(\w+)\",$", text, re.MULTILINE))


# Numbers of images


def size_problems(study: Study, dataset: str) -> list[str]:
    """What needs more images of a data set than it has: lines, none where the number is unknown."""
    per_class = class_sizes(study, dataset)
    if not per_class:
        return []
    n, config = sum(per_class.values()), study.config
    folds, n_variants = config["folds"], len(study.variants)
    where = f"datasets.{dataset}"
    problems = []
    if len(per_class) < 2:
        problems.append(f"{where}: it has a single class; a probe needs two")
    small = {name: count for name, count in per_class.items() if count < folds}
    if small:
        name, count = next(iter(small.items()))
        more = f" and {len(small) - 1} more classes" if len(small) > 1 else ""
        problems.append(
            f"{where}: class {name!r}{more} has {count} images, fewer than the {folds} folds; add "
            "images, leave the class out, or lower `folds`"
        )
    if n < SIMILARITY_IMAGES:
        problems.append(f"{where}: it has {n} images; similarity needs {SIMILARITY_IMAGES}")
    training = n - -(-n // folds)
    for name, row in study.rows("probes").items():
        if row["kind"] == "knn" and row["k"] > training:
            problems.append(
                f"probes.{name}.k: {row['k']}, but a fold of {dataset} leaves {training} training "
                f"images of {n}"
            )
    for name, row in study.rows("measures").items():
        problems += _measure_problems(f"measures.{name}", row, n, folds, dataset)
    most = n_variants * (n - 1)
    if max(config["neighbors"]["k"]) > most:
        problems.append(
            f"neighbors.k: {max(config['neighbors']['k'])}, but {n_variants} variants of the {n} "
            f"images of {dataset} have {most} neighbors at most"
        )
    umap = config["umap"]
    points = min(n, max(umap["at_least"], int(umap["share"] * n))) * n_variants
    if umap["n_neighbors"] >= points / 2:
        problems.append(
            f"umap.n_neighbors: {umap['n_neighbors']}, but {points} points of {dataset} are "
            f"embedded; it must be below {points / 2:g}"
        )
    shards = config["datasets"][dataset]["shards"]
    if shards > n:
        problems.append(f"{where}.shards: {shards}, but it has {n} images; lower it to {n} or less")
    return problems


def _measure_problems(where, row, n, folds, dataset):
    if row["kind"] == "mutual_neighbors" and row["k"] >= n:
        yield f"{where}.k: {row['k']}, but {dataset} has {n} images; k must be below that"
    components = row.get("components") or 0
    if row["kind"] in ("mean_squared_cca", "adjusted_cca") and components >= n - 1:
        yield (
            f"{where}.components: {components}, but CCA of the {n} images of {dataset} is 1 by "
            f"construction from {n - 1} on; choose fewer"
        )
    if row["kind"] == "cross_validated_cca" and n // folds < CCA_FOLD_IMAGES:
        yield (
            f"{where}: a fold of {dataset} has {n // folds} of {n} images; cross-validated CCA "
            f"needs {CCA_FOLD_IMAGES}"
        )


def class_sizes(study: Study, dataset: str) -> dict[str, int]:
    """{class: images} of a data set by its folder or its row; empty where neither tells.

    An upper limit: images that cannot be decoded are counted as well.
    """
    row = study.config["datasets"][dataset]
    if row["kind"] == "folder" and row.get("root"):
        return class_counts(expanded(row["root"]))
    n, n_classes = row.get("n_images"), row.get("n_classes")
    if not (n and n_classes):
        return {}
    each, more = divmod(n, n_classes)
    sizes = {f"{number + 1} of {n_classes}": each + (number < more) for number in range(n_classes)}
    if row["kind"] in ("emoji_scenes", "photo_textures"):
        return sizes
    # How published images are shared out over the classes, the row does not say.
    most = row.get("images_per_class")
    return dict.fromkeys(sizes, most) if most else {}
