from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from halfseen.files import write_table
from halfseen.tables import (
    latex,
    markdown,
    read_table,
    table1,
    table1_passing,
    table1_passing_text,
    table1_text,
    write_html,
)
from halfseen.uncertainty import fold_interval

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


# Where the masks pass


@pytest.fixture
def predictions():
    """Six textures of two classes for two models, and two drawn images of ids with zeros first."""
    labels = [0, 0, 0, 0, 1, 1]
    frame = {"image_id": list("abcdef"), "label": labels, "fold": [0, 1] * 3}
    vit = {"original": [0, 0, 0, 1, 1, 0], "background": [1, 1, 1, 1, 1, 1]}
    cnn = {"original": labels, "background": [1, 1, 1, 1, 0, 0]}
    drawn = {"image_id": ["007", "010"], "label": [0, 1], "fold": [0, 1]}
    drawn |= {"original": [0, 1], "background": [0, 0]}
    parts = [
        ("textures", "vit", frame | vit), ("textures", "cnn", frame | cnn), ("drawn", "vit", drawn),
    ]  # fmt: skip
    tables = [pd.DataFrame(columns).assign(dataset=d, model=m) for d, m, columns in parts]
    return pd.concat(tables)


@pytest.fixture
def passes():
    """The masks in another order than the predictions; of the textures a, d, e pass."""
    rows = [("textures", name, int(name in "ade")) for name in "fedcba"]
    rows += [("drawn", "010", 0), ("drawn", "007", 0), ("other", "a", 0)]
    return pd.DataFrame(rows, columns=["dataset", "image_id", "passes"])


def test_the_accuracy_where_masks_pass_is_that_of_these_images_alone(predictions, passes):
    table = table1_passing(predictions, passes).set_index(["dataset", "model", "variant"])
    counts = ["n_images", "n_passing", "n_classes", "n_classes_passing"]
    first = table.loc[("textures", "vit", "original")]
    assert first[counts].tolist() == [6, 3, 2, 2]
    assert first.balanced_accuracy_all == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert first.balanced_accuracy_passing == pytest.approx((1 / 2 + 1) / 2)
    assert table.loc[("textures", "vit", "background")].balanced_accuracy_passing == 0.5
    assert table.loc[("textures", "cnn", "original")].balanced_accuracy_passing == 1
    assert table.loc[("textures", "cnn", "background")].balanced_accuracy_all == 0
    none = table.loc[("drawn", "vit", "background")]
    assert none[counts].tolist() == [2, 0, 2, 0]
    assert (none.balanced_accuracy_all, none.balanced_accuracy_passing) == (0.5, "")


def test_where_all_masks_pass_both_accuracies_are_the_same(predictions, passes):
    table = table1_passing(predictions, passes.assign(passes=1))
    assert (table.balanced_accuracy_passing == table.balanced_accuracy_all).all()
    assert (table.n_passing == table.n_images).all()


def test_a_class_without_a_passing_mask_is_left_out_of_the_mean_and_counted(predictions, passes):
    only_a = passes.assign(passes=(passes.image_id == "a").astype(int))
    first = table1_passing(predictions, only_a).iloc[0]
    assert (first.n_classes, first.n_classes_passing) == (2, 1)
    assert first.balanced_accuracy_passing == 1


def test_an_image_without_a_mask_is_an_error(predictions, passes):
    with pytest.raises(KeyError, match="'c'"):
        table1_passing(predictions, passes[passes.image_id != "c"])


def test_the_table_to_read_has_both_numbers_and_how_many_pass(predictions, passes):
    text = table1_passing_text(table1_passing(predictions, passes), LABELS)
    assert list(text) == ["Data set", "Model", "Passing", "Original", "Background"]
    assert text.values.tolist() == [
        ["Textures & more", "ViT-B/16", "3 of 6", "0.75 (0.62)", "0.50 (0.50)"],
        ["Textures & more", "CNN_50", "3 of 6", "1.00 (1.00)", "0.00 (0.00)"],
        ["Drawn", "ViT-B/16", "0 of 2", "none (1.00)", "none (0.50)"],
    ]


def test_ids_keep_their_zeros_and_empty_fields_stay_empty(tmp_path):
    table = pd.DataFrame({"image_id": ["0045128", "7"], "iou": ["", "0.5"], "n": [1, 2]})
    write_table(tmp_path / "t.csv", table)
    read = read_table(tmp_path / "t.csv")
    assert read.image_id.tolist() == ["0045128", "7"]
    assert read.iou.tolist() == ["", "0.5"]
    assert read.n.tolist() == [1, 2]
