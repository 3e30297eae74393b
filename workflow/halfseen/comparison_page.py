"""The paper beside ours as one page: every printed number, and every choice of the set-up."""

from html import escape

import pandas as pd

from halfseen.comparison import CELL, PAPER_PROTOCOL
from halfseen.pages import html_table, minus_signs, page
from halfseen.paper_comparison import comparison_summary
from halfseen.tables import table1_wide


def comparison_page(compared, choices, title, labels):
    """The page, HTML text, of a table of `compare_with_paper` and one of `choices_table`.

    `title` is that of the study, `labels` {"datasets", "models", "variants", "probes": {name:
    label}}. The protocol that stands for the paper's comes first.
    """
    parts = [
        "<h2>Table 1, number by number</h2>",
        *(_protocols(compared, labels) if len(compared) else [NOTHING]),
        "<h2>What the paper tells and what it leaves open</h2>",
        _summary_of_choices(choices),
        html_table(choices.rename(columns=HEADS)),
        '<p class="reading">The rows behind this page: <a href="paper_comparison.csv">'
        'paper_comparison.csv</a> and <a href="choices.csv">choices.csv</a>.</p>',
    ]
    lead = f"arXiv 2306.01398, and the study “{title}”."
    return page("The paper beside ours", lead, "\n".join(parts), STYLE)


def choices_table(choices, labels):
    """The rows of `choices.read_choices` as text: choice, paper, ours and status."""
    told = [_chosen_text(row["ours"], labels, row["words"]) for row in choices]
    return pd.DataFrame(choices).assign(ours=told)[list(HEADS)]


HEADS = {"choice": "Choice", "paper": "The paper", "ours": "This study", "status": "Status"}


def _protocols(compared, labels):
    yield READING
    summary = comparison_summary(compared).set_index("protocol")
    for protocol in sorted(summary.index, key=lambda name: name != PAPER_PROTOCOL):
        own = compared[compared.protocol == protocol]
        cells = [
            f"{row.ours:.2f} | {row.paper:.2f} | {row.difference_in_se:+.1f}"
            + "*" * (abs(row.difference_in_se) > 2)
            for row in own.itertuples()
        ]
        yield f"<h3>{escape(labels['probes'][protocol])}</h3>"
        yield f"<p>{minus_signs(_told(summary.loc[protocol], own, labels))}</p>"
        wide = table1_wide(own.assign(cell=cells), labels)
        yield html_table(wide, numbers=list(wide)[2:])


def _told(summary, compared, labels):
    """What a protocol's cells come to, in words."""
    dataset, model, variant = (summary[f"largest_{name}"] for name in CELL)
    # Data sets may differ in their own ways: each way is told once.
    ways = dict.fromkeys("; ".join(compared.differs[compared.differs != ""]).split("; "))
    differs = "; ".join(ways)
    beside = f" Beside the paper's, as we read it: {differs}." if differs else ""
    farthest = f"{labels['models'][model]} on {labels['datasets'][dataset]}"
    return (
        f"{summary.n_within_2_se} of {summary.n_cells} cells lie within two standard errors of the "
        f"paper's; ours less the paper's is {summary.mean_difference:+.3f} on average. Farthest: "
        f"{farthest}, {labels['variants'][variant]}, {summary.largest_in_se:+.1f}.{beside}"
    )


def _summary_of_choices(choices):
    counts = choices.status.value_counts()
    told = ", ".join(f"{counts[status]} {status}" for status in counts.index)
    return (
        f'<p class="reading">Of {len(choices)} choices: {told}. What this study chose is read from '
        "its configuration, where each can be changed; README.md lists the alternatives.</p>"
    )


def _chosen_text(ours, labels, words):
    """What was chosen, in words: rows of equal values are told together, by name unless all are."""
    told = []
    for setting in ours:
        names, rows = labels.get(setting["table"], {}), {}
        for name, value in setting["values"].items():
            text = _value_text(value)
            rows.setdefault(words.get(text, text), []).append(names.get(name, name))
        rows.pop("", None)
        alone = len(rows) == 1 and (setting["complete"] or "" in words.values())
        told += [text if alone else f"{', '.join(own)}: {text}" for text, own in rows.items()]
    return "; ".join(told) or "does not arise in this study"


def _value_text(value):
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_value_text, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value_text(own)}" for key, own in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


NOTHING = """<p><b>There is nothing to set side by side.</b> The paper prints numbers for five
encoders on CIFAR-100 and Caltech-101, and this study has none of them on the whole of either. Its
own numbers are in <a href="table1.html">table1.html</a>; the study named paper has all that are
printed.</p>"""
READING = """<div class="reading"><p>In a cell: ours | the paper's | the difference in standard
errors, with an asterisk beyond two. The standard error of either mean over folds is Nadeau and
Bengio's, which allows for the training images that folds share; the paper's comes from the standard
deviation that it prints and what rounding to two digits hides. Both sides judge the same images,
and error that they share is counted twice, so the ratios are rather too small. Nothing is corrected
for the number of cells. The paper does not tell its protocol in full: a difference may be one of
protocols.</p></div>"""
STYLE = """
h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; }
td:first-child { font-weight: 600; }
"""
