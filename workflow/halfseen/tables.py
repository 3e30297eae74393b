"""Tables for reading: Table 1 and its kin as CSV, Markdown, LaTeX and HTML."""

import pandas as pd

from halfseen.files import write_text
from halfseen.probes import fold_interval


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
