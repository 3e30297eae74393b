"""Tables for reading: Table 1 and its kin as CSV, Markdown, LaTeX and HTML."""

import pandas as pd

from halfseen.comparison import PAPER_FOLDS
from halfseen.uncertainty import corrected_fold_se

KEY = ["dataset", "model", "protocol"]


def read_table(path):
    """A table that `write_table` wrote: ids stay text, `0045128` too, and empty fields stay so."""
    return pd.read_csv(path, dtype={"image_id": str}, keep_default_na=False)


def own_cells(table):
    """The rows of a table of cells or predictions whose probe was fitted on the variant it sees.

    Without a control, not recentred; the column `variant` names it.
    """
    own = table[
        (table.train_variant == table.test_variant)
        & (table.centering == "raw")
        & (table.control == "none")
    ]
    return own.assign(variant=own.test_variant)


def transfer_cells(cells, protocol, centering):
    """The rows of a table of cells that a protocol's transfer consists of, under one `centering`.

    A probe asked about the variant that it was fitted on is never recentred: those rows are the raw
    ones under either.
    """
    own = cells.train_variant == cells.test_variant
    asked = (cells.protocol == protocol) & (cells.control == "none")
    return cells[asked & (own | (cells.centering == centering))]


def table1(probes, cells):
    """Balanced accuracy of the table of probes: a row per data set, model, protocol and variant.

    Rows stand in the order of the probes. Columns: mean and standard deviation (divisor k) over the
    `n_folds` folds k, the corrected standard error of that mean (`fold_se`, empty for one fold) and
    the chance level; from the table of `cells` the number of images that are judged (`n_images`),
    the bootstrap interval (`low`, `high`) of the balanced accuracy over all of them pooled, and
    what the protocol reaches with shuffled labels (`shuffled`, empty where that was not tried).
    Raises KeyError for a row that `cells` lacks.
    """
    rows = []
    for key, cell in own_cells(probes).groupby([*KEY, "variant"], sort=False):
        values = cell.balanced_accuracy
        rows.append(
            dict(zip([*KEY, "variant"], key, strict=True))
            | {
                "balanced_accuracy_mean": values.mean(),
                "balanced_accuracy_std": values.std(ddof=0),
                "fold_se": float(corrected_fold_se(values)) if len(values) > 1 else "",
                "n_folds": len(values), "chance": cell.chance.iloc[0],
            }
        )  # fmt: skip
    table = pd.DataFrame(rows)
    intervals = own_cells(cells).set_index([*KEY, "variant"])
    own = intervals.loc[pd.MultiIndex.from_frame(table[[*KEY, "variant"]])]
    for name in ("n_images", "low", "high"):
        table[name] = own[name].to_numpy()
    control = cells[cells.control != "none"].set_index(KEY).balanced_accuracy.rename("shuffled")
    table = table.join(control, on=KEY)
    return table.assign(shuffled=table.shuffled.astype(object).where(table.shuffled.notna(), ""))


def published_cells(probes, cells):
    """What `beside_published` compares: a row per data set, model, protocol and variant.

    The columns of `cells`, with `split_source` and `n_left_out` of the probes; `n_images` are all
    images of the data set: those that a probe is fitted on, those it is tested on and those it
    leaves out.
    """
    columns = ["split_source", "n_left_out", "n_train", "n_test"]
    told = own_cells(probes).groupby([*KEY, "variant"], sort=False)[columns].first()
    # A column that is empty throughout was read as one of numbers.
    told = told.astype({"split_source": object}).fillna({"split_source": "", "n_left_out": 0})
    told = told.astype({"n_left_out": int})
    told["n_images"] = told.n_train + told.n_test + told.n_left_out
    judged = own_cells(cells).drop(columns="n_images").set_index([*KEY, "variant"])
    return judged.join(told, validate="one_to_one").reset_index()


