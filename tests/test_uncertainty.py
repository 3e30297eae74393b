import tracemalloc
from functools import partial
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score

from halfseen import uncertainty
from halfseen.uncertainty import (
    AGREEMENT,
    CELL,
    DIFFERENCES,
    NAMED_MARGINS,
    bootstrap_balanced_accuracy,
    cell_matrix,
    cell_table,
    cohen_kappa,
    corrected_fold_se,
    difference_table,
    fold_mean_recall,
    holm,
    margins_of,
    mean_recall,
    two_sided_p,
)

SIZES = [40, 25, 60, 31]
LABELS = np.repeat(np.arange(4), SIZES)
ROLES = {"whole": "original", "object": "foreground", "surroundings": "background"}
agreement_table = partial(uncertainty.agreement_table, reference="original")
named_margins = partial(uncertainty.named_margins, margins=margins_of(ROLES))
VARIANTS = ["original", "foreground", "background"]
MODELS = ["vit", "cnn"]
# Two classes, and by hand: recalls 3/4 and 1/2.
IDS, HAND_LABELS, HAND = list("cafbed"), [0, 0, 0, 0, 1, 1], [0, 0, 1, 0, 1, 0]


def cell(predicted, labels=LABELS, image_ids=None, folds=None, **names):
    """The predictions of one cell, by default of the original with its own probe."""
    n = len(labels)
    common = {
        "dataset": "drawn", "model": "vit", "protocol": "nested", "train_variant": "original",
        "test_variant": "original", "centering": "raw", "control": "none",
    }  # fmt: skip
    return pd.DataFrame(
        {
            **(common | names),
            "image_id": [f"{i:04}" for i in range(n)] if image_ids is None else image_ids,
            "label": labels,
            "fold": np.arange(n) % 5 if folds is None else folds,
            "predicted": predicted,
        }
    )


def own(variant):
    return {"train_variant": variant, "test_variant": variant}


def right_where(right):
    """Predictions that are right where `right` is true, and else the next class."""
    return np.where(right, LABELS, (LABELS + 1) % 4)


def closed_form_se(values, labels=LABELS):
    """What the bootstrap of the mean recall converges to: sqrt(sum_c s_c^2 / n_c) / K."""
    classes = np.unique(labels)
    parts = [values[labels == label].var(ddof=1) / (labels == label).sum() for label in classes]
    return np.sqrt(sum(parts)) / len(classes)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def right(rng):
    """Which images each model gets right on each variant: harder images are so for all."""
    ease = rng.random(len(LABELS))
    return {
        (model, variant): ease + 0.3 * rng.random(len(LABELS)) > threshold
        for model, variant, threshold in [
            ("vit", "original", 0.3), ("vit", "foreground", 0.5), ("vit", "background", 0.8),
            ("cnn", "original", 0.4), ("cnn", "foreground", 0.6), ("cnn", "background", 0.7),
        ]
    }  # fmt: skip


@pytest.fixture
def grid(right):
    """Two models on three variants under two protocols, one of them of a single fold."""
    tables = []
    for protocol, folds in [("nested", None), ("published", np.zeros(len(LABELS), dtype=int))]:
        for (model, variant), values in right.items():
            names = {"model": model, "protocol": protocol, "folds": folds}
            control = names | {"control": "shuffled labels"}
            tables.append(cell(right_where(values), **names, **own(variant)))
            tables.append(cell(LABELS, **names, **own(variant), centering="recentred"))
            tables.append(cell((LABELS + 1) % 4, **control, **own(variant)))
            if variant != "original":
                transfer = {"train_variant": "original", "test_variant": variant}
                right_too = right_where(values & (LABELS < 3))
                tables.append(cell(right_too, **names, **transfer))
                tables.append(cell(right_too, **names, **transfer, centering="recentred"))
                tables.append(cell((LABELS + 1) % 4, **control, **transfer))
    return pd.concat(tables, ignore_index=True)


# The matrix of cells


