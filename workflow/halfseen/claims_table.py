"""The ledger's claims judged: a row each, a row for each of their cells, and what both say."""

from itertools import combinations

import pandas as pd

from halfseen.claims import (
    ANSWERED,
    FAILS,
    HOLDS,
    NOT_TESTED,
    PAIRED,
    UNDECIDED,
    Estimate,
    Evidence,
    asks,
    claim_cells,
    claim_verdict,
    decisive_cell,
)

CLAIMS = [
    "id", "kind", "statement", "source", "asks", "verdict", "finding", "effect", "low", "high",
    "effect_of", "limits", "interval", "decisive", "n_cells", "n_hold", "n_fail", "n_undecided",
    "n_untested", "tested_on", "elsewhere", "by_value", "by_paper", "tables", "figure", "reason",
    "note",
]  # fmt: skip
CELLS = [
    "id", "part", "dataset", "model", "each", "verdict", "effect", "low", "high", "effect_of",
    "interval", "rival", "reason",
]  # fmt: skip


def judge_claims(ledger, evidence, paper=None):
    """The ledger's claims tested on a study: a table of claims and one of their cells.

    The columns are `CLAIMS` and `CELLS`, empty text where there is nothing to say. `paper`
    (`paper_evidence`) is asked too, by its values alone. Raises ClaimError for a table's column or
    value that is not there.
    """
    rows, cells = [], []
    for claim in ledger["claims"]:
        tested, scope = claim_cells(claim, ledger, evidence)
        rows.append(
            _claim_row(claim, ledger, tested, scope, evidence, _by_paper(claim, ledger, paper))
        )
        cells += [_cell_row(claim, cell) for cell in tested]
    return pd.DataFrame(rows, columns=CLAIMS), pd.DataFrame(cells, columns=CELLS)


def paper_evidence(table1, protocol="printed"):
    """The paper's own Table 1 as evidence, taken at its word: intervals of no width.

    `table1` has the columns dataset, model, variant and balanced_accuracy_mean.
    """
    means = table1.assign(mean=table1.balanced_accuracy_mean.astype(float))
    cells = pd.DataFrame(
        {
            "dataset": means.dataset, "model": means.model, "protocol": protocol,
            "train_variant": means.variant, "test_variant": means.variant, "centering": "raw",
            "control": "none", "balanced_accuracy": means["mean"], "low": means["mean"],
            "high": means["mean"],
        }
    )  # fmt: skip
    rows = [
        (dataset, protocol, compares, name, first, second, *3 * [x - y])
        for varied, (compares, within) in PAIRED.items()
        for (dataset, name), group in means.groupby(["dataset", within], sort=False)
        for (first, x), (second, y) in combinations(
            zip(group[varied], group["mean"], strict=True), 2
        )
    ]
    columns = ["dataset", "protocol", "compares", "within", "first", "second"]
    differences = pd.DataFrame(rows, columns=[*columns, "difference", "low", "high"])
    datasets, models = list(means.dataset.unique()), list(means.model.unique())
    return Evidence(
        tables={"cells": cells, "differences": differences},
        datasets={name: name for name in datasets},
        models=models,
        choices={"protocol": protocol},
        labels={table: {name: name for name in names}
                for table, names in (("datasets", datasets), ("models", models))},
    )  # fmt: skip


def _claim_row(claim, ledger, cells, scope, evidence, by_paper):
    decisive, question = decisive_cell(cells), claim["kind"] == "question"
    verdict = claim_verdict(cells, scope.lacking)
    effect = decisive.effect if decisive and not question else Estimate("", how="")
    source = [f"Section {claim['section']}" if claim["section"] else "", claim["shown_in"]]
    row = {
        "id": claim["id"], "kind": claim["kind"], "statement": claim["statement"],
        "source": ", ".join(filter(None, source)),
        "asks": "; and ".join(asks(part, ledger) for part in claim.get("all_of", [claim])),
        "verdict": ANSWERED if question and decisive else verdict,
        "finding": _answer(cells, evidence) if question else _finding(cells, evidence),
        "effect": effect.value, "low": _or(effect.low, ""), "high": _or(effect.high, ""),
        "effect_of": decisive.effect_of if decisive else "",
        "limits": " ".join(f"{limit:g}" for limit in decisive.limits) if decisive else "",
        "interval": effect.how,
        "decisive": _where(decisive, evidence) if decisive and not question else "",
        "n_cells": len(cells),
        "tested_on": _tested_on(cells, evidence),
        "elsewhere": scope.elsewhere if decisive else "",
        "by_value": "" if question or not decisive
        else claim_verdict(cells, scope.lacking, "by_value"),
        "by_paper": by_paper,
        "tables": " ".join(dict.fromkeys(name for cell in cells for name in cell.tables)),
        "figure": claim["figure"], "reason": _reason(cells, scope), "note": claim["note"],
    }  # fmt: skip
    return row | {name: _count(cells, verdict) for name, verdict in COUNTS.items()}


