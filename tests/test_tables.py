from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from halfseen.probes import fold_interval
from halfseen.tables import latex, markdown, table1, table1_text, write_html

LABELS = {
    "datasets": {"textures": "Textures & more", "drawn": "Drawn"},
    "models": {"vit": "ViT-B/16", "cnn": "CNN_50"},
    "variants": {"original": "Original", "background": "Background"},
}
# In another order than the alphabet's.
CELLS = {
    ("textures", "vit", "original"): [0.5, 0.75, 1.0],
    ("textures", "vit", "background"): [0.25, 0.25, 0.25],
    ("textures", "cnn", "original"): [0.0, 0.5, 0.25],
    ("textures", "cnn", "background"): [0.5, 0.5, 0.8],
    ("drawn", "vit", "original"): [1.0, 1.0, 1.0],
    ("drawn", "vit", "background"): [0.1, 0.2, 0.3],
}


@pytest.fixture
def probes():
    return pd.DataFrame(
        [
            {
                "dataset": dataset,
                "model": model,
                "variant": variant,
                "fold": fold,
                "balanced_accuracy": value,
                "chance": {"textures": 0.125, "drawn": 0.0625}[dataset],
            }
            for (dataset, model, variant), values in CELLS.items()
            for fold, value in enumerate(values)
        ]
    )


@pytest.fixture
def text(probes):
    return table1_text(table1(probes), LABELS)


# Table 1


def test_a_row_of_table_1_by_hand(probes):
    row = table1(probes).iloc[0].to_dict()
    low, high = fold_interval([0.5, 0.75, 1.0])
    assert row == {
        "dataset": "textures",
        "model": "vit",
        "variant": "original",
        "balanced_accuracy_mean": 0.75,
        "balanced_accuracy_std": pytest.approx(np.sqrt((0.0625 + 0.0625) / 3)),
        "low": pytest.approx(low),
        "high": pytest.approx(high),
        "n_folds": 3,
        "chance": 0.125,
    }


def test_table_1_has_a_row_per_cell_in_the_order_of_the_probes(probes):
    table = table1(probes)
    assert list(zip(table.dataset, table.model, table.variant, strict=True)) == list(CELLS)
    assert table.balanced_accuracy_mean.tolist() == pytest.approx(
        [np.mean(values) for values in CELLS.values()]
    )
    assert table.chance.tolist() == [0.125] * 4 + [0.0625] * 2


def test_the_order_of_the_folds_does_not_matter(probes):
    mixed = probes.sort_values("fold", ascending=False, kind="stable")
    pd.testing.assert_frame_equal(table1(mixed), table1(probes))


def test_table_1_to_read_has_a_column_per_variant_and_keeps_every_order(text):
    assert list(text.columns) == ["Data set", "Model", "Original", "Background"]
    assert text.to_numpy().tolist() == [
        ["Textures & more", "ViT-B/16", "0.75 (0.20)", "0.25 (0.00)"],
        ["Textures & more", "CNN_50", "0.25 (0.20)", "0.60 (0.14)"],
        ["Drawn", "ViT-B/16", "1.00 (0.00)", "0.20 (0.08)"],
    ]


# The formats


def test_markdown_keeps_every_digit(text):
    lines = markdown(text).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == list(text.columns)
    assert set("".join(cells[1])) <= set(":-")
    assert cells[2:] == text.to_numpy().tolist()
    assert markdown(pd.DataFrame({"Share": ["0.50"]})).splitlines()[2].strip("| ") == "0.50"


def test_latex_has_rules_between_data_sets_and_names_each_once(text):
    assert latex(text) == "\n".join(
        [
            r"\begin{tabular}{llcc}",
            r"\toprule",
            r"Data set & Model & Original & Background \\",
            r"\midrule",
            r"Textures \& more & ViT-B/16 & 0.75 (0.20) & 0.25 (0.00) \\",
            r" & CNN\_50 & 0.25 (0.20) & 0.60 (0.14) \\",
            r"\midrule",
            r"Drawn & ViT-B/16 & 1.00 (0.00) & 0.20 (0.08) \\",
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def test_latex_escapes_every_special_character_in_heads_and_cells():
    body = latex(pd.DataFrame({"50 %": ["$#{}"], "a_b": ["x^2~\\"]}))
    assert r"50 \% & a\_b \\" in body
    assert r"\$\#\{\} & x\textasciicircum{}2\textasciitilde{}\textbackslash{} \\" in body


def test_latex_leaves_the_table_as_it_was(text):
    before = text.copy()
    latex(text)
    pd.testing.assert_frame_equal(text, before)


def test_html_holds_title_table_and_note_and_escapes_the_cells(text, tmp_path):
    class Cells(HTMLParser):
        tag, found = None, []

        def handle_starttag(self, tag, attrs):
            self.tag = tag

        def handle_endtag(self, tag):
            self.tag = None

        def handle_data(self, data):
            if self.tag in ("title", "h1", "th", "td", "p"):
                self.found.append((self.tag, data))

    text.loc[0, "Model"] = "<b>ViT</b>"
    write_html(tmp_path / "new" / "page.html", "Table 1", text, "A note.")
    page = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    parser = Cells()
    parser.feed(page)
    assert parser.found == [
        ("title", "Table 1"),
        ("h1", "Table 1"),
        *(("th", name) for name in text.columns),
        *(("td", cell) for cell in text.to_numpy().ravel()),
        ("p", "A note."),
    ]
    assert "http" not in page  # self-contained
    assert "{{" not in page