def test_images_are_joined_by_id_and_not_by_the_order_of_the_rows():
    first = cell(HAND, HAND_LABELS, IDS)
    second = cell([0, 0, 0, 0, 0, 0], HAND_LABELS, IDS, model="cnn").iloc[[5, 2, 0, 1, 4, 3]]
    correct, labels, cells = cell_matrix(pd.concat([first, second]))
    # In the order a, b, c, d, e, f.
    assert labels.tolist() == [0, 0, 0, 1, 1, 0]
    assert correct[:, 0].tolist() == [True, True, True, False, True, False]
    assert correct[:, 1].tolist() == [True, True, True, False, False, True]
    assert correct.dtype == bool
    assert list(cells.columns) == CELL
    assert cells.model.tolist() == ["vit", "cnn"]


def test_the_order_of_the_rows_changes_no_number(grid, rng):
    shuffled = grid.sample(frac=1, random_state=1)
    keys = {
        "cells": (lambda table: cell_table(table, 50, np.random.default_rng(0)), CELL),
        "margins": (lambda table: named_margins(table, 50, np.random.default_rng(0)), [
            "protocol", "model", "centering", "margin"]),
        "agreement": (agreement_table, ["protocol", "model", "variant"]),
    }  # fmt: skip
    # One data set, protocol and control at a time: they take their draws from one stream in turn.
    for _, part in grid.groupby(["protocol", "control"]):
        other = shuffled.loc[shuffled.index.intersection(part.index, sort=False)]
        assert not other.index.equals(part.index)
        for table, key in keys.values():
            if len(table(part)):
                expected, found = (table(one).sort_values(key) for one in (part, other))
                pd.testing.assert_frame_equal(
                    found.reset_index(drop=True), expected.reset_index(drop=True), check_exact=True
                )


def test_the_order_of_the_rows_changes_no_difference_but_its_direction(grid):
    part = grid[(grid.protocol == "nested") & (grid.control == "none")]
    expected = difference_table(part, 100, np.random.default_rng(0))
    shuffled = part.sample(frac=1, random_state=1)
    found = difference_table(shuffled, 100, np.random.default_rng(0))
    found = {(row.within, row.first, row.second): row for row in found.itertuples()}
    for row in expected.itertuples():
        same = found.get((row.within, row.first, row.second))
        turned = found.get((row.within, row.second, row.first))
        assert (same is None) != (turned is None)
        if same:
            assert (same.difference, same.low, same.high) == (row.difference, row.low, row.high)
        else:
            assert turned.difference == -row.difference
            assert (turned.low, turned.high) == pytest.approx((-row.high, -row.low), abs=1e-12)
        assert (same or turned).se == pytest.approx(row.se, rel=1e-12)
        assert (same or turned).p_holm == pytest.approx(row.p_holm, rel=1e-9)


def test_categories_and_texts_give_the_same_tables_in_the_same_order(grid):
    categories = grid.astype(dict.fromkeys([*CELL, "image_id"], "category"))
    for table in (cell_table, difference_table, named_margins):
        pd.testing.assert_frame_equal(
            table(categories, 20, np.random.default_rng(0)),
            table(grid, 20, np.random.default_rng(0)),
            check_dtype=False,
        )
    pd.testing.assert_frame_equal(
        agreement_table(categories), agreement_table(grid), check_dtype=False
    )


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([0, 1, 2, 3, 4], "lacks image 'd'"),
        ([0, 1, 2, 3, 4, 5, 1], "holds 2 times image 'a'"),
        ([0, 1, 1, 3, 4, 5], "holds 2 times image 'a'"),
    ],
)
def test_a_missing_or_doubled_image_is_an_error_that_names_it_and_its_cell(rows, problem):
    cells = [cell(HAND, HAND_LABELS, IDS, model=model) for model in ("vit", "cnn", "mae")]
    cells[1] = cells[1].iloc[rows]
    named = f"cell drawn/cnn/nested, original -> original, raw, control none, {problem}"
    predictions = pd.concat(cells)
    for table in (cell_table, difference_table, named_margins):
        with pytest.raises(ValueError, match=named):
            table(predictions, 10, np.random.default_rng(0))
    for table in (cell_matrix, agreement_table):
        with pytest.raises(ValueError, match=named):
            table(predictions)


