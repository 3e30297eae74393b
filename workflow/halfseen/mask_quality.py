"""How good the masks are: one row a mask, and a summary of a data set."""

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


def summarise_masks(table):
    """One row a data set: numbers of masks and of fallbacks, mean area, scores and IoU.

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


def summary_text(summary, labels):
    """The summary of `summarise_masks` as a table of strings with readable heads."""
    return pd.DataFrame(
        {
            "Data set": summary.dataset.map(labels["datasets"]),
            "Masks": summary.n.astype(str),
            "Fallbacks": summary.n_fallback.astype(str),
            "Mean area": summary.mean_area.map("{:.3f}".format),
            "Mean predicted IoU": summary.mean_predicted_iou.map("{:.3f}".format),
            "Mean stability": summary.mean_stability.map("{:.3f}".format),
            "Mean agreement": summary.mean_agreement.where(
                summary.mean_agreement != "", "one prompt"
            ),
            "Exact masks": summary.n_exact.astype(str),
            "Mean IoU": summary.mean_iou.where(summary.mean_iou != "", "no exact masks"),
            "Median IoU": summary.median_iou.where(summary.median_iou != "", "no exact masks"),
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
