"""The atlas of a study: one page, opened from disk, with its tables, its images and its making."""

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from halfseen.files import write_text
from halfseen.geometry import SIZE_PX
from halfseen.image_records import image_table, out_of_fold, records_within, showing_order
from halfseen.pictures import shared_covers
from halfseen.style import COLORS, colors_of, heat_colors

CELL = ["dataset", "model"]
# {table: (columns of text, columns of numbers)} that the page draws from, and the tables it prints.
COLUMNS = {
    "table1": (
        [*CELL, "protocol", "variant", "differs"],
        ["balanced_accuracy_mean", "balanced_accuracy_std", "low", "high", "n_folds", "chance",
         "shuffled", "paper_mean", "paper_std"],
    ),
    "similarity": (
        [*CELL, "measure", "variant_x", "variant_y"],
        ["similarity", "null", "low", "high", "n", "p_freely", "p_within_classes"],
    ),
    "neighbors": (
        [*CELL, "centering", "metric", "k", "variant", "neighbor_variant"],
        ["share", "low", "high", "null", "enrichment"],
    ),
    "trustworthiness": ([*CELL, "seed", "metric"], ["trustworthiness", "k", "n", "n_variants"]),
}  # fmt: skip
STATIC = ("claims", "summary", "fallbacks")
NO_POINTS = pd.DataFrame(columns=["dataset", "model", "seed", "variant", "image_id", "x", "y"])
# A measure's kind: the question it answers, and how it treats what chance alone would give.
ANSWERS = {
    "linear_cka": ("linear CKA", "biased"),
    "debiased_cka": ("linear CKA", "debiased"),
    "mean_squared_cca": ("mean squared CCA", "biased"),
    "adjusted_cca": ("mean squared CCA", "debiased"),
    "cross_validated_cca": ("mean squared CCA", "held-out images"),
}
HISTOGRAMS = {
    "predicted_iou": "SAM's predicted IoU", "iou": "IoU with the exact mask",
    "stability": "Stability", "area": "Area, share of the crop",
}  # fmt: skip
BIN_EDGES = np.linspace(0, 1, 26)
# Of the page, what the points of UMAP may take; bytes of the two coordinates of one.
UMAP_SHARE, POINT_BYTES = 0.15, 16


def write_atlas(path, parts_folder, study, tables, images, rng):
    """Write the page of a study to `path`; returns how many images it shows, and of how many.

    `parts_folder` holds the template and what it includes. `study` tells what ran: title, labels,
    the rows of variants and measures, `max_mb`, and the rest as the template names it. `tables` are
    those of `COLUMNS` and of `STATIC`, calibration, masks and umap; a missing one leaves its part
    out. `images` has manifests and shards by data set, and `predictions`, tables. Where `max_mb`
    leaves no room for all images, those shown are drawn evenly over the classes. Raises ValueError
    where it leaves none for the tables.
    """
    table = image_table(images["manifests"], tables.get("masks"))
    cells, predicted = out_of_fold(images["predictions"], table, study["reference"])
    embedded = tables.get("umap", NO_POINTS)
    order = showing_order(table, rng, zip(embedded.dataset, embedded.image_id, strict=True))
    max_bytes = round(study["max_mb"] * 1e6)
    data = _study_data(study) | {
        "tables": page_tables(tables),
        "umap": umap_points(embedded, table.iloc[order], UMAP_SHARE * max_bytes),
        "histograms": mask_histograms(tables["masks"]) if "masks" in tables else [],
        "cells": cells,
        "classes": classes_of(table),
    }
    source = table, predicted, images["shards"], study["variants"]
    template = page_template(parts_folder)
    told = {
        "study": study | {"n_images": len(table)},
        "data": data,
        "examples": records_within(max_bytes, first_of_each(table, order), *source),
    } | {name: tables[name].to_dict("records") if name in tables else [] for name in STATIC}
    room = max_bytes - len(template.render(**told, images=[]).encode())
    if room < 0:
        raise ValueError(
            f"without its images the atlas takes {max_bytes - room:,} bytes, more than the "
            f"{max_bytes:,} of atlas: max_mb; allow more, or let the study select less"
        )
    records = records_within(room, order, *source)
    write_text(path, template.render(**told, images=records))
    return len(records), len(table)


def _study_data(study):
    """What the page's code needs to know of the study."""
    variants = study["variants"]
    return {
        name: study[name]
        for name in ("labels", "datasets", "models", "reference", "masking", "level")
    } | {
        "variants": list(variants),
        "keeps": {name: row["keep"] for name, row in variants.items()},
        "covers": shared_covers(SIZE_PX, variants),
        "families": measure_families(study["measures"], study["labels"]["measures"]),
        "passing": {name.removeprefix("min_"): least for name, least in study["passing"].items()},
        "colors": colors_of(study["places"]),
        "heat": heat_colors(64),
        "palette": COLORS,
    }


def first_of_each(table, order):
    """The first rows (n,) of `order` that are of each data set, with a mask that passes if any."""
    ordered = table.iloc[order].assign(row=order)
    if "passes" in table:
        ordered = ordered.sort_values("passes", ascending=False, kind="stable")
    first = ordered.drop_duplicates("dataset").set_index("dataset").row
    return first[table.dataset.unique()].to_numpy()


