"""An atlas of two small data sets whose tables are drawn from a seed, written and read as ever."""

import json
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from halfseen.atlas import write_atlas
from halfseen.files import write_parquet, write_table
from halfseen.shards import PROVENANCE, write_shard
from halfseen.tables import read_table

DATASETS, MODELS = ["scenes", "textures"], ["first", "second"]
VARIANTS = {
    "original": {"keep": "everything", "radius": None, "fill": 0},
    "foreground": {"keep": "foreground", "radius": None, "fill": 0},
    "background": {"keep": "background", "radius": None, "fill": 0},
    "center": {"keep": "center", "radius": 0.4, "fill": 0},
    "border": {"keep": "border", "radius": 0.4, "fill": 0},
}
MEASURES = {
    "cka": {"kind": "linear_cka"},
    "cka_debiased": {"kind": "debiased_cka"},
    "procrustes": {"kind": "angular_procrustes"},
}
HOSTILE = '</script><script>window.hostile = 1</script><img src=x onerror="window.hostile = 1">\'&'
CLASSES = {"scenes": ["cat", "dog", HOSTILE], "textures": ["brick", "grass"]}
IMAGES_OF_A_CLASS = 7
PROTOCOLS = ["nested", "knn"]


@dataclass
class SmallAtlas:
    """The page, and what it was made from."""

    path: Path
    folder: Path
    tables: dict
    shown: int
    manifests: dict
    masks: dict = field(default_factory=dict)
    images: dict = field(default_factory=dict)

    def predictions(self, dataset, model):
        """The probes' predictions of one data set and model, as they lie on disk."""
        return pd.read_parquet(self.folder / f"{dataset}.{model}.predictions.parquet")


def write_small_atlas(root, folder, without=(), **changes):
    """Make an atlas in `folder`, lacking the tables `without`; `changes` are made to the study."""
    rng = np.random.default_rng(7)
    manifests = {name: _manifest(name) for name in DATASETS}
    images, masks, shards = {}, {}, {}
    for name, manifest in manifests.items():
        images[name] = rng.integers(0, 100, (len(manifest), 7, 7, 3)).astype(np.uint8)
        images[name] = images[name].repeat(32, axis=1).repeat(32, axis=2)
        masks[name] = np.stack([_mask(place) for place in range(len(manifest))])
        shards[name] = [folder / f"{name}.h5"]
        _write_shard(shards[name][0], manifest, images[name], masks[name])
    tables = _tables(rng, manifests)
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
    for dataset, model in product(DATASETS, MODELS):
        path = folder / f"{dataset}.{model}.predictions.parquet"
        write_parquet(path, _predictions(rng, dataset, model, manifests[dataset]))
    read = {name: read_table(folder / f"{name}.csv") for name in tables if name not in without}
    predictions = map(pd.read_parquet, sorted(folder.glob("*.parquet")))
    source = {"manifests": manifests, "shards": shards, "predictions": predictions}
    path, parts = folder / "atlas.html", root / "workflow/resources/atlas"
    study = _study() | changes
    shown, of = write_atlas(path, parts, study, read, source, np.random.default_rng(study["seed"]))
    assert of == sum(map(len, manifests.values()))
    return SmallAtlas(path, folder, read, shown, manifests, masks, images)


