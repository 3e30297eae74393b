"""What a page tells of the software that made it: its packages and its code."""

import importlib.metadata
import json
from pathlib import Path

import yaml

from halfseen.shards import made_by


def config_text(config):
    """A configuration of plain values as YAML, in its own order, every value where it belongs."""
    apart = json.loads(json.dumps(config))  # what is one object in two places would be a reference
    return yaml.safe_dump(apart, sort_keys=False, allow_unicode=True)


def package_versions(names):
    """{name: version} of the packages that are installed here, in the order of `names`."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def files_made(shards, representations):
    """What files tell of how they were made: what, dataset, model, code, seed and sha256 of each.

    A file lies in a folder named like its data set, that of representations is named like its
    model. Shards that were made alike are told once; `sha256` is of the weights, None without any.
    """
    rows = []
    for path in map(Path, shards):
        told = made_by(path)
        row = {"what": "images and masks", "dataset": path.parent.name, "model": None}
        rows.append(row | _facts(told, told.get("weights_sha256")))
    for path in map(Path, representations):
        told = made_by(path)
        row = {"what": "representations", "dataset": path.parent.name, "model": path.stem}
        rows.append(row | _facts(told, told.get("model", {}).get("sha256")))
    return [row for place, row in enumerate(rows) if row not in rows[:place]]


def _facts(told, sha256):
    return {"code": told.get("code"), "seed": told.get("seed"), "sha256": sha256}
