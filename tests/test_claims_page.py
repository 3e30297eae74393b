import re

import pandas as pd
import pytest
from test_pages import balance

from halfseen.claims_page import claims_page
from halfseen.claims_table import CELLS, CLAIMS

LABELS = {"models": {"mae": "MAE"}, "datasets": {"toys": "Toys <1>"}}
BLANK = dict.fromkeys(CLAIMS, "")


def claim(**fields):
    return BLANK | {"kind": "claim", "n_cells": 1} | fields


CLAIM_ROWS = [
    claim(
        id="1", statement="Is 1 < 2?", verdict="does not hold", effect=-0.1, low=-0.2, high=-0.05,
        limits="0", finding="Fails in 1 of 1 cell; clearest: MAE on Toys <1>, -0.100.",
        tested_on="MAE on Toys <1>", elsewhere="other data", figure="figures/figure2_cca.svg",
        asks="score of original > that of foreground", source="Section 5.1, Table 1",
        by_paper="holds", tables="cells differences",
    ),
    claim(id="2", statement="Not here.", verdict="not tested", reason="the study has no DINOv2"),
    claim(
        id="3", statement="A value.", verdict="undecided", effect=0.5, limits="0.3 0.6",
        tested_on="MAE on Toys <1>",
    ),
    claim(
        id="Q1", kind="question", verdict="answered", finding="a: 0.1; b: -0.2", statement="How?"
    ),
]  # fmt: skip
CELL_ROWS = [
    {"id": "1", "verdict": "does not hold", "effect": -0.1, "low": -0.2, "high": -0.05},
    {"id": "3", "verdict": "undecided", "effect": 0.5, "low": "", "high": ""},
    {"id": "Q1", "verdict": "holds", "effect": 0.1, "low": 0.0, "high": 0.2},
]


@pytest.fixture(scope="module")
def text():
    cells = [
        dict.fromkeys(CELLS, "") | {"model": "mae", "dataset": "toys"} | row for row in CELL_ROWS
    ]
    return claims_page(
        pd.DataFrame(CLAIM_ROWS),
        pd.DataFrame(cells),
        "A study & more",
        LABELS,
        "A mask is <nothing>.",
    )


def card(text, name):
    return re.search(rf'<article id="claim-{name}".*?</article>', text, re.DOTALL).group()


def test_the_page_is_well_formed_and_asks_no_network(text):
    parser = balance(text)
    assert (parser.open, parser.wrong) == ([], [])
    assert not any(word in text for word in ("http", "<script", "url("))
    assert "A study &amp; more" in text
    assert "Is 1 &lt; 2?" in text
    assert "A mask is &lt;nothing&gt;." in text


def test_verdicts_are_words_and_signs_and_are_counted(text):
    counts = re.findall(r"<li class=\"\w+\"><b>(\d+)</b> (\S+) ([a-z ]+)</li>", text)
    assert counts == [
        ("0", "✔", "holds"), ("1", "✘", "does not hold"), ("1", "?", "undecided"),
        ("1", "–", "not tested"),
    ]  # fmt: skip


def test_a_claim_on_other_data_says_here(text):
    assert "✘ does not hold here</p>" in card(text, 1)
    assert "<b>Tested on other data</b> than the paper's: MAE on Toys &lt;1&gt;" in card(text, 1)
    assert "? undecided</p>" in card(text, 3)
    assert "nothing about the\npaper's numbers" in text


def test_a_claim_shows_effect_source_figure_and_the_paper_s_own_verdict(text):
    first = card(text, 1)
    assert "−0.100" in first
    assert '<a href="figures/figure2_cca.svg">' in first
    assert "Section 5.1, Table 1" in first
    assert "By the Table 1 that the paper prints: holds." in first
    assert "tables/cells.csv, tables/differences.csv" in first


def test_the_interval_is_drawn_between_its_ends_beside_what_it_is_held_against(text):
    drawn = card(text, 1)
    low, high = map(float, re.search(r'interval" x1="([\d.]+)" x2="([\d.]+)"', drawn).groups())
    limit, value = (
        float(re.search(pattern, drawn).group(1))
        for pattern in (r'limit" x1="([\d.]+)"', r'cx="([\d.]+)"')
    )
    assert low < value < high < limit
    # A third of the way, as -0.1 lies between -0.2 and -0.05 and 0.
    assert (value - low) / (limit - low) == pytest.approx(0.5, abs=0.01)
    assert card(text, 3).count('class="limit"') == 2


def test_a_question_is_answered_line_by_line(text):
    assert "<li>a: 0.1</li><li>b: −0.2</li>" in card(text, "Q1")
    assert "<svg" not in card(text, "Q1")


def test_what_was_not_tested_comes_last_with_its_reason(text):
    assert 'id="claim-2"' not in text[: text.index("Not tested on this study")]
    assert "the study has no DINOv2" in text


def test_a_cell_without_an_interval_says_so(text):
    assert '<td class="number">none</td>' in card(text, 3)