@pytest.mark.parametrize(("name", "value", "other"), [("label", 1, 0), ("fold", 4, 1)])
def test_another_label_or_fold_in_one_cell_is_an_error_that_names_both(name, value, other):
    cells = [cell(HAND, HAND_LABELS, IDS, model=model) for model in ("vit", "cnn")]
    cells[1].loc[1, name] = value
    told = f"image 'a' has {name} {value} in cell drawn/cnn/.* but {other} in cell drawn/vit/"
    with pytest.raises(ValueError, match=told):
        cell_table(pd.concat(cells), 10, np.random.default_rng(0))


def test_a_missing_column_and_an_empty_field_are_errors_that_name_the_column(grid):
    with pytest.raises(ValueError, match=r"lack the columns \['predicted'\]"):
        cell_matrix(grid.drop(columns="predicted"))
    with pytest.raises(ValueError, match=r"empty fields in the columns \['control'\]"):
        cell_matrix(grid.assign(control=grid.control.mask(grid.control == "none")))


# Balanced accuracy


def test_mean_recall_by_hand_and_in_each_fold():
    correct, labels = np.equal(HAND, HAND_LABELS)[:, None], np.array(HAND_LABELS)
    assert mean_recall(correct, labels) == pytest.approx([(3 / 4 + 1 / 2) / 2])
    folds = np.array([0, 0, 1, 1, 0, 1])
    # Fold 0: 2 of 2 and 1 of 1; fold 1: 1 of 2 and 0 of 1.
    assert fold_mean_recall(correct, labels, folds).tolist() == [[1], [0.25]]


def test_a_class_that_a_fold_lacks_is_an_error_that_names_both():
    correct, labels = np.equal(HAND, HAND_LABELS)[:, None], np.array(HAND_LABELS)
    with pytest.raises(ValueError, match="fold 1 has no image of class 1"):
        fold_mean_recall(correct, labels, np.array([0, 1, 0, 1, 0, 0]))


# The bootstrap


def test_every_draw_keeps_the_size_of_every_class():
    # A cell that is right on one class alone has balanced accuracy 1 / K only if that class stays.
    indicators = LABELS[:, None] == np.arange(4)
    draws = bootstrap_balanced_accuracy(indicators, LABELS, 50, np.random.default_rng(0))
    assert (draws == 1 / 4).all()


def test_a_draw_is_the_balanced_accuracy_of_the_images_drawn(right, rng, monkeypatch):
    counted, count = [], uncertainty.resampling_counts

    def recorded(*arguments):
        counts, size = count(*arguments)
        counted.append(counts)
        return counts, size

    monkeypatch.setattr(uncertainty, "resampling_counts", recorded)
    correct = np.column_stack(list(right.values()))
    order = rng.permutation(len(LABELS))  # classes need not stand together
    draws = bootstrap_balanced_accuracy(correct[order], LABELS[order], 20, rng)
    by_class = np.concatenate([np.flatnonzero(LABELS[order] == label) for label in range(4)])
    for draw, counts in zip(draws, np.hstack(counted).astype(int), strict=True):
        drawn = order[np.repeat(by_class, counts)]
        assert np.bincount(LABELS[drawn]).tolist() == [size - 1 for size in SIZES]
        for value, column in zip(draw, correct.T, strict=True):
            predicted = np.where(column[drawn], LABELS[drawn], (LABELS[drawn] + 1) % 4)
            assert value == pytest.approx(balanced_accuracy_score(LABELS[drawn], predicted))


def test_the_spread_of_the_draws_is_the_closed_form(right, rng):
    correct = np.column_stack(list(right.values()))
    draws = bootstrap_balanced_accuracy(correct, LABELS, 20_000, rng)
    # The standard deviation of 20,000 draws is itself known to 0.5 %.
    expected = [closed_form_se(column) for column in correct.T]
    assert draws.std(axis=0, ddof=1) == pytest.approx(expected, rel=0.025)
    assert draws.mean(axis=0) == pytest.approx(mean_recall(correct, LABELS), abs=0.001)


def test_a_class_of_a_single_image_stays_as_it_is(rng):
    draws = bootstrap_balanced_accuracy(np.array([[True], [False]]), np.arange(2), 20, rng)
    assert (draws == 1 / 2).all()


