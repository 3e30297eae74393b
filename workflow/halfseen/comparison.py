"""Our probes beside numbers that others have published, and what keeps the two apart."""

import pandas as pd

CELL = ["dataset", "model", "variant"]
# The paper's 5 folds, and the protocol that stands for what it tells of its classifier.
PAPER_PROTOCOL, PAPER_FOLDS = "paper", 5
# It names whole data sets and no numbers of images: these are those of the rows of config.yaml,
# Caltech-101 without BACKGROUND_Google.
PAPER_IMAGES = {"cifar100": 60_000, "caltech101": 8_677}


def beside_paper(table1, paper):
    """Table 1 with the paper's numbers in its rows, which keep their order.

    `table1` has the columns dataset, model, variant, balanced_accuracy_mean, n_folds, n_images and
    protocol, `paper` the first four and balanced_accuracy_std. Adds `paper_mean`, `paper_std` and
    `difference` (ours less the paper's), empty where the paper has no such cell, and `differs`:
    what in our protocol and images is not the paper's, empty where nothing is or nothing is
    compared. Raises ValueError for a table without these columns and for a cell that the paper has
    twice.
    """
    needed = [*CELL, "balanced_accuracy_mean", "n_folds", "n_images", "protocol"]
    _check_columns(table1, needed, "our Table 1")
    theirs = paper[[*CELL, "balanced_accuracy_mean", "balanced_accuracy_std"]]
    theirs = theirs.set_axis([*CELL, "paper_mean", "paper_std"], axis=1)
    repeated = theirs[theirs.duplicated(CELL)]
    if len(repeated):
        raise ValueError(f"the paper's table has {repeated[CELL].iloc[0].tolist()} twice")
    joined = table1.merge(theirs, on=CELL, how="left", validate="many_to_one")
    known = joined.paper_mean.notna()
    difference = joined.balanced_accuracy_mean - joined.paper_mean
    for name, values in (
        ("paper_mean", joined.paper_mean),
        ("paper_std", joined.paper_std),
        ("difference", difference),
    ):
        joined[name] = values.astype(object).where(known, "")
    joined["differs"] = [
        "; ".join(_paper_differences(row)) if has_number else ""
        for row, has_number in zip(joined.to_dict("records"), known, strict=True)
    ]
    return joined


def beside_published(cells, published, variant="original"):
    """Our scores on whole images beside published ones: a row each pair of the two.

    `cells` is one row a data set, model, variant and protocol, with the columns balanced_accuracy
    and accuracy (shares), `split_source` ("official" or "folds"), `n_images` (all of the data set,
    whichever part is tested) and `n_left_out` of them. `published` has the columns protocol, model,
    dataset, n_images, metric (the column of `cells` that it is compared with), value, source and
    note ("" where there is none). Only rows of `variant`, the image as it is, are taken.

    `comparable` is true only where protocol, images and split are those of the published number and
    its note is empty; else `reason` names everything that differs. `difference` is ours less the
    published one. Raises ValueError for a metric that the cells lack.
    """
    metrics = sorted(set(published.metric))
    needed = [*CELL, "protocol", "split_source", "n_images", "n_left_out", *metrics]
    _check_columns(cells, needed, "the table of probes")
    rows = []
    for cell in cells[cells.variant == variant].to_dict("records"):
        same = (published.dataset == cell["dataset"]) & (published.model == cell["model"])
        for number in published[same].to_dict("records"):
            reason = "; ".join(_differences(cell, number))
            rows.append(
                {
                    "dataset": cell["dataset"], "model": cell["model"],
                    "protocol": cell["protocol"], "published_protocol": number["protocol"],
                    "metric": number["metric"], "ours": cell[number["metric"]],
                    "published": number["value"],
                    "difference": cell[number["metric"]] - number["value"],
                    "comparable": not reason, "reason": reason, "source": number["source"],
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


COLUMNS = [
    "dataset", "model", "protocol", "published_protocol", "metric", "ours", "published",
    "difference", "comparable", "reason", "source",
]  # fmt: skip


def _paper_differences(row):
    if row["protocol"] != PAPER_PROTOCOL:
        yield f"protocol {row['protocol']}, not {PAPER_PROTOCOL}"
    if row["n_folds"] != PAPER_FOLDS:
        yield f"{row['n_folds']} folds, not {PAPER_FOLDS}"
    n_images = PAPER_IMAGES[row["dataset"]]
    if row["n_images"] != n_images:
        yield f"{row['n_images']:,} images, not {n_images:,}"


def _differences(cell, number):
    """What keeps a cell from being compared with a published number, in words."""
    if cell["protocol"] != number["protocol"]:
        yield f"protocol {cell['protocol']}, not {number['protocol']}"
    if cell["split_source"] != "official":
        yield f"split from {cell['split_source']}, not official"
    if cell["n_images"] != number["n_images"]:
        yield f"{cell['n_images']:,} images, not {number['n_images']:,}"
    if cell["n_left_out"]:
        yield f"{cell['n_left_out']:,} images left out, which share a group with a test image"
    if number["note"]:
        yield number["note"]


def _check_columns(table, names, what):
    missing = [name for name in names if name not in table]
    if missing:
        raise ValueError(f"{what} lacks the columns {missing}, which the comparison needs")
