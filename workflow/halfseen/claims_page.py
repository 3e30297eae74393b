"""The ledger's verdicts as one self-contained page."""

from html import escape

import pandas as pd

from halfseen.claims import ANSWERED, FAILS, HOLDS, NOT_TESTED, UNDECIDED
from halfseen.pages import html_table, minus_signs, page

# A word and a sign for each verdict: colour alone says nothing in print or to every eye.
SIGNS = {HOLDS: "✔", FAILS: "✘", UNDECIDED: "?", NOT_TESTED: "–", ANSWERED: "▸"}
CLASSES = {
    HOLDS: "holds", FAILS: "fails", UNDECIDED: "undecided", NOT_TESTED: "untested",
    ANSWERED: "answered",
}  # fmt: skip
WIDTH_PX, HEIGHT_PX = 220, 40


def claims_page(claims, cells, title, labels, meaning, level=0.95):
    """The page, HTML text, of the two tables of `halfseen.claims.judge_claims`.

    `title` is that of the study, `labels` {"datasets", "models": {name: label}}, `meaning` a
    sentence on what its masks mean. Tested claims come first, then questions, then what could not
    be tested, each in the order of the ledger. `level` is that of the intervals.
    """
    told = claims[claims.verdict != NOT_TESTED]
    parts = [
        _summary(claims[claims.kind == "claim"]),
        ELSEWHERE if (told.elsewhere != "").any() else "",
        f'<p class="reading">{escape(meaning)}</p>',
        _cards("What the paper says", told[told.kind == "claim"], cells, labels),
        _cards("What the paper asks", told[told.kind == "question"], cells, labels),
        _untested(claims[claims.verdict == NOT_TESTED]),
        READING.format(level=f"{100 * level:g} %"),
    ]
    lead = f"arXiv 2306.01398, statement by statement, on the study “{title}”."
    return page("What of the paper holds", lead, "\n".join(filter(None, parts)), STYLE)


def _summary(claims):
    counts = "".join(
        f'<li class="{CLASSES[verdict]}"><b>{(claims.verdict == verdict).sum()}</b> '
        f"{SIGNS[verdict]} {verdict}</li>"
        for verdict in (HOLDS, FAILS, UNDECIDED, NOT_TESTED)
    )
    return f'<ul class="counts" aria-label="Verdicts of {len(claims)} claims">{counts}</ul>'


def _cards(heading, rows, cells, labels):
    if rows.empty:
        return ""
    cards = [_card(row, cells[cells.id == row["id"]], labels) for row in rows.to_dict("records")]
    return "\n".join([f"<h2>{heading}</h2>", *cards])


def _card(row, cells, labels):
    question, verdict = row["kind"] == "question", row["verdict"]
    findings = row["finding"].split("; ") if question else [row["finding"]]
    if row["by_paper"]:
        findings.append(f"By the Table 1 that the paper prints: {row['by_paper']}.")
    told = "".join(f"<li>{minus_signs(finding)}</li>" for finding in findings)
    links = " · ".join(filter(None, [escape(row["source"]), _link(row["figure"])]))
    return f"""<article id="claim-{escape(row["id"])}" class="{CLASSES[verdict]}">
<p class="verdict">{SIGNS[verdict]} {verdict}{" here" * bool(row["elsewhere"])}</p>
<h3><span>{escape(row["id"])}</span> {escape(row["statement"])}</h3>
<p class="source">{links}</p>
<p class="asked">{minus_signs(row["asks"])}</p>
{_plot(row)}<ul class="finding">{told}</ul>
{_tested_on(row)}{_note(row)}<details><summary>{_details_head(row)}</summary>
{_facts(row)}{_cell_table(cells, labels)}</details>
</article>"""


