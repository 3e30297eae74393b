"""One record an image for a page: its mask's origin, every probe's prediction, its pictures."""

import json

import numpy as np
import pandas as pd

from halfseen.pictures import balanced_order, covers_of, photo
from halfseen.shards import read_batches

MASK_TEXT = ["prompt", "query", "fallback"]
MASK_NUMBERS = [
    "mask_index", "score", "predicted_iou", "stability", "area", "components", "border_contact",
    "cleaned", "agreement", "iou", "passes",
]  # fmt: skip
NO_PREDICTION = -1
BATCH = 64


def image_table(manifests, masks=None):
    """One row an image of all data sets: dataset, image_id, label, label_name, its mask's columns.

    `manifests` is {dataset: manifest}; `masks` the table of masks, or None. Raises ValueError for
    an image without a mask where there is a table.
    """
    table = pd.concat(
        [
            manifest[["image_id", "label", "label_name"]].assign(dataset=dataset)
            for dataset, manifest in manifests.items()
        ],
        ignore_index=True,
    )
    if masks is None:
        return table
    joined = table.merge(
        masks[["dataset", "image_id", *MASK_TEXT, *MASK_NUMBERS]], how="left", indicator=True
    )
    lost = joined[joined._merge != "both"]
    if len(lost):
        raise ValueError(f"image {lost.image_id.iloc[0]!r} has no row in the table of masks")
    return joined.drop(columns="_merge")


def out_of_fold(predictions, table, reference):
    """The class that each probe predicts for each image, which it was not fitted on.

    `predictions` are tables of the data dictionary's columns, `table` that of `image_table`. Kept
    are the probes asked about the variant they were fitted on and those fitted on the `reference`
    variant. Returns the cells, dicts of model, protocol, train and test, and labels (n, cells),
    -1 where a probe was not asked. Raises KeyError for an image that `table` lacks.
    """
    places = {key: row for row, key in enumerate(zip(table.dataset, table.image_id, strict=True))}
    keys, columns = ["model", "protocol", "train_variant", "test_variant"], {}
    for part in predictions:
        part = part[
            (part.control == "none")
            & (part.centering == "raw")
            & ((part.train_variant == part.test_variant) | (part.train_variant == reference))
        ]
        for key, cell in part.groupby(keys, sort=False, observed=True):
            column = columns.setdefault(key, np.full(len(table), NO_PREDICTION))
            rows = [places[pair] for pair in zip(cell.dataset, cell.image_id, strict=True)]
            column[rows] = cell.predicted
    cells = [dict(zip(["model", "protocol", "train", "test"], key, strict=True)) for key in columns]
    return cells, np.stack(list(columns.values()), axis=1) if columns else np.empty((len(table), 0))


def showing_order(table, rng, first=()):
    """The order in which images get a place on a page that may not hold them all.

    Every beginning is balanced over the classes of all data sets; the pairs (dataset, image_id) of
    `first` come first in their class. Row numbers (n,) of `table`.
    """
    first = set(first)
    marked = [pair in first for pair in zip(table.dataset, table.image_id, strict=True)]
    return balanced_order(table.dataset + "/" + table.label.astype(str), rng, np.array(marked))


def records_within(max_bytes, order, table, predicted, shards, variants):
    """The records of as many images, by `order`, as fit `max_bytes` as JSON; in the table's order.

    `predicted` comes from `out_of_fold`; `shards` is {dataset: paths}; `variants` {name: row}. A
    record holds the row's text and numbers, `predicted`, the `photo` and the `covers`.
    """
    kept, room = {}, max_bytes
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        pictures = _pictures(table.iloc[rows], shards, variants)
        for row in rows:
            record = _row_record(table.iloc[row]) | {"predicted": predicted[row].tolist()}
            record |= pictures[record["dataset"], record["id"]]
            room -= len(json.dumps(record)) + 2
            if room < 0:
                return [kept[row] for row in sorted(kept)]
            kept[row] = record
    return [kept[row] for row in sorted(kept)]


def _row_record(row):
    record = {"dataset": row.dataset, "id": row.image_id, "class": row.label_name}
    record["label"] = int(row.label)
    record |= {name: row[name] for name in MASK_TEXT if name in row}
    numbers = {name: row[name] for name in MASK_NUMBERS if name in row}
    return record | {name: None if x == "" else round(float(x), 4) for name, x in numbers.items()}


def _pictures(rows, shards, variants):
    """{(dataset, image_id): {photo, covers}} of some rows of the table."""
    found = {}
    for dataset, own in rows.groupby("dataset", sort=False):
        batches = read_batches(shards[dataset], own.image_id.tolist(), BATCH)
        for ids, images, masks in batches:
            for image_id, image, mask in zip(ids, images, masks, strict=True):
                found[dataset, image_id] = {
                    "photo": photo(image), "covers": covers_of(mask, variants)
                }  # fmt: skip
    return found