def test_equal_cells_have_equal_draws_wherever_they_stand(rng):
    column = rng.random(len(LABELS)) < 0.7
    correct = np.column_stack([column] + [rng.random(len(LABELS)) < 0.5] * 6 + [column])
    draws = bootstrap_balanced_accuracy(correct, LABELS, 200, rng)
    assert (draws[:, 0] == draws[:, -1]).all()
    assert draws[:, 0].std() > 0.01


def test_the_size_of_a_block_changes_neither_draws_nor_peak_memory_beyond_it(rng, monkeypatch):
    labels = np.repeat([0, 1], [9000, 1000])
    correct = rng.random((10_000, 3)) < 0.6
    whole = bootstrap_balanced_accuracy(correct, labels, 300, np.random.default_rng(5))
    monkeypatch.setattr(uncertainty, "BLOCK", 2**17)
    tracemalloc.start()
    blocked = bootstrap_balanced_accuracy(correct, labels, 300, np.random.default_rng(5))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (blocked == whole).all()
    assert peak < 5e6  # all weights of the larger class at once take 21.6 MB as integers


def test_ninety_five_percent_of_the_intervals_hold_the_truth():
    rng = np.random.default_rng(8)
    truth = np.array([0.9, 0.5, 0.3, 0.7])
    labels = np.repeat(np.arange(4), [40, 25, 30, 35])
    correct = rng.random((len(labels), 1000)) < truth[labels][:, None]  # 1000 studies
    draws = bootstrap_balanced_accuracy(correct, labels, 1000, rng)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    covered = ((low <= truth.mean()) & (truth.mean() <= high)).mean()
    assert 0.92 < covered < 0.97


# The table of cells


def test_a_row_of_the_table_of_cells_by_hand(rng):
    folds = [0, 0, 1, 1, 0, 1]
    row = cell_table(cell(HAND, HAND_LABELS, IDS, folds), 2000, rng).iloc[0].to_dict()
    assert row.pop("se") == pytest.approx(
        np.sqrt(3 / 16 / 3 + 1 / 4 / 1) / 2, rel=0.06
    )  # recalls 3/4 of 4, of which 3 are drawn, and 1/2 of 2
    assert row == {
        "dataset": "drawn", "model": "vit", "protocol": "nested", "train_variant": "original",
        "test_variant": "original", "centering": "raw", "control": "none",
        # Of the draws, 0.8 % reach 0 and 7.8 % at most 1/6; 21 % reach 1.
        "low": pytest.approx(1 / 6), "high": 1, "balanced_accuracy": 0.625,
        "accuracy": pytest.approx(4 / 6), "n_images": 6, "n_classes": 2, "chance": 0.5,
        "chance_corrected": 0.25,
        # The folds reach 1 and 1/4.
        "fold_mean": 0.625, "fold_std": 0.375,
        "fold_se": pytest.approx(np.sqrt(1.5 * 0.28125)),
    }  # fmt: skip


@pytest.mark.parametrize(("level", "low", "high"), [(0.95, 2, 7), (0.8, 3, 6)])
def test_the_interval_is_that_of_the_binomial_by_hand(level, low, high, rng):
    # Class 0 always right, 5 of 10 of class 1: (1 + B / 9) / 2, B binomial of 9 with quantiles
    # 2 and 7 at 2.5 %, 3 and 6 at 10 %.
    predicted = [0] * 10 + [0, 1] * 5
    table = cell_table(cell(predicted, [0] * 10 + [1] * 10), 20_000, rng, level)
    expected = [(1 + low / 9) / 2, (1 + high / 9) / 2]
    assert table[["low", "high"]].iloc[0].tolist() == pytest.approx(expected)


def test_a_cell_without_an_error_has_a_spread_of_exactly_zero(rng):
    labels = np.repeat(np.arange(7), 9)
    row = cell_table(cell(labels, labels), 333, rng).iloc[0]
    assert row[["balanced_accuracy", "low", "high", "se", "fold_se"]].tolist() == [1, 1, 1, 0, 0]
    third = np.repeat([0, 0, 0], 9)  # 1/3 right in every draw: a mean of it is rounded
    row = cell_table(cell(third, np.repeat([0, 1, 2], 9)), 100, rng).iloc[0]
    assert (row.balanced_accuracy, row.chance_corrected, row.se) == (1 / 3, 0, 0)