def table1_passing(predictions, masks):
    """Balanced accuracy on the images whose masks pass: a row per data set, model and variant.

    `predictions` are those of one protocol that predicts every image out of fold, with the columns
    of the data dictionary; `masks` has dataset, image_id and passes. All folds are pooled, over the
    `n_images` (`balanced_accuracy_all`) and over the `n_passing` of them
    (`balanced_accuracy_passing`, mean over the `n_classes_passing` classes that these show; empty
    where none passes). The probes are the same: they were fitted on all images. Raises KeyError for
    an image without a mask.
    """
    rows = []
    for (dataset, model, variant), cell in own_cells(predictions).groupby(
        ["dataset", "model", "variant"], sort=False
    ):
        passes = masks[masks.dataset == dataset].set_index("image_id").passes.astype(bool)
        kept = cell[passes.loc[cell.image_id].to_numpy()]
        rows.append(
            {
                "dataset": dataset, "model": model, "variant": variant,
                "n_images": len(cell), "n_passing": len(kept),
                "n_classes": cell.label.nunique(), "n_classes_passing": kept.label.nunique(),
                "balanced_accuracy_all": _mean_recall(cell),
                "balanced_accuracy_passing": _mean_recall(kept) if len(kept) else "",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _mean_recall(cell):
    """Balanced accuracy over the classes that the rows show."""
    return (cell.predicted == cell.label).groupby(cell.label).mean().mean()


def table1_passing_text(table, labels):
    """The table of `table1_passing` to read: "passing (all)" in the cells, by variant."""
    cells = [
        f"{passing:.2f} ({every:.2f})" if n else f"none ({every:.2f})"
        for passing, every, n in zip(
            table.balanced_accuracy_passing,
            table.balanced_accuracy_all,
            table.n_passing,
            strict=True,
        )
    ]
    text = table1_wide(table.assign(cell=cells), labels)
    counts = table.drop_duplicates(["dataset", "model"])
    text.insert(2, "Passing", [f"{row.n_passing} of {row.n_images}" for row in counts.itertuples()])
    return text


def table1_text(table, labels):
    """Table 1 as the paper prints it, "mean (std)" by variant, the mean alone of a single fold.

    A row per protocol. `table` comes from `beside_paper`: where the paper has numbers, they follow
    in a row of theirs.
    """
    theirs = table[(table.paper_mean != "") & (table.protocol == table.protocol.iloc[0])]
    theirs = theirs.assign(
        balanced_accuracy_mean=theirs.paper_mean,
        balanced_accuracy_std=theirs.paper_std,
        n_folds=PAPER_FOLDS,
        protocol=PUBLISHED,
    )
    both = pd.concat([table, theirs])
    cells = [
        f"{float(row.balanced_accuracy_mean):.2f}"
        + (f" ({float(row.balanced_accuracy_std):.2f})" if row.n_folds > 1 else "")
        for row in both.itertuples()
    ]
    protocols = labels["probes"] | {PUBLISHED: "printed in the paper"}
    return table1_wide(both.assign(cell=cells), labels | {"probes": protocols}, KEY)


def table1_wide(table, labels, key=("dataset", "model")):
    """The column `cell` of a long table as text: the columns of `key` by variant, with labels."""
    key = list(key)
    wide = table.pivot(index=key, columns="variant", values="cell")
    # Pivoting sorts; the order of the study is that of the first appearance.
    order = table[key].drop_duplicates()
    first = order.drop_duplicates(key[:2]).reset_index(drop=True)
    rank = first.reset_index().set_index(key[:2])["index"]
    order = order.assign(rank=[rank[tuple(row)] for row in order[key[:2]].to_numpy()])
    order = order.sort_values("rank", kind="stable")[key]
    wide = wide.reindex(
        index=pd.MultiIndex.from_frame(order), columns=table.variant.unique(), fill_value="-"
    )
    for name, (table_name, _) in HEADS.items():
        if name in key:
            wide = wide.rename(index=labels[table_name], level=name)
    wide = wide.rename(columns=labels["variants"]).reset_index()
    heads = {name: head for name, (_, head) in HEADS.items()}
    return wide.rename(columns=heads).rename_axis(columns=None).fillna("-")


# Columns that name a row of a table in config.yaml, that table, and the column's head in print.
HEADS = {
    "dataset": ("datasets", "Data set"),
    "model": ("models", "Model"),
    "protocol": ("probes", "Probe"),
}
PUBLISHED = "the paper"


def markdown(text_table):
    """A table of strings as Markdown."""
    return text_table.to_markdown(index=False, disable_numparse=True) + "\n"


def latex(text_table):
    """A table of strings as a LaTeX tabular with booktabs rules, the data set once per block."""
    body = text_table.copy()
    first = body.columns[0]
    body[first] = body[first].where(~body[first].duplicated(), "")
    escaped = body.map(_escape).rename(columns=_escape)
    n_names = sum(head in body.columns for _, head in HEADS.values())
    columns = "l" * n_names + "c" * (len(escaped.columns) - n_names)
    lines = [f"\\begin{{tabular}}{{{columns}}}", "\\toprule"]
    lines += [" & ".join(escaped.columns) + r" \\", "\\midrule"]
    for number, row in enumerate(escaped.itertuples(index=False)):
        if number and row[0]:
            lines.append("\\midrule")
        lines.append(" & ".join(row) + r" \\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


LATEX_ESCAPES = str.maketrans(
    {character: "\\" + character for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


def _escape(text):
    return text.translate(LATEX_ESCAPES)