def _tested_on(row):
    """What it was tested on; in front of it, where the paper spoke of something else."""
    if row["elsewhere"]:
        return (
            f'<p class="elsewhere"><b>Tested on {escape(row["elsewhere"])}</b> than the paper\'s: '
            f"{escape(row['tested_on'])}</p>"
        )
    return f'<p class="source">Tested on {escape(row["tested_on"])}</p>'


def _note(row):
    return f'<p class="note">{minus_signs(row["note"])}</p>' if row["note"] else ""


def _details_head(row):
    n = row["n_cells"]
    return f"{n} {'cell' if n == 1 else 'cells'}: what each of them says, and where it was read"


def _facts(row):
    facts = [
        ("Read from", ", ".join(f"tables/{name}.csv" for name in row["tables"].split())),
        ("Interval", row["interval"]),
        ("By the values alone", row["by_value"]),
        ("Not tested", row["reason"]),
    ]
    told = "".join(
        f"<dt>{escape(name)}</dt><dd>{minus_signs(text)}</dd>" for name, text in facts if text
    )
    return f"<dl>{told}</dl>"


def _cell_table(cells, labels):
    """What every cell says: a table for each expression of the claim."""
    rows = pd.DataFrame(
        {
            "Model": cells.model.map(labels["models"]),
            "Data set": cells.dataset.map(labels["datasets"]),
            "Of": cells.each,
            "Verdict": [f"{SIGNS[verdict]} {verdict}" for verdict in cells.verdict],
            "Effect": cells.effect.map(_number),
            "Interval": [
                f"{_number(low)} to {_number(high)}" if low != "" else "none"
                for low, high in zip(cells.low, cells.high, strict=True)
            ],
            "Rival": cells.rival,
        }
    )
    rows = rows[[name for name in rows if (rows[name] != "").any()]]
    parts = cells.part.unique()
    return "".join(
        (f'<p class="asked">{minus_signs(part)}</p>' if len(parts) > 1 else "")
        + html_table(rows[cells.part == part], numbers=("Effect", "Interval"))
        for part in parts
    )


def _untested(rows):
    if rows.empty:
        return ""
    items = "".join(
        f'<li id="claim-{escape(row["id"])}"><b>{escape(row["id"])}</b> {escape(row["statement"])} '
        f'<span class="source">{escape(row["source"])}: {minus_signs(row["reason"])}</span></li>'
        for row in rows.to_dict("records")
    )
    return (
        f'<h2>{SIGNS[NOT_TESTED]} Not tested on this study</h2>\n<ul class="untested">{items}</ul>'
    )


def _plot(row):
    """The effect that decides and its interval, drawn beside what it is held against."""
    if row["effect"] == "":
        return ""
    limits = [float(limit) for limit in row["limits"].split()]
    value, low, high = (
        float(row["effect"] if row[end] == "" else row[end]) for end in ("effect", "low", "high")
    )
    ends = [*limits, value, low, high]
    margin = (max(ends) - min(ends)) * 0.12 or 0.05
    start, span = min(ends) - margin, max(ends) - min(ends) + 2 * margin

    def x(number):
        return f"{12 + (WIDTH_PX - 24) * (number - start) / span:.1f}"

    told = f"{_number(value)}, from {_number(low)} to {_number(high)}, held against {row['limits']}"
    drawn = "".join(
        f'<line class="limit" x1="{x(limit)}" x2="{x(limit)}" y1="2" y2="26"/>'
        f'<text x="{x(limit)}" y="38">{_number(limit, "g")}</text>'
        for limit in limits
    )
    return (
        f'<svg viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" width="{WIDTH_PX}" role="img" '
        f'aria-label="{escape(told)}">{drawn}'
        f'<line class="interval" x1="{x(low)}" x2="{x(high)}" y1="14" y2="14"/>'
        f'<circle cx="{x(value)}" cy="14" r="4.5"/></svg>\n'
    )


def _link(figure):
    return f'<a href="{escape(figure)}">{escape(figure)}</a>' if figure else ""


