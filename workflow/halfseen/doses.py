"""Dose and response: what a model still finds as a circle shows, or hides, more of the image."""

import numpy as np
import pandas as pd

from halfseen.circles import CIRCLES, radii
from halfseen.geometry import SIZE_PX
from halfseen.variants import visible_pixels

ACCURACY, SIMILARITY = "balanced accuracy", "CKA with the original"
KEY = ["dataset", "model", "quantity", "keep"]
VALUES = ["value", "low", "high", "null"]


def shown_share(row):
    """Share of the pixels of an image that a variant's row shows, 0 to 1, counted."""
    nothing = np.zeros((1, SIZE_PX, SIZE_PX), dtype=bool)
    return float(visible_pixels(row["keep"], nothing, row.get("radius")).mean())


def dose_table(cells, similarity, variants, protocol, measure):
    """Response by dose: a row per data set, model, quantity, kind of circle and variant.

    `cells` and `similarity` are the tables of these names, `variants` {name: row} those of the
    study, `protocol` and `measure` whose values are taken; None for `measure` leaves similarities
    out. Columns: dataset, model, quantity, keep ("center" or "border"), variant, `shown` (share of
    the image, 0 to 1), value, low, high, `null` (what nothing scores). The whole image, with a
    share of 1, ends the curves of both kinds. Similarities are those with the whole image, so that
    there are none where the study lacks it.
    """
    own = cells[(cells.protocol == protocol) & (cells.control == "none")]
    own = own[own.train_variant == own.test_variant]
    accuracies = own.rename(
        columns={"train_variant": "variant", "balanced_accuracy": "value", "chance": "null"}
    ).assign(quantity=ACCURACY)
    whole = [name for name, row in variants.items() if row.get("role") == "whole"]
    beside = similarity[
        (similarity.measure == measure) & similarity.variant_x.isin(whole[:1])
    ].rename(columns={"variant_y": "variant", "similarity": "value"})
    quantities = [accuracies, beside.assign(quantity=SIMILARITY)]
    names = ["dataset", "model", "quantity", "variant", *VALUES]
    values = pd.concat([table[names] for table in quantities if len(table)], ignore_index=True)
    curves = []
    for kind in CIRCLES:
        if not radii(variants, kind):
            continue
        shown = {
            name: shown_share(row)
            for name, row in variants.items()
            if row["keep"] == kind or name in whole[:1]
        }
        curve = values[values.variant.isin(shown)]
        curves.append(curve.assign(keep=kind, shown=curve.variant.map(shown)))
    table = pd.concat(curves, ignore_index=True)
    curve = table.groupby(KEY, sort=False).ngroup()
    ordered = table.iloc[np.lexsort((table.shown, curve))].reset_index(drop=True)
    return ordered[[*KEY, "variant", "shown", *VALUES]]
