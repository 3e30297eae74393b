import numpy as np
import pandas as pd
import pytest

from halfseen.files import write_table
from halfseen.tables import (
    latex,
    markdown,
    published_cells,
    read_table,
    table1,
    table1_passing,
    table1_passing_text,
    table1_text,
    transfer_cells,
)
from halfseen.uncertainty import corrected_fold_se

LABELS = {
    "datasets": {"textures": "Textures & more", "drawn": "Drawn"},
    "models": {"vit": "ViT-B/16", "cnn": "CNN_50"},
    "variants": {"original": "Original", "background": "Background"},
    "probes": {"nested": "Nested", "published": "As published"},
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


# Of the published split's single fold there is no deviation.
PUBLISHED = {("drawn", "vit", "original"): [0.6], ("drawn", "vit", "background"): [0.3]}
CHANCE = {"textures": 0.125, "drawn": 0.0625}


def cell(key, protocol, test_variant=None, centering="raw", control="none"):
    dataset, model, variant = key
    return {
        "dataset": dataset, "model": model, "protocol": protocol,
        "train_variant": variant, "test_variant": test_variant or variant,
        "centering": centering, "control": control,
    }  # fmt: skip


@pytest.fixture
def probes():
    """The folds of CELLS and of PUBLISHED; transfer and shuffled labels are for no row."""
    textures, drawn = ("textures", "vit", "original"), ("drawn", "vit", "original")
    found = [(cell(key, "nested"), values) for key, values in CELLS.items()]
    found += [(cell(key, "published"), values) for key, values in PUBLISHED.items()]
    found += [
        (cell(textures, "nested", "background"), [0.9, 0.9, 0.9]),
        (cell(textures, "nested", "background", "recentred"), [0.8, 0.8, 0.8]),
        (cell(textures, "nested", control="shuffled labels"), [0.11, 0.12, 0.13]),
        (cell(drawn, "nested", control="shuffled labels"), [0.07, 0.05, 0.06]),
    ]
    return pd.DataFrame(
        [
            names
            | {
                "fold": fold, "balanced_accuracy": value, "chance": CHANCE[names["dataset"]],
                "split_source": "official" if names["protocol"] == "published" else np.nan,
                "n_left_out": 4 if names["protocol"] == "published" else np.nan,
                "n_train": 36 if names["protocol"] == "published" else 40, "n_test": 20,
            }
            for names, values in found
            for fold, value in enumerate(values)
        ]
    )  # fmt: skip


@pytest.fixture
def cells(probes):
    """What `cell_table` makes of the predictions behind `probes`, with intervals made up."""
    names = list(cell(("", "", ""), ""))
    table = probes.groupby(names, sort=False, as_index=False).balanced_accuracy.mean()
    low, high = table.balanced_accuracy - 0.05, table.balanced_accuracy + 0.04
    n_images = np.where(table.protocol == "published", 20, 60)
    return table.assign(low=low, high=high, n_images=n_images)


@pytest.fixture
def text(probes, cells):
    probes, cells = (table[table.protocol == "nested"] for table in (probes, cells))
    return table1_text(table1(probes, cells).assign(paper_mean="", paper_std=""), LABELS)


# Table 1


def test_a_row_of_table_1_by_hand(probes, cells):
    row = table1(probes, cells).iloc[0].to_dict()
    assert row == {
        "dataset": "textures",
        "model": "vit",
        "protocol": "nested",
        "variant": "original",
        "balanced_accuracy_mean": 0.75,
        "balanced_accuracy_std": pytest.approx(np.sqrt((0.0625 + 0.0625) / 3)),
        "fold_se": pytest.approx(float(corrected_fold_se([0.5, 0.75, 1.0]))),
        "n_folds": 3,
        "n_images": 60,
        "chance": 0.125,
        "low": pytest.approx(0.7),
        "high": pytest.approx(0.79),
        "shuffled": pytest.approx(0.12),
    }


def test_table_1_has_a_row_per_cell_in_the_order_of_the_probes(probes, cells):
    table = table1(probes, cells)
    keys = list(zip(table.dataset, table.model, table.variant, strict=True))
    assert keys == [*CELLS, *PUBLISHED]
    assert table.protocol.tolist() == ["nested"] * 6 + ["published"] * 2
    assert table.balanced_accuracy_mean.tolist() == pytest.approx(
        [np.mean(values) for values in [*CELLS.values(), *PUBLISHED.values()]]
    )
    assert table.chance.tolist() == [0.125] * 4 + [0.0625] * 4


def test_shuffled_labels_stand_beside_the_cells_of_their_own_protocol_and_model(probes, cells):
    table = table1(probes, cells)
    shuffled = [0.12, 0.12, "", "", 0.06, 0.06, "", ""]
    assert table.shuffled.tolist() == [value and pytest.approx(value) for value in shuffled]


def test_a_single_fold_has_no_standard_error(probes, cells):
    table = table1(probes, cells).set_index("protocol")
    assert table.fold_se["published"].tolist() == ["", ""]
    assert table.n_folds["published"].tolist() == [1, 1]


def test_the_order_of_the_folds_does_not_matter(probes, cells):
    mixed = probes.sort_values("fold", ascending=False, kind="stable")
    mixed = mixed.sort_index(key=lambda index: index // 3 if len(index) else index, kind="stable")
    again = table1(mixed, cells)
    expected = table1(probes, cells)
    keys = ["dataset", "model", "protocol", "variant"]
    pd.testing.assert_frame_equal(
        again.sort_values(keys, ignore_index=True), expected.sort_values(keys, ignore_index=True)
    )


def test_a_row_without_its_interval_is_an_error(probes, cells):
    with pytest.raises(KeyError, match="published"):
        table1(probes, cells[cells.protocol == "nested"])


def test_table_1_to_read_has_a_column_per_variant_and_keeps_every_order(text):
    assert list(text.columns) == ["Data set", "Model", "Probe", "Original", "Background"]
    assert text.to_numpy().tolist() == [
        ["Textures & more", "ViT-B/16", "Nested", "0.75 (0.20)", "0.25 (0.00)"],
        ["Textures & more", "CNN_50", "Nested", "0.25 (0.20)", "0.60 (0.14)"],
        ["Drawn", "ViT-B/16", "Nested", "1.00 (0.00)", "0.20 (0.08)"],
    ]


def test_the_papers_numbers_follow_in_a_row_that_says_whose_they_are(probes, cells):
    table = table1(probes, cells)
    known = (table.dataset == "drawn") & (table.variant == "original")
    table = table.assign(
        paper_mean=np.where(known, "0.93", ""), paper_std=np.where(known, "0.01", "")
    )
    assert table1_text(table, LABELS).to_numpy().tolist()[2:] == [
        ["Drawn", "ViT-B/16", "Nested", "1.00 (0.00)", "0.20 (0.08)"],
        ["Drawn", "ViT-B/16", "As published", "0.60", "0.30"],
        ["Drawn", "ViT-B/16", "printed in the paper", "0.93 (0.01)", "-"],
    ]


def test_a_published_cell_tells_its_split_and_how_many_images_there_are(probes, cells):
    table = published_cells(probes, cells).set_index(["dataset", "protocol", "variant"])
    row = table.loc[("drawn", "published", "original")]
    assert (row.split_source, row.n_left_out, row.n_images) == ("official", 4, 60)
    assert len(table) == len(CELLS) + len(PUBLISHED)
    assert (table.n_images == 60).all()
    nested = table.loc[("drawn", "nested", "original")]
    assert (nested.split_source, nested.n_left_out) == ("", 0)


def test_a_study_of_published_splits_alone_knows_the_whole_data_set_too(probes, cells):
    alone = (table[table.protocol == "published"] for table in (probes, cells))
    assert published_cells(*alone).n_images.tolist() == [60] * len(PUBLISHED)


def test_a_study_without_a_published_split_has_no_source_of_one(probes, cells):
    folds = [table[table.protocol == "nested"] for table in (probes, cells)]
    folds[0] = folds[0].astype({"split_source": float})  # as an empty column of a file is read
    table = published_cells(*folds)
    assert set(zip(table.split_source, table.n_left_out, table.n_images, strict=True)) == {
        ("", 0, 60)
    }


def test_transfer_takes_the_diagonal_raw_and_the_rest_as_asked(cells):
    textures = cells[(cells.dataset == "textures") & (cells.model == "vit")]
    for centering, value in (("raw", 0.9), ("recentred", 0.8)):
        found = transfer_cells(textures, "nested", centering)
        shown = found.set_index(["train_variant", "test_variant"]).balanced_accuracy
        assert shown.to_dict() == pytest.approx(
            {
                ("original", "original"): 0.75,
                ("background", "background"): 0.25,
                ("original", "background"): value,
            }
        )
    assert transfer_cells(cells, "paper", "raw").empty


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
            r"\begin{tabular}{lllcc}",
            r"\toprule",
            r"Data set & Model & Probe & Original & Background \\",
            r"\midrule",
            r"Textures \& more & ViT-B/16 & Nested & 0.75 (0.20) & 0.25 (0.00) \\",
            r" & CNN\_50 & Nested & 0.25 (0.20) & 0.60 (0.14) \\",
            r"\midrule",
            r"Drawn & ViT-B/16 & Nested & 1.00 (0.00) & 0.20 (0.08) \\",
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
    names = {"centering": "raw", "control": "none"}
    return pd.concat(
        [
            pd.DataFrame({key: columns[key] for key in frame})
            .assign(dataset=d, model=m, train_variant=variant, test_variant=variant, **names)
            .assign(predicted=columns[variant])
            for d, m, columns in parts
            for variant in ("original", "background")
        ]
    )


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