def _number(value, form=".3f"):
    return "" if value == "" else f"{float(value):{form}}".replace("-", "−")


STYLE = """
:root { --holds: #1b7837; --fails: #b2182b; --undecided: #8a5a00; --untested: #666; }
.holds { --color: var(--holds); } .fails { --color: var(--fails); }
.undecided { --color: var(--undecided); } .untested { --color: var(--untested); }
.answered { --color: #2166ac; }
h3 { font-size: 1.05rem; line-height: 1.35; margin: 0; max-width: 40rem; }
h3 span { color: #666; font-variant-numeric: tabular-nums; margin-right: .3rem; }
.counts { display: flex; flex-wrap: wrap; gap: .6rem; list-style: none; padding: 0; }
.counts li { border: 1px solid #ddd; border-top: 4px solid var(--color); flex: 1 1 7rem;
  padding: .4rem .8rem; }
.counts b { display: block; font-size: 1.7rem; line-height: 1.2; }
article { border: 1px solid #ddd; border-left: 5px solid var(--color); margin: .8rem 0;
  padding: .7rem 1rem; }
article > p, .finding { margin: .25rem 0; }
.verdict { color: var(--color); float: right; font-weight: 700; margin: 0 0 0 1rem;
  white-space: nowrap; }
.finding { list-style: none; padding: 0; }
.elsewhere { font-size: .9rem; }
.elsewhere b { background: #fff3cd; padding: 0 .25rem; }
.asked { font-family: ui-monospace, monospace; font-size: .82rem; overflow-wrap: anywhere; }
.note { font-style: italic; }
svg { display: block; margin: .4rem 0; max-width: 100%; }
svg .interval { stroke: var(--color); stroke-width: 2.5; }
svg circle { fill: var(--color); }
svg .limit { stroke: #444; stroke-dasharray: 3 2; }
svg text { fill: #444; font-size: 11px; text-anchor: middle; }
summary { color: #2166ac; cursor: pointer; font-size: .9rem; }
dl { display: grid; gap: .1rem .8rem; grid-template-columns: max-content 1fr; margin: .5rem 0; }
dt { font-weight: 600; }
dd { margin: 0; }
ul.untested { list-style: none; padding: 0; }
ul.untested li { border-bottom: 1px solid #eee; padding: .35rem 0; }
ul.untested .source { display: block; }
@media (max-width: 36rem) {
  dl { grid-template-columns: 1fr; }
  dd { margin-bottom: .3rem; }
  .verdict { float: none; margin: 0; }
}
"""
READING = """<h2>How to read this</h2>
<div class="reading">
<p>A claim is an expression over the study's tables, asked of each cell that it speaks of: every
model on every data set, and what else it names. Models are encoders with trained weights; baselines
and untrained networks are left out. A cell holds where the whole {level} interval lies on the side
that was asked for, fails where it lies on the other, and is undecided else. A claim <b>holds</b> if
all of its cells do, <b>does not hold</b> if one of them fails, and is <b>undecided</b> else, or if
a part of it could not be tested. The effect that is drawn is that of the cell that decides; the
dashed line is what it is held against.</p>
<p>Differences have paired intervals where a table has them. Two similarities of one data set share
their images, and how far they move together is not in the tables: the extremes of both intervals
stand in, which is right whatever it is, and wide. Intervals of balanced accuracies are those of the
judged images, with the probes as they were fitted. Verdicts are for one claim by itself. Nothing is
corrected for how many there are: of cells with no effect at all, one in forty fails by chance.</p>
<p>The rows behind this page: <a href="claims.csv">claims.csv</a> and
<a href="claims_cells.csv">claims_cells.csv</a>.</p>
</div>"""
ELSEWHERE = """<p class="reading"><b>Some of this is tested on other data or models than the
paper's</b>, because the study has none of those that it speaks of. Such a verdict is about the
study's own data and says “here”: it tells how far a statement carries, and nothing about the
paper's numbers.</p>"""