def test_every_cell_has_a_row_and_single_folds_leave_the_fold_columns_empty(grid, rng):
    table = cell_table(grid, 50, rng)
    assert len(table) == len(grid[CELL].drop_duplicates()) == 60
    for name in ("fold_mean", "fold_std", "fold_se"):
        assert (table.loc[table.protocol == "published", name] == "").all()
        assert (table.loc[table.protocol == "nested", name].astype(float) >= 0).all()
    assert not table.loc[table.control == "none", "balanced_accuracy"].eq(0).any()
    assert (table.loc[table.control == "shuffled labels", "balanced_accuracy"] == 0).all()


def test_official_splits_may_hold_other_images_than_the_folds(right, rng):
    some = LABELS < 2
    whole = cell(right_where(right["vit", "original"]))
    split = whole[some].assign(protocol="published", fold=0)
    table = cell_table(pd.concat([whole, split]), 20, rng)
    assert table.n_images.tolist() == [len(LABELS), some.sum()]
    assert table.chance.tolist() == [1 / 4, 1 / 2]


def test_the_control_may_have_labels_of_its_own(rng):
    shuffled = rng.permutation(LABELS)
    both = pd.concat([cell(LABELS), cell(shuffled, shuffled, control="shuffled labels")])
    folds = np.tile(np.arange(len(LABELS)) % 2, 2)
    assert cell_table(both.assign(fold=folds), 20, rng).balanced_accuracy.tolist() == [1, 1]


def test_a_single_class_is_an_error_that_names_data_set_and_protocol(rng):
    with pytest.raises(ValueError, match="drawn has a single class in protocol nested"):
        cell_table(cell([0] * 10, [0] * 10), 10, rng)


# Differences


def test_every_pair_of_variants_and_of_models_is_compared_first_less_second(grid, right, rng):
    table = difference_table(grid, 4000, rng)
    assert list(table.columns) == DIFFERENCES
    # Per protocol 3 pairs of variants for 2 models and 1 pair of models for 3 variants.
    assert table.groupby(["protocol", "compares"]).size().tolist() == [3, 6, 3, 6]
    for row in table.itertuples():
        cells = [
            right[(row.within, name) if row.compares == "variants" else (name, row.within)]
            for name in (row.first, row.second)
        ]
        values = cells[0].astype(int) - cells[1]
        expected = np.mean([values[one == LABELS].mean() for one in range(4)])
        assert row.difference == pytest.approx(expected, abs=1e-12)
        assert row.se == pytest.approx(closed_form_se(values), rel=0.06)
        assert row.low == pytest.approx(expected - 1.96 * row.se, abs=0.4 * row.se)
        assert row.high == pytest.approx(expected + 1.96 * row.se, abs=0.4 * row.se)
        assert row.p == pytest.approx(2 * NormalDist().cdf(-abs(row.difference) / row.se))
        assert row.n_images == len(LABELS)
    variants = table[(table.protocol == "nested") & (table.within == "vit")]
    assert list(zip(variants["first"], variants["second"], strict=True)) == list(
        combinations(VARIANTS, 2)
    )
    models = table[(table.protocol == "nested") & (table.compares == "models")]
    assert models.within.tolist() == VARIANTS
    assert list(zip(models["first"], models["second"], strict=True)) == [tuple(MODELS)] * 3


def test_holm_is_taken_over_all_differences_of_a_protocol_and_of_no_other(grid, rng):
    table = difference_table(grid, 200, rng)
    assert table.p_holm.tolist() != holm(table.p).tolist()
    for _, part in table.groupby("protocol"):
        assert len(part) == 9
        assert part.p_holm.tolist() == holm(part.p).tolist()
        for _, kind in part.groupby("compares"):
            assert kind.p_holm.tolist() != holm(kind.p).tolist()