def _study():
    labels = {
        "datasets": {"scenes": "Scenes", "textures": "Textures"},
        "models": {"first": "First <model>", "second": "Second model"},
        "variants": {name: name.capitalize() for name in VARIANTS},
        "measures": {"cka": "Linear CKA", "cka_debiased": "Debiased", "procrustes": "Procrustes"},
        "probes": {"nested": "Nested", "knn": "Neighbours"},
    }
    return {
        "name": "small", "title": "A small study", "seed": 3, "max_mb": 25, "labels": labels,
        "datasets": DATASETS, "models": MODELS, "variants": VARIANTS, "measures": MEASURES,
        "places": {name: place for place, name in enumerate(VARIANTS)}, "reference": "original",
        "masking": {name: {"segmenter": "MobileSAM", "prompt": "Box"} for name in DATASETS},
        "level": "95 %", "passing": {"min_predicted_iou": 0.88, "min_stability": 0.95},
        "mask_meaning": "What a mask means: in Scenes, the object.", "config": "seed: 3\n",
        "credits": ["Nobody's."], "commit": "0" * 40, "packages": {"numpy": "2.0"},
        "weights": [
            {"name": "sam", "file": "sam.pt", "sha256": 64 * "a", "licence": "MIT", "source": "x"}
        ],
        "made": [
            {"what": "representations", "dataset": "scenes", "model": "first", "key": "4e7",
             "code": "c0de", "sha256": 64 * "a"},
        ],
    }  # fmt: skip


def _manifest(dataset):
    rows = [
        {"image_id": f"{'abc'[label]}_{number:02}", "label": label, "label_name": name}
        for label, name in enumerate(CLASSES[dataset])
        for number in range(IMAGES_OF_A_CLASS)
    ]
    return pd.DataFrame(rows)


def _mask(place):
    mask = np.zeros((224, 224), bool)
    mask[20 : 60 + 5 * place, 30 + place : 150] = True
    return mask


def _write_shard(path, manifest, images, masks):
    blank = {
        name: [0 if isinstance(dtype, str) else ""] * len(manifest)
        for name, dtype in PROVENANCE.items()
    }
    columns = {"images": images, "masks": masks, "image_ids": manifest.image_id.tolist()}
    write_shard(path, blank | columns)


def _tables(rng, manifests):
    cells = list(product(DATASETS, MODELS))
    pairs = list(product(VARIANTS, VARIANTS))
    table1 = [
        {"dataset": dataset, "model": model, "protocol": protocol, "variant": variant,
         "balanced_accuracy_mean": rng.uniform(), "balanced_accuracy_std": 0.05, "fold_se": 0.04,
         "n_folds": 5, "chance": 0.3, "low": 0.1, "high": 0.9, "shuffled": 0.31, "paper_mean": "",
         "paper_std": "", "difference": "", "differs": ""}
        for (dataset, model), protocol, variant in product(cells, PROTOCOLS, VARIANTS)
    ]  # fmt: skip
    similarity = [
        {"measure": measure, "variant_x": x, "variant_y": y, "similarity": rng.uniform(),
         "null": "" if measure == "procrustes" else 0.061, "low": 0.1, "high": 0.9, "se": 0.01,
         "n": 21, "dataset": dataset, "model": model}
        for (dataset, model), measure, (x, y) in product(cells, MEASURES, pairs)
    ]  # fmt: skip
    calibration = [
        {"measure": "cka", "variant_x": "original", "variant_y": "foreground", "dataset": dataset,
         "model": model, "permutes": permutes, "p": 0.005 if permutes == "freely" else 0.25}
        for (dataset, model), permutes in product(cells, ["freely", "within classes"])
    ]  # fmt: skip
    neighbors = [
        {"centering": "raw", "metric": "cosine", "k": 10, "variant": x, "neighbor_variant": y,
         "share": 0.6 if x == y else 0.1, "low": 0.05, "high": 0.7, "null": 0.2,
         "enrichment": 3 if x == y else 0.5, "dataset": dataset, "model": model}
        for (dataset, model), (x, y) in product(cells, pairs)
    ]  # fmt: skip
    umap = [
        {"variant": variant, "image_id": image_id, "x": rng.normal(), "y": rng.normal(),
         "dataset": dataset, "model": model, "seed": seed}
        for (dataset, model), seed, variant in product(cells, [0, 1], VARIANTS)
        for image_id in manifests[dataset].image_id[::2]
    ]  # fmt: skip
    trust = [
        {"dataset": dataset, "model": model, "seed": seed, "trustworthiness": 0.9 + seed / 100,
         "k": 5, "metric": "cosine", "n": 11, "n_variants": 5}
        for (dataset, model), seed in product(cells, [0, 1])
    ]  # fmt: skip
    masks = pd.concat([_mask_rows(rng, *item) for item in manifests.items()], ignore_index=True)
    summary = [
        {"dataset": name, "n": len(rows), "n_fallback": int((rows.fallback != "").sum()),
         "n_passing": int(rows.passes.sum()), "mean_area": 0.2, "mean_predicted_iou": 0.9,
         "mean_stability": 0.95, "mean_agreement": "", "n_exact": 0, "median_iou": ""}
        for name, rows in masks.groupby("dataset", sort=False)
    ]  # fmt: skip
    fallbacks = [
        {"dataset": dataset, "label_name": name, "n": len(rows),
         "n_fallback": int((rows.fallback != "").sum()), "n_passing": int(rows.passes.sum())}
        for (dataset, name), rows in masks.groupby(["dataset", "label_name"], sort=False)
    ]  # fmt: skip
    rows = {
        "table1": table1, "similarity": similarity, "calibration": calibration,
        "neighbors": neighbors, "umap": umap, "trustworthiness": trust, "summary": summary,
        "fallbacks": fallbacks, "claims": _claims(),
    }  # fmt: skip
    return {name: pd.DataFrame(part) for name, part in rows.items()} | {"masks": masks}