def page_template(parts_folder):
    """The template `page.html.j2` of a folder; what it prints is escaped."""
    environment = Environment(
        loader=FileSystemLoader(parts_folder), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    loader = environment.loader
    environment.globals["part"] = lambda name: Markup(loader.get_source(environment, name)[0])
    environment.globals["plotly"] = Markup(get_plotlyjs())
    return environment.get_template("page.html.j2")


def page_tables(tables):
    """{table: its columns for the page} of the `tables` that are there."""
    found = {name: table for name, table in tables.items() if name in COLUMNS}
    if {"similarity", "calibration"} <= tables.keys():
        found["similarity"] = with_chance(tables["similarity"], tables["calibration"])
    return {name: packed(table, *COLUMNS[name]) for name, table in found.items()}


def packed(table, text, numbers):
    """A table by column, as plain values: text as levels and codes, numbers of 6 digits or None.

    A column that the table lacks is left out.
    """
    columns = {}
    for name in [name for name in text if name in table]:
        codes, levels = pd.factorize(table[name].astype(str))
        columns[name] = {"levels": levels.tolist(), "codes": codes.tolist()}
    for name in [name for name in numbers if name in table]:
        values = pd.to_numeric(table[name], errors="coerce")
        columns[name] = [None if pd.isna(x) else float(f"{x:.6g}") for x in values]
    return columns


def with_chance(similarity, calibration):
    """The table of similarities with the p of the random pairings, in columns by what they permute.

    Calibration holds each pair of variants once; both orders get its values.
    """
    pair = [*CELL, "measure", "variant_x", "variant_y"]
    wide = calibration.assign(column="p_" + calibration.permutes.str.replace(" ", "_"))
    wide = wide.pivot(index=pair, columns="column", values="p").reset_index()
    swapped = wide.rename(columns={"variant_x": "variant_y", "variant_y": "variant_x"})
    both = pd.concat([wide, swapped]).drop_duplicates(pair)
    return similarity.merge(both, on=pair, how="left", validate="one_to_one")


def measure_families(measures, labels):
    """The study's measures by the question that they answer: dicts of label and choices.

    `measures` is {name: row}, `labels` {name: label}. Kinds that treat chance differently, with
    equal settings, are the choices of one family, named like its first; others are their own.
    """
    families = {}
    for name, row in measures.items():
        question, treatment = ANSWERS.get(row["kind"], (name, ""))
        settings = {key: row[key] for key in sorted(row) if key != "kind"}
        family = families.setdefault(
            (question, str(settings)), {"label": labels[name], "choices": []}
        )
        family["choices"].append({"measure": name, "treatment": treatment, "kind": row["kind"]})
    for family in families.values():
        family["choices"].sort(key=lambda choice: choice["treatment"] != "biased")
        family["label"] = labels[family["choices"][0]["measure"]]
    return list(families.values())


def umap_points(umap, order, max_bytes):
    """The coordinates of UMAP for the page: ids, numbers of images, and a fit per model and seed.

    Of `umap` as many images are kept as `max_bytes` hold, in the `order` of a table of images.
    {dataset: {images: [id, class], n, fits: [{model, seed, x, y}]}}; x and y by variant, each a
    list over the images, of 3 decimals.
    """
    n_fits = len(umap) / max(1, len(umap[["dataset", "image_id"]].drop_duplicates()))
    n_kept = int(max_bytes / (POINT_BYTES * max(1, n_fits)))
    wanted = umap[["dataset", "image_id"]].drop_duplicates()
    shown = order[["dataset", "image_id", "label_name"]].merge(wanted).head(n_kept)
    found = {}
    for dataset, own in umap.groupby("dataset", sort=False):
        ids = shown[shown.dataset == dataset].sort_values("image_id")
        fits = [
            {"model": model, "seed": int(seed)} | _by_variant(fit, ids.image_id)
            for (model, seed), fit in own.groupby(["model", "seed"], sort=False)
        ]
        images = ids[["image_id", "label_name"]].to_numpy().tolist()
        found[dataset] = {"images": images, "n": own.image_id.nunique(), "fits": fits}
    return found


def _by_variant(fit, ids):
    wide = {axis: fit.pivot(index="image_id", columns="variant", values=axis) for axis in "xy"}
    return {
        axis: {name: table.loc[ids, name].astype(float).round(3).tolist() for name in table}
        for axis, table in wide.items()
    }


def mask_histograms(masks):
    """Counts of the masks' scores in 25 bins from 0 to 1, of the prompt's own and of fallbacks.

    Dicts of dataset, column, title, own and fallback; without those of which no mask has a value.
    """
    rows = []
    for (dataset, own), (column, title) in (
        (part, shown)
        for part in masks.groupby("dataset", sort=False)
        for shown in HISTOGRAMS.items()
    ):
        values = pd.to_numeric(own[column], errors="coerce").clip(0, 1)
        apart = own.fallback != ""
        counts = [
            np.histogram(values[part & values.notna()], BIN_EDGES)[0].tolist()
            for part in (~apart, apart)
        ]
        if values.notna().any():
            rows.append(
                {"dataset": dataset, "column": column, "title": title,
                 "own": counts[0], "fallback": counts[1]}
            )  # fmt: skip
    return rows


def classes_of(table):
    """{dataset: names of its classes, by label} of a table of images."""
    found = {}
    for dataset, own in table.groupby("dataset", sort=False):
        names = own.drop_duplicates("label").set_index("label").label_name
        found[dataset] = [names.get(label, "") for label in range(names.index.max() + 1)]
    return found