def test_pairing_makes_the_difference_of_cells_that_err_alike_surer(rng):
    # On half of each class the cells are both right; of the rest, one is right on a tenth more.
    labels = np.repeat([0, 1], 100)
    place = np.arange(200) % 100
    first, second = place < 60, place < 50
    predictions = pd.concat(
        cell(np.where(right, labels, 1 - labels), labels, **own(variant))
        for right, variant in [(first, "original"), (second, "foreground")]
    )
    paired = difference_table(predictions, 20_000, rng).se[0]
    unpaired = np.hypot(*cell_table(predictions, 20_000, rng).se)
    # d is 1 on 10 of 100 and else 0; two classes: variance of all / (n_c - 1) / 2.
    assert paired == pytest.approx(np.sqrt(0.1 * 0.9 / 99 / 2), rel=0.03)
    assert unpaired == pytest.approx(np.sqrt((0.6 * 0.4 + 0.25) / 99 / 2), rel=0.03)


def test_cells_that_are_right_on_the_same_images_differ_by_nothing(right, rng):
    predicted = right_where(right["vit", "original"])
    wrong_otherwise = np.where(predicted == LABELS, LABELS, (LABELS + 2) % 4)
    predictions = pd.concat([cell(predicted), cell(wrong_otherwise, **own("background"))])
    row = difference_table(predictions, 100, rng).iloc[0]
    assert row[["difference", "low", "high", "se"]].tolist() == [0, 0, 0, 0]
    assert row[["p", "p_holm"]].tolist() == [1, 1]


def test_a_difference_without_spread_is_as_sure_as_an_exact_test_makes_it(rng):
    # Two classes of 5; one cell has all of class 1 right, the other none of it.
    labels = np.repeat([0, 1], 5)
    predictions = pd.concat([cell(labels, labels), cell(labels * 0, labels, **own("background"))])
    row = difference_table(predictions, 100, rng).iloc[0]
    assert row[["difference", "low", "high", "se"]].tolist() == [0.5, 0.5, 0.5, 0]
    assert row[["p", "p_holm"]].tolist() == pytest.approx([2 / 2**5] * 2)


def test_a_gain_in_one_class_and_a_loss_in_another_are_exactly_nothing(rng):
    # A third of class 0 in both, all of class 1 in one, all of class 2 in the other.
    labels = np.repeat(np.arange(3), 9)
    third = (labels == 0) & (np.arange(27) % 3 == 0)
    predictions = pd.concat(
        cell(np.where(third | (labels == whole), labels, (labels + 1) % 3), labels, **own(variant))
        for whole, variant in [(1, "original"), (2, "background")]
    )
    row = difference_table(predictions, 100, rng).iloc[0]
    assert row[["difference", "se", "p"]].tolist() == [0, 0, 1]


def test_p_of_a_difference_by_hand():
    found = two_sided_p([1.959964, -1.959964, 0], 1, [90, 90, 90], [100, 100, 100])
    assert found == pytest.approx([0.05, 0.05, 1], rel=1e-6)


@pytest.mark.parametrize(("gained", "lost"), [(5, 0), (0, 9), (7, 2), (6, 6), (60, 40)])
def test_without_spread_p_is_that_of_the_exact_sign_test(gained, lost):
    expected = binomtest(gained, gained + lost).pvalue
    assert two_sided_p(0.3, 0, gained, lost) == pytest.approx(expected)
    assert two_sided_p(0, 0, gained, lost) == 1


def test_p_is_never_below_that_of_images_which_all_fall_to_one_cell():
    # 9 of 10 images, and a z of 9.
    assert two_sided_p(0.9, 0.1, 9, 0) == pytest.approx(2 / 2**9)
    assert two_sided_p(0.9, 0.1, 0, 1) == 1
    assert two_sided_p(0, 0, 0, 0) == 1
    # Of gains and losses in classes of several sizes, the sign test asks another question.
    assert two_sided_p(0.3, 0.1, 20, 20) == pytest.approx(0.0026998, rel=1e-4)


def test_ninety_five_percent_of_the_intervals_of_a_difference_hold_the_truth():
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1, 2], [40, 30, 35])
    ease = rng.random((len(labels), 1000))  # of 1000 studies
    differences = (ease < 0.7).astype(np.int8) - (ease + 0.2 * rng.random(ease.shape) < 0.6)
    # P(ease + 0.2 u < 0.6) = 0.5.
    draws = bootstrap_balanced_accuracy(differences, labels, 1000, rng)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    assert 0.92 < ((low <= 0.2) & (high >= 0.2)).mean() < 0.97


