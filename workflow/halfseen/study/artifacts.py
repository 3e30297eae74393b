"""Files that are named after what made them: a key stands in each name."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

KEY_LENGTH = 12
# The files of every stage below the folder of results; a job writes all of its stage and its names.
FILES = {
    "datasets": {"folder": "datasets/{dataset}-{key}", "record": "datasets/{dataset}-{key}.json"},
    "manifests": {
        "manifest": "manifests/{dataset}-{key}.csv",
        "bad_images": "manifests/{dataset}-{key}.bad_images.csv",
        "near_duplicates": "manifests/{dataset}-{key}.near_duplicates.csv",
        "record": "manifests/{dataset}-{key}.json",
    },
    "shards": {
        "shard": "shards/{dataset}/{shard}-{key}.h5",
        "record": "shards/{dataset}/{shard}-{key}.json",
    },
    "masks": {"table": "masks/{dataset}-{key}.csv", "record": "masks/{dataset}-{key}.json"},
    "features": {
        "features": "features/{dataset}/{model}-{key}.h5",
        "record": "features/{dataset}/{model}-{key}.json",
    },
    "probes": {
        "table": "probes/{dataset}/{model}-{key}.csv",
        "predictions": "probes/{dataset}/{model}-{key}.predictions.parquet",
        "selection": "probes/{dataset}/{model}-{key}.selection.csv",
        "record": "probes/{dataset}/{model}-{key}.json",
    },
    "probe_comparisons": {
        "cells": "probes/{dataset}-{key}.cells.csv",
        "differences": "probes/{dataset}-{key}.differences.csv",
        "margins": "probes/{dataset}-{key}.margins.csv",
        "agreement": "probes/{dataset}-{key}.agreement.csv",
        "record": "probes/{dataset}-{key}.json",
    },
    "similarity": {
        "table": "similarity/{dataset}/{model}-{key}.csv",
        "calibration": "similarity/{dataset}/{model}-{key}.calibration.csv",
        "confounds": "similarity/{dataset}/{model}-{key}.confounds.csv",
        "curves": "similarity/{dataset}/{model}-{key}.curves.csv",
        "sizes": "similarity/{dataset}/{model}-{key}.sizes.csv",
        "additivity": "similarity/{dataset}/{model}-{key}.additivity.csv",
        "record": "similarity/{dataset}/{model}-{key}.json",
    },
    "model_comparisons": {
        "table": "similarity/{dataset}-{key}.models.csv",
        "patterns": "similarity/{dataset}-{key}.patterns.csv",
        "map": "similarity/{dataset}-{key}.map.csv",
        "record": "similarity/{dataset}-{key}.json",
    },
    "neighbors": {
        "table": "neighbors/{dataset}/{model}-{key}.csv",
        "measures": "neighbors/{dataset}/{model}-{key}.measures.csv",
        "record": "neighbors/{dataset}/{model}-{key}.json",
    },
    "umap": {
        "table": "umap/{dataset}-{key}.csv",
        "trust": "umap/{dataset}-{key}.trustworthiness.csv",
        "record": "umap/{dataset}-{key}.json",
    },
}
# A part of a data set's representations, gone once all parts are gathered.
PART = "features/{dataset}/{model}-{key}.{part}.h5"
# The file that is read of what is made from it: {name of an input: name in `FILES`}.
INPUTS = {
    "folder": "folder",
    "manifest": "manifest",
    "shards": "shard",
    "features": "features",
    "predictions": "predictions",
}
# What makes each stage: the name of its rule, of its script and of the folder of its logs.
RULES = {
    "datasets": "fetch_dataset",
    "manifests": "write_manifest",
    "shards": "build_shard",
    "masks": "assess_masks",
    "features": "extract_features",
    "probes": "fit_probes",
    "probe_comparisons": "compare_probes",
    "similarity": "measure_similarity",
    "model_comparisons": "compare_models",
    "neighbors": "count_neighbors",
    "umap": "embed_umap",
}


def digest(value: object) -> str:
    """The key of plain values: hex digits, whatever the order of the keys of a dict."""
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


@dataclass(frozen=True, eq=False)
class Artifact:
    """What one job makes: files whose names end in a key.

    `stage` is of `FILES`, `names` fills its wildcards. `parameters` are all rows and numbers that
    the files depend on, `code` {definition: digest} the code, `inputs` {name: one artifact or a
    list} what they are made from: the key is a hash of these three. `fetched` {name: paths} is held
    to a hash that stands in the parameters. `job` is what the script is given beside.
    """

    stage: str
    names: dict
    parameters: dict
    code: dict
    inputs: dict = field(default_factory=dict)
    fetched: dict = field(default_factory=dict)
    job: dict = field(default_factory=dict)
    results: str = "results"

    @cached_property
    def key(self) -> str:
        """The hash of what made it."""
        return digest([self.stage, self.parameters, sorted(self.code.items()), self.input_keys])

    @property
    def input_keys(self) -> dict[str, list[str]]:
        """{name: the keys of what it is made from}."""
        return {name: [one.key for one in _listed(made)] for name, made in self.inputs.items()}

    @property
    def input_paths(self) -> dict[str, str | list[str]]:
        """{name: the path, or the paths, of what it is made from}."""
        return {
            name: [one.path(INPUTS[name]) for one in made]
            if isinstance(made, list)
            else made.path(INPUTS[name])
            for name, made in self.inputs.items()
        }

    def path(self, name: str) -> str:
        """The path of one of its files."""
        return f"{self.results}/{FILES[self.stage][name].format(**self.names, key=self.key)}"

    @property
    def paths(self) -> dict[str, str]:
        """{name: path} of its files."""
        return {name: self.path(name) for name in FILES[self.stage]}

    @property
    def exists(self) -> bool:
        """Whether all of its files are there; each is complete or absent."""
        return all(Path(path).exists() for path in self.paths.values())

    @property
    def record(self) -> dict:
        """What its record says, but for the time and the commit."""
        return {
            "stage": self.stage,
            "names": self.names,
            "key": self.key,
            "parameters": self.parameters,
            "inputs": self.input_keys,
            "code": self.code,
            "files": list(self.paths.values()),
        }

    @property
    def expected(self) -> dict[str, str]:
        """{record: key} of all that it is made from."""
        made = [one for each in self.inputs.values() for one in _listed(each)]
        return {one.path("record"): one.key for one in made}

    def given(self, commit: str | None) -> dict:
        """All that its script is given beside paths: `job`, its record and what it expects."""
        told = {"record": self.record, "expected": self.expected, "fetched": self.fetched}
        return self.job | told | {"commit": commit}


def _listed(made):
    return made if isinstance(made, list) else [made]