COUNTS = {
    "n_hold": HOLDS, "n_fail": FAILS, "n_undecided": UNDECIDED, "n_untested": NOT_TESTED,
}  # fmt: skip


def _cell_row(claim, cell):
    effect = cell.effect or Estimate("")
    return {
        "id": claim["id"], "part": cell.part, "dataset": cell.dataset, "model": cell.model,
        "each": cell.each, "verdict": cell.verdict, "effect": effect.value,
        "low": _or(effect.low, ""), "high": _or(effect.high, ""), "effect_of": cell.effect_of,
        "interval": effect.how, "rival": cell.rival, "reason": cell.reason,
    }  # fmt: skip


def _by_paper(claim, ledger, paper):
    """What the values of the paper's own table say of a claim; empty where it has none."""
    if paper is None or claim["kind"] == "question":
        return ""
    cells, scope = claim_cells(claim, ledger, paper)
    verdict = claim_verdict(cells, scope.lacking, "by_value")
    return "" if verdict == NOT_TESTED or scope.elsewhere else verdict


def _count(cells, verdict):
    return sum(cell.verdict == verdict for cell in cells)


def _finding(cells, evidence):
    """How many cells hold and fail, and the one that decides."""
    decisive = decisive_cell(cells)
    if decisive is None:
        return ""
    n = len(cells) - _count(cells, NOT_TESTED)
    told = {HOLDS: "holds in {}", FAILS: "fails in {}", UNDECIDED: "undecided in {}"}
    first = decisive.verdict
    order = [first, *(verdict for verdict in told if verdict != first)]
    counts = [told[verdict].format(_count(cells, verdict)) for verdict in order]
    counts = [counts[0], *(text for text in counts[1:] if not text.endswith(" 0"))]
    sentence = f"{', '.join(counts)} of {n} {_plural('cell', n)}"
    which = {HOLDS: "closest", FAILS: "clearest", UNDECIDED: "closest to failing"}[first]
    rival = f" against {decisive.rival}" if decisive.rival else ""
    effect = _effect_text(decisive)
    sentence = sentence[0].upper() + sentence[1:]
    return f"{sentence}; {which}: {_where(decisive, evidence)}, {effect}{rival}."


def _answer(cells, evidence):
    """What a question's cells say, a sentence for each of what it is asked of each."""
    told, sentences = [cell for cell in cells if cell.effect], []
    for each in dict.fromkeys(cell.each for cell in told):
        own = [cell for cell in told if cell.each == each]
        values = [cell.effect.value for cell in own]
        signed = own[0].effect_of != "value"
        span = " to ".join(dict.fromkeys(_number(end(values), signed) for end in (min, max)))
        sides = {"above": HOLDS, "below": FAILS, "undecided": UNDECIDED}
        counts = [f"{_count(own, verdict)} {side}" for side, verdict in sides.items()]
        counts = ", ".join(text for text in counts if not text.startswith("0 "))
        sentences.append(f"{each}: {span} ({counts}, of {len(own)})")
    return "; ".join(sentences)


def _effect_text(cell):
    """The effect with its interval: "-0.146 [-0.188, -0.104]"."""
    signed = cell.effect_of != "value"
    text = _number(cell.effect.value, signed)
    if cell.effect.low is None:
        return f"{text} (no interval)"
    low, high = (_number(end, signed) for end in (cell.effect.low, cell.effect.high))
    return f"{text} [{low}, {high}]"


def _where(cell, evidence):
    """Which cell it is: "MAE on Caltech-101, border"."""
    labels = evidence.labels
    text = f"{labels['models'][cell.model]} on {labels['datasets'][cell.dataset]}"
    return f"{text}, {cell.each}" if cell.each else text


def _tested_on(cells, evidence):
    told = [cell for cell in cells if cell.margin]
    names = [
        ", ".join(
            evidence.labels[table][name]
            for name in dict.fromkeys(getattr(cell, column) for cell in told)
        )
        for table, column in (("models", "model"), ("datasets", "dataset"))
    ]
    return " on ".join(names) if told else ""


def _reason(cells, scope):
    """Why something was not tested: what the study lacks."""
    lacks = [cell.reason for cell in cells if cell.reason]
    missing = [f"the study has no {', '.join(scope.lacking)}"] if scope.lacking else []
    return "; ".join(dict.fromkeys([*missing, *lacks]))


def _or(value, other):
    return other if value is None else value


def _number(value, signed):
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def _plural(noun, count):
    return noun if count == 1 else f"{noun}s"
