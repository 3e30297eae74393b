"""Tables for reading: Table 1 and its kin as CSV, Markdown, LaTeX and HTML."""

import pandas as pd

from halfseen.files import write_text
from halfseen.uncertainty import fold_interval


def read_table(path):
    """A table that `write_table` wrote: ids stay text, `0045128` too, and empty fields stay so."""
    return pd.read_csv(path, dtype={"image_id": str}, keep_default_na=False)


def table1(probes):
    """Balanced accuracy of the table of probes: a row per data set, model and variant.

    Rows stand in the order of the probes. Columns: mean and standard deviation (divisor k) over the
    k folds, a 95 % interval of the mean (`low`, `high`), the number of folds and the chance level.
    """
    rows = []
    for (dataset, model, variant), cell in probes.groupby(
        ["dataset", "model", "variant"], sort=False
    ):
        values = cell.balanced_accuracy
        low, high = fold_interval(values)
        rows.append(
            {
                "dataset": dataset, "model": model, "variant": variant,
                "balanced_accuracy_mean": values.mean(),
                "balanced_accuracy_std": values.std(ddof=0),
                "low": low, "high": high, "n_folds": len(values), "chance": cell.chance.iloc[0],
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def table1_passing(predictions, masks):
    """Balanced accuracy on the images whose masks pass: a row per data set, model and variant.

    `predictions` has the columns dataset, model, image_id, label, fold and one for each variant:
    what the probe that was not fitted on the image predicts; `masks` dataset, image_id and passes.
    All folds are pooled, over the `n_images` (`balanced_accuracy_all`) and over the `n_passing` of
    them (`balanced_accuracy_passing`, mean over the `n_classes_passing` classes that these show;
    empty where none passes). The probes are the same: they were fitted on all images. Raises
    KeyError for an image without a mask.
    """
    variants = [
        name
        for name in predictions
        if name not in ("dataset", "model", "image_id", "label", "fold")
    ]
    rows = []
    for (dataset, model), cell in predictions.groupby(["dataset", "model"], sort=False):
        passes = masks[masks.dataset == dataset].set_index("image_id").passes.astype(bool)
        kept = cell[passes.loc[cell.image_id].to_numpy()]
        for variant in variants:
            rows.append(
                {
                    "dataset": dataset, "model": model, "variant": variant,
                    "n_images": len(cell), "n_passing": len(kept),
                    "n_classes": cell.label.nunique(), "n_classes_passing": kept.label.nunique(),
                    "balanced_accuracy_all": _mean_recall(cell, variant),
                    "balanced_accuracy_passing": _mean_recall(kept, variant) if len(kept) else "",
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _mean_recall(cell, variant):
    """Balanced accuracy over the classes that the rows show."""
    return (cell[variant] == cell.label).groupby(cell.label).mean().mean()


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
    """Table 1 as the paper prints it: data set and model by variant, "mean (std)" in the cells."""
    table = table.assign(
        cell=[
            f"{mean:.2f} ({std:.2f})"
            for mean, std in zip(
                table.balanced_accuracy_mean, table.balanced_accuracy_std, strict=True
            )
        ]
    )
    return table1_wide(table, labels)


def table1_wide(table, labels):
    """The column `cell` of a long table as text: data set and model by variant, all with labels."""
    wide = table.pivot(index=["dataset", "model"], columns="variant", values="cell")
    # Pivoting sorts; the order of the study is that of the first appearance.
    wide = wide.reindex(
        index=pd.MultiIndex.from_frame(table[["dataset", "model"]].drop_duplicates()),
        columns=table.variant.unique(),
    )
    wide = wide.rename(index=labels["datasets"], level=0).rename(index=labels["models"], level=1)
    wide = wide.rename(columns=labels["variants"]).reset_index()
    return wide.rename(columns={"dataset": "Data set", "model": "Model"}).rename_axis(columns=None)


def markdown(text_table):
    """A table of strings as Markdown."""
    return text_table.to_markdown(index=False, disable_numparse=True) + "\n"


def latex(text_table):
    """A table of strings as a LaTeX tabular with booktabs rules, the data set once per block."""
    body = text_table.copy()
    first = body.columns[0]
    body[first] = body[first].where(~body[first].duplicated(), "")
    escaped = body.map(_escape).rename(columns=_escape)
    lines = [f"\\begin{{tabular}}{{ll{'c' * (len(escaped.columns) - 2)}}}", "\\toprule"]
    lines += [" & ".join(escaped.columns) + r" \\", "\\midrule"]
    for number, row in enumerate(escaped.itertuples(index=False)):
        if number and row[0]:
            lines.append("\\midrule")
        lines.append(" & ".join(row) + r" \\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def write_html(path, title, text_table, note):
    """Write a table of strings as a self-contained page with a title and a note below the table."""
    body = text_table.to_html(index=False, border=0, escape=True)
    write_text(path, PAGE.format(title=title, table=body, note=note))


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 14px/1.5 system-ui, sans-serif; color: #222; margin: 1.5rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3rem .6rem; text-align: left; white-space: nowrap; }}
thead th {{ border-bottom: 1.5px solid #222; border-top: 1.5px solid #222; }}
tbody tr:last-child td {{ border-bottom: 1.5px solid #222; }}
div {{ overflow-x: auto; }}
p {{ max-width: 46rem; color: #444; }}
</style></head><body>
<h1>{title}</h1>
<div>{table}</div>
<p>{note}</p>
</body></html>
"""

LATEX_ESCAPES = str.maketrans(
    {character: "\\" + character for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


def _escape(text):
    return text.translate(LATEX_ESCAPES)
