"""What a study shows under plain names: its tables and figures, and what each is made from."""

import json
from dataclasses import dataclass

from halfseen.study.study import FIGURE_MEASURES, Study

# {table: (stage, file of the stage, what it is behind)}
TABLES = {
    "masks": ("masks", "table", "Figure 1, masks"),
    "probes": ("probes", "table", "Table 1"),
    "selection": ("probes", "selection", "the choice of C"),
    "cells": ("probe_comparisons", "cells", "intervals, transfer"),
    "differences": ("probe_comparisons", "differences", "paired differences"),
    "margins": ("probe_comparisons", "margins", "sufficiency, background reliance"),
    "agreement": ("probe_comparisons", "agreement", "kappa and flips"),
    "similarity": ("similarity", "table", "Figures 2 and 3"),
    "calibration": ("similarity", "calibration", "what chance gives"),
    "confounds": ("similarity", "confounds", "classes, long rows"),
    "curves": ("similarity", "curves", "leading components"),
    "sizes": ("similarity", "sizes", "is n large enough?"),
    "additivity": ("similarity", "additivity", "what the original consists of"),
    "models": ("model_comparisons", "table", "all models and variants"),
    "patterns": ("model_comparisons", "patterns", "models against the first"),
    "map": ("model_comparisons", "map", "the map of models"),
    "neighbors": ("neighbors", "table", "Figure 4, bars"),
    "neighbor_measures": ("neighbors", "measures", "siblings, purity, hubs"),
    "umap": ("umap", "table", "Figure 4, points"),
    "trustworthiness": ("umap", "trust", "how far UMAP can be trusted"),
}


@dataclass(frozen=True)
class Figure:
    """A figure of a study: the stages that it is made from, and the formats that it has."""

    stages: tuple[str, ...]
    suffixes: tuple[str, ...] = ("pdf", "svg", "png")


FIGURES = {
    "figure1_variants": Figure(("manifests", "shards")),
    "figure2_cca": Figure(("similarity",)),
    "figure3_cka": Figure(("similarity",)),
    "figure4_neighbors": Figure(("neighbors", "umap")),
    "masks_quality": Figure(("masks",)),
    "transfer_raw": Figure(("probe_comparisons",)),
    "transfer_recentred": Figure(("probe_comparisons",)),
    "model_map": Figure(("model_comparisons",)),
    "component_curves": Figure(("similarity",)),
    "additivity": Figure(("similarity",)),
    "dose_response": Figure(("probe_comparisons", "similarity")),
}
# What a study shows beside tables and figures: {name: the stages that it is made from}.
PAGES = {
    "table1.csv": ("probes", "probe_comparisons"),
    "table1_passing.csv": ("probes", "masks"),
    "published.csv": ("probes", "probe_comparisons"),
    "paper_comparison.csv": ("probes", "probe_comparisons"),
    "claims.csv": ("masks", "probe_comparisons", "similarity", "model_comparisons", "neighbors"),
    "masks.csv": ("masks",),
    "fallbacks.csv": ("masks",),
    "datasets.csv": ("manifests",),
}


def left_out(study: Study) -> dict[str, str]:
    """{figure: why} of the figures that this study's selection gives nothing to draw of."""
    whole = "no variant has `role: whole`"
    reasons = {
        name: f"the study selects no measure of kind {kind}"
        for name, kind in FIGURE_MEASURES.items()
        if study.first_measure(kind) is None
    }
    if study.whole is None:
        reasons["component_curves"] = whole
    elif len(study.variants) < 2:
        reasons["component_curves"] = "there is no variant beside the whole image"
    lacking = [role for role in ("whole", "object", "surroundings") if role not in study.roles]
    if lacking:
        roles = ", ".join(f"`role: {role}`" for role in lacking)
        reasons["additivity"] = f"no variant has {roles}"
    if len(study.models) * len(study.variants) < 3:
        reasons["model_map"] = "a map takes three representations"
    if not study.has_transfer:
        protocol = study.protocols[0]
        for name in ("transfer_raw", "transfer_recentred"):
            reasons[name] = f"the first protocol, {protocol!r}, has no `transfer: true`"
    if not study.has_doses:
        reasons["dose_response"] = "there are no circles of several radii"
    return reasons


def figures(study: Study) -> list[str]:
    """The names of the figures that this study has."""
    reasons = left_out(study)
    return [name for name in FIGURES if name not in reasons]


def artifact_rows(study: Study) -> list[dict[str, str]]:
    """Which keyed files each result came from, with the parameters, JSON, that made them.

    `record` is the path of the record that knows time and commit, for `with_records`.
    """
    results = {f"tables/{name}.csv": (stage,) for name, (stage, *_) in TABLES.items()}
    results |= {f"figures/{name}": FIGURES[name].stages for name in figures(study)} | PAGES
    stages = dict.fromkeys(stage for of_result in results.values() for stage in of_result)
    made = {stage: [_row(one) for one in study.of_stage(stage)] for stage in stages}
    return [
        {"result": result} | row
        for result, of_result in results.items()
        for stage in of_result
        for row in made[stage]
    ]


def _row(artifact):
    return {
        "stage": artifact.stage,
        "dataset": artifact.names["dataset"],
        "model": artifact.names.get("model", ""),
        "file": next(iter(artifact.paths.values())),
        "key": artifact.key,
        "parameters": json.dumps(artifact.parameters, sort_keys=True),
        "record": artifact.path("record"),
    }