def test_where_nothing_differs_five_percent_of_p_say_that_something_does_in_small_classes_too():
    rng = np.random.default_rng(6)
    labels = np.repeat(np.arange(100), 5)
    right = rng.random((2, len(labels), 4000)) < 0.7  # two equal cells in 4000 studies
    differences = right[0].astype(np.int8) - right[1]
    draws = bootstrap_balanced_accuracy(differences, labels, 300, rng)
    gained, lost = (differences > 0).sum(axis=0), (differences < 0).sum(axis=0)
    se = draws.std(axis=0, ddof=1)
    p = two_sided_p(mean_recall(differences, labels), se, gained, lost)
    # Of 4000 studies the share is known to 0.34 %; draws of 5 images of a class would make it 8 %.
    assert 0.04 < (p <= 0.05).mean() < 0.065


def test_a_single_model_on_a_single_variant_gives_an_empty_table_with_its_columns(rng):
    table = difference_table(cell(LABELS), 10, rng)
    assert table.empty
    assert list(table.columns) == DIFFERENCES


# Margins


def test_the_named_margins_are_those_cells_above_chance_and_their_loss(grid, right, rng):
    table = named_margins(grid, 4000, rng)
    assert list(table.columns) == NAMED_MARGINS
    # 2 protocols, 2 models, 2 margins, raw and recentred.
    assert len(table) == 16
    assert set(zip(table.margin, table.train_variant, table.test_variant, strict=True)) == {
        ("sufficiency", "original", "foreground"),
        ("background reliance", "original", "background"),
    }
    assert table.groupby(["centering", "margin"]).size().tolist() == [4] * 4
    cells = cell_table(grid[grid.control == "none"], 4000, rng).set_index(CELL)
    for row in table.itertuples():
        names = ("drawn", row.model, row.protocol, "original")
        found = cells.loc[(*names, row.test_variant, row.centering, "none")]
        original = cells.loc[(*names, "original", "raw", "none")]
        assert row.balanced_accuracy == pytest.approx(found.balanced_accuracy)
        assert (row.low, row.high) == pytest.approx((found.low, found.high), abs=0.01)
        assert row.se == pytest.approx(found.se, rel=0.1)
        assert (row.chance, row.n_images) == (1 / 4, len(LABELS))
        above = (row.above_chance, row.above_chance_low, row.above_chance_high)
        assert above == (row.balanced_accuracy - 1 / 4, row.low - 1 / 4, row.high - 1 / 4)
        assert row.difference == pytest.approx(found.balanced_accuracy - original.balanced_accuracy)
        transferred = right[row.model, row.test_variant] & (LABELS < 3)
        values = transferred.astype(int) - right[row.model, "original"]
        assert row.difference_se == pytest.approx(closed_form_se(values), rel=0.06)
        assert row.difference_low < row.difference < row.difference_high < 0


def test_a_margin_without_the_cell_that_it_is_compared_with_is_an_error(rng):
    lonely = cell(LABELS, model="mae", train_variant="original", test_variant="foreground")
    told = "cell drawn/mae/.*: mae has no raw predictions trained and tested on original"
    with pytest.raises(ValueError, match=told):
        named_margins(pd.concat([cell(LABELS), lonely]), 10, rng)


def test_a_study_without_the_variants_has_no_margin(rng):
    table = named_margins(cell(LABELS), 10, rng)
    assert table.empty
    assert list(table.columns) == NAMED_MARGINS


# Agreement


def test_agreement_of_original_and_variant_by_hand():
    # 4 of 6 agree, 16 of 36 would by chance: kappa (2/3 - 4/9) / (5/9).
    original, variant = [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1]
    labels = [0, 1, 0, 1, 1, 0]
    predictions = pd.concat(
        [
            cell(variant, labels, IDS, **own("border")),
            cell(original, labels, IDS).iloc[::-1],
            cell(labels, labels, IDS, train_variant="original", test_variant="border"),
            cell(labels, labels, IDS, **own("border"), control="shuffled labels"),
        ]
    )
    table = agreement_table(predictions)
    assert list(table.columns) == AGREEMENT
    assert table.to_dict("records") == [
        {
            "dataset": "drawn", "protocol": "nested", "model": "vit",
            "reference": "original", "variant": "border", "kappa": pytest.approx(0.4),
            # Right on the original: c, e; on the border: c, b, e, and f is lost.
            "flip_rate": pytest.approx(2 / 6), "lost": pytest.approx(1 / 6),
            "gained": pytest.approx(1 / 6), "n_images": 6,
        }
    ]  # fmt: skip


