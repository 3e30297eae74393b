"""How good the masks are: one row a mask, those that pass, and summaries of a data set."""

import json

import numpy as np
import pandas as pd

from halfseen.masks import intersection_over_union
from halfseen.shards import PROVENANCE, read_column


def mask_table(shards, manifest):
    """The provenance of every mask and its `iou` with the exact mask, in the manifest's order.

    `iou` is empty where an image has no exact mask, `agreement` where one question was asked or a
    mask was drawn instead. Raises ValueError unless the shards hold exactly the manifest's images.
    """
    table = pd.concat([_shard_table(shard) for shard in shards]).set_index("image_id")
    if sorted(table.index) != sorted(manifest.image_id):
        raise ValueError(
            f"the {len(table)} images of the shards are not the {len(manifest)} of the manifest"
        )
    return table.loc[manifest.image_id].reset_index()


def passing(table, min_predicted_iou, min_stability):
    """Which masks (n,) bool of a table of `mask_table` pass.

    Those that the prompt itself gave, of which SAM's own estimate and the stability reach the
    thresholds. A given mask, which SAM has not judged, passes too.
    """
    given = table.prompt.map(json.loads).map(lambda prompt: prompt["kind"] == "given")
    sure = (table.predicted_iou >= min_predicted_iou) & (table.stability >= min_stability)
    return (table.fallback == "") & (sure | given)


def summarise_masks(table):
    """One row a data set: numbers of masks, of fallbacks and of those that pass, scores and IoU.

    `mean_agreement` is over the masks that have one, `mean_iou` and `median_iou` over the `n_exact`
    with an exact mask; empty where there are none.
    """
    rows = []
    for dataset, masks in table.groupby("dataset", sort=False):
        iou, agreement = (pd.to_numeric(masks[name]).dropna() for name in ("iou", "agreement"))
        rows.append(
            {
                "dataset": dataset,
                "n": len(masks),
                "n_fallback": int((masks.fallback != "").sum()),
                "fallback_rate": (masks.fallback != "").mean(),
                "n_passing": int(masks.passes.sum()),
                "mean_area": masks.area.mean(),
                "mean_predicted_iou": masks.predicted_iou.mean(),
                "mean_stability": masks.stability.mean(),
                "mean_agreement": _four_digits(agreement.mean()),
                "n_exact": len(iou),
                "mean_iou": _four_digits(iou.mean()),
                "median_iou": _four_digits(iou.median()),
            }
        )
    return pd.DataFrame(rows)


def fallbacks_by_class(table):
    """One row a class: numbers of masks, of fallbacks and of those that pass."""
    grouped = table.groupby(["dataset", "label_name"], sort=False)
    counts = grouped.agg(
        n=("fallback", "size"),
        n_fallback=("fallback", lambda fallback: (fallback != "").sum()),
        n_passing=("passes", "sum"),
    ).reset_index()
    counts.insert(4, "fallback_rate", counts.n_fallback / counts.n)
    return counts


def fallbacks_text(counts, labels):
    """The classes with a fallback as strings, the worst of each data set first, and one row each
    for the data sets' other classes together."""
    rows = []
    for dataset, classes in counts.groupby("dataset", sort=False):
        some = classes[classes.n_fallback > 0]
        some = some.sort_values("fallback_rate", ascending=False, kind="stable")
        none = classes[classes.n_fallback == 0]
        named = [(row.label_name.replace("_", " "), row) for row in some.itertuples()]
        if len(none):
            which = "all" if some.empty else "other"
            named.append(
                (f"{which} classes ({len(none)})", none[["n", "n_fallback", "n_passing"]].sum())
            )
        rows += [
            {
                "Data set": labels["datasets"][dataset],
                "Class": name,
                "Images": str(row.n),
                "Fallbacks": str(row.n_fallback),
                "Rate": f"{row.n_fallback / row.n:.0%}",
                "Passing": str(row.n_passing),
            }
            for name, row in named
        ]
    return pd.DataFrame(rows)


def meaning_text(notes, labels):
    """One sentence of `notes` {data set: what a mask means there}."""
    told = [f"in {labels['datasets'][dataset]}, {note}" for dataset, note in notes.items()]
    return f"What a mask means: {'; '.join(told)}."


def summary_text(summary, labels):
    """The summary of `summarise_masks` as a table of strings with readable heads."""
    return pd.DataFrame(
        {
            "Data set": summary.dataset.map(labels["datasets"]),
            "Masks": summary.n.astype(str),
            "Fallbacks": [
                f"{row.n_fallback} ({row.fallback_rate:.1%})" for row in summary.itertuples()
            ],
            "Passing": summary.n_passing.astype(str),
            "Mean area": summary.mean_area.map("{:.3f}".format),
            "Mean predicted IoU": summary.mean_predicted_iou.map("{:.3f}".format),
            "Mean stability": summary.mean_stability.map("{:.3f}".format),
            "Mean agreement": summary.mean_agreement.where(
                summary.mean_agreement != "", "one prompt"
            ),
            "Exact masks": summary.n_exact.astype(str),
            "Mean IoU": summary.mean_iou.where(summary.mean_iou != "", "none"),
            "Median IoU": summary.median_iou.where(summary.median_iou != "", "none"),
        }
    )


def _shard_table(shard):
    columns = {name: read_column(shard, name) for name in PROVENANCE}
    table = pd.DataFrame({"image_id": read_column(shard, "image_ids")} | columns)
    table["agreement"] = ["" if np.isnan(value) else f"{value:.6f}" for value in table.agreement]
    table["iou"] = ""
    known = read_column(shard, "has_exact_mask")
    if known is not None:
        masks, exact = read_column(shard, "masks")[known], read_column(shard, "exact_masks")[known]
        table.loc[known, "iou"] = [
            f"{intersection_over_union(a, b):.6f}" for a, b in zip(masks, exact, strict=True)
        ]
    return table


def _four_digits(value):
    return "" if np.isnan(value) else f"{value:.4f}"
