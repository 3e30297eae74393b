import pandas as pd
import pytest
from test_pages import balance

from halfseen.comparison_page import choices_table, comparison_page
from halfseen.paper_comparison import COMPARED

LABELS = {
    "datasets": {"cifar100": "CIFAR-100"},
    "models": {"mae": "MAE", "swav": "SwAV", "dino": "DINO"},
    "variants": {"original": "Original", "border": "Border"},
    "probes": {"nested": "Nested", "paper": "C = 1"},
}


def compared(*rows):
    cells = [
        dict.fromkeys(COMPARED, 0.0)
        | {
            "dataset": "cifar100", "model": "mae", "variant": variant, "protocol": protocol,
            "ours": ours, "paper": 0.22, "difference": ours - 0.22, "difference_in_se": in_se,
            "differs": "" if protocol == "paper" else "protocol nested, not paper",
        }
        for protocol, variant, ours, in_se in rows
    ]  # fmt: skip
    return pd.DataFrame(cells, columns=COMPARED)


def setting(table="models", complete=True, **values):
    return {"table": table, "key": "std", "values": values, "complete": complete}


def chosen(*ours, **words):
    row = {"choice": "c", "paper": "p", "words": words, "ours": list(ours), "status": "left open"}
    return choices_table([row], LABELS).ours[0]


def test_rows_of_equal_values_are_told_together_and_alone_without_their_names():
    assert chosen(setting(mae=1, swav=1)) == "1"
    assert chosen(setting(mae=1, swav=2, dino=1)) == "MAE, DINO: 1; SwAV: 2"
    assert chosen(setting(mae=1, complete=False)) == "MAE: 1"
    assert chosen(setting()) == "does not arise in this study"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"), (True, "yes"), (False, "no"), ([0.5, 1], "0.5, 1"), ([], "none"),
        ({"lowest": 1e-5, "count": 3}, "lowest 1e-05, count 3"), ("x", "x"),
    ],
)  # fmt: skip
def test_a_value_is_told_in_words(value, text):
    assert chosen(setting(mae=value)) == text


def test_the_file_s_own_words_stand_for_values_and_none_for_what_needs_no_word():
    assert chosen(setting(mae="crop"), crop="after the crop") == "after the crop"
    assert chosen(setting(mae=None, swav=0.4), none="") == "0.4"


@pytest.fixture(scope="module")
def choices():
    row = {"choice": "c < d", "paper": "p", "words": {}, "ours": [setting(mae=-1)]}
    rows = [row | {"status": "left open"}, row | {"status": "different"}]
    return choices_table(rows, LABELS)


def test_the_page_is_well_formed_and_puts_the_paper_s_protocol_first(choices):
    rows = [("nested", "original", 0.24, 0.9), ("paper", "original", 0.2, -1.0)]
    rows += [("paper", "border", 0.28, 2.5)]
    page = comparison_page(compared(*rows), choices, "A study", LABELS)
    parser = balance(page)
    assert (parser.open, parser.wrong) == ([], [])
    assert page.index("<h3>C = 1</h3>") < page.index("<h3>Nested</h3>")
    assert '>0.20 | 0.22 | −1.0</td><td class="number">0.28 | 0.22 | +2.5*</td>' in page
    assert "1 of 2 cells lie within two standard errors of the paper&#x27;s" in page
    assert "Farthest: MAE on CIFAR-100, Border, +2.5." in page
    assert "Beside the paper&#x27;s, as we read it: protocol nested, not paper." in page
    assert "c &lt; d" in page
    assert "Of 2 choices: 1 left open, 1 different." in page
    assert not any(word in page for word in ("http", "<script", "url("))


def test_each_way_in_which_a_protocol_s_cells_differ_is_told_once(choices):
    rows = compared(*[("nested", "border", 0.2, 0.0)] * 3).assign(
        dataset=["cifar100", "caltech101", "cifar100"], variant=["original", "border", "border"],
        differs=[f"protocol nested, not paper{way}" for way in ("", "; 9 images, not 10", "")],
    )  # fmt: skip
    labels = LABELS | {"datasets": {"cifar100": "CIFAR-100", "caltech101": "Caltech-101"}}
    page = comparison_page(rows, choices, "A study", labels)
    assert "as we read it: protocol nested, not paper; 9 images, not 10." in page


def test_a_study_that_shares_nothing_with_the_paper_says_so_plainly(choices):
    page = comparison_page(compared(), choices, "A study", LABELS)
    assert "There is nothing to set side by side." in page
    assert "standard errors" not in page
    assert "c &lt; d" in page