def _mask_rows(rng, dataset, manifest):
    n = len(manifest)
    fallback = np.where(np.arange(n) % 6 == 5, "the prompt gave none", "")
    predicted_iou = np.where(fallback == "", rng.uniform(0.8, 1, n), 0).round(6)
    return manifest[["image_id", "label_name"]].assign(
        dataset=dataset,
        prompt=json.dumps({"kind": "box", "boxes": [[30.0, 43.0, 148.0, 156.0]]}),
        query="", mask_index=0, score=0.7, predicted_iou=predicted_iou, stability=0.97, area=0.2,
        components=1, border_contact=0, cleaned=0, agreement="", fallback=fallback, iou="",
        passes=((fallback == "") & (predicted_iou >= 0.88)).astype(int),
    )  # fmt: skip


def _predictions(rng, dataset, model, manifest):
    n_classes, rows = len(CLASSES[dataset]), []
    images = list(zip(manifest.image_id, manifest.label, strict=True))
    for protocol, train, test in product(PROTOCOLS, VARIANTS, VARIANTS):
        if train != test and protocol != "nested":
            continue
        for centering, control in [("raw", "none"), ("recentred", "none"), ("raw", "shuffled")]:
            guesses = rng.integers(0, n_classes, len(images))
            knows = rng.uniform(size=len(images)) < 0.6
            rows += [
                {"image_id": image_id, "label": label, "predicted": label if known else int(guess),
                 "train_variant": train, "test_variant": test, "centering": centering,
                 "control": control, "protocol": protocol, "dataset": dataset, "model": model}
                for (image_id, label), guess, known in zip(images, guesses, knows, strict=True)
            ]  # fmt: skip
    return pd.DataFrame(rows)


def _claims():
    common = {
        "kind": "claim", "source": "Section 5.1", "asks": "original > foreground", "finding": "So.",
        "effect_of": "difference", "limits": 0, "interval": "paired bootstrap", "n_cells": 2,
        "decisive": "First on Scenes", "tested_on": "First on Scenes", "elsewhere": "other data",
        "by_value": "", "by_paper": "holds", "tables": "cells", "figure": "table1.html",
        "reason": "", "note": "",
    }  # fmt: skip
    return [
        {"id": "1", "statement": "The original is best.", "verdict": "holds", "effect": 0.145833333,
         "low": 0.1, "high": 0.2} | common,
        {"id": "2", "statement": "Nothing <b>matters</b>.", "verdict": "does not hold",
         "effect": -0.2, "low": -0.3, "high": -0.1} | common,
        {"id": "3", "statement": "A table is missing.", "verdict": "not tested", "effect": "",
         "low": "", "high": ""} | common,
    ]  # fmt: skip