def test_a_change_from_wrong_to_wrong_is_a_flip_but_neither_lost_nor_gained():
    labels = [0, 1, 2, 0, 1, 2]
    predictions = pd.concat(
        [
            cell([1, 1, 2, 0, 1, 2], labels, IDS),
            cell([2, 1, 2, 0, 1, 2], labels, IDS, **own("center")),
        ]
    )
    row = agreement_table(predictions).iloc[0]
    assert row[["flip_rate", "lost", "gained"]].tolist() == pytest.approx([1 / 6, 0, 0])


def test_every_model_and_protocol_is_compared_on_every_other_variant(grid, right):
    table = agreement_table(grid)
    assert table[["protocol", "model", "variant"]].to_numpy().tolist() == [
        [protocol, model, variant]
        for protocol in ("nested", "published")
        for model in MODELS
        for variant in VARIANTS[1:]
    ]
    for row in table.itertuples():
        before, after = right[row.model, "original"], right[row.model, row.variant]
        assert row.lost == (before & ~after).mean()
        assert row.gained == (~before & after).mean()
        assert row.flip_rate == pytest.approx(row.lost + row.gained)


def test_kappa_of_equal_constant_predictions_is_one_and_of_others_as_defined():
    assert cohen_kappa(np.full(5, 3), np.full(5, 3)) == 1
    assert cohen_kappa(np.array([0, 1, 2]), np.array([0, 1, 2])) == 1
    assert cohen_kappa(np.full(4, 1), np.full(4, 2)) == 0
    assert cohen_kappa(np.array([0, 1]), np.array([1, 0])) == -1


def test_a_model_without_the_reference_is_an_error_that_names_it():
    with pytest.raises(ValueError, match="vit has no raw predictions trained and tested on orig"):
        agreement_table(cell(LABELS, **own("center")))


# Holm


def test_holm_by_hand_in_the_order_given():
    # Sorted .005 .01 .03 .04 times 4 3 2 1: .02 .03 .06 .04, the last raised to .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]).tolist() == [1, 1]
    assert holm([0.2]).tolist() == [0.2]
    assert holm([]).tolist() == []


def test_holm_rejects_what_its_step_down_procedure_rejects(rng):
    for _ in range(20):
        p = rng.random(30) ** 4
        adjusted = holm(p)
        assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()
        assert ((p <= adjusted) & (adjusted <= np.minimum(1, 30 * p))).all()
        rejected = np.zeros(30, dtype=bool)
        for step, number in enumerate(np.argsort(p)):
            if p[number] > 0.05 / (30 - step):
                break
            rejected[number] = True
        assert ((adjusted <= 0.05) == rejected).all()


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan])
def test_what_is_no_p_value_is_an_error(bad):
    with pytest.raises(ValueError, match="is no p value"):
        holm([0.5, bad])


# The folds


def test_the_variance_of_five_folds_is_that_of_nadeau_and_bengio():
    # SCIENCE.md 3.5: 0.45 s^2, and s^2 = 2.5.
    assert corrected_fold_se([1, 2, 3, 4, 5]) ** 2 == pytest.approx(0.45 * 2.5)
    assert corrected_fold_se([[1, 0], [2, 0], [3, 0]]) == pytest.approx([np.sqrt(5 / 6), 0])


def test_the_ratio_of_test_to_training_images_may_be_given():
    assert corrected_fold_se([1, 3], n_test_over_n_train=0.25) == pytest.approx(np.sqrt(0.75 * 2))


def test_a_single_fold_has_no_standard_error():
    with pytest.raises(ValueError, match=r"1 fold\(s\) have no standard error"):
        corrected_fold_se([0.5])
