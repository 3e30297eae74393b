import numpy as np
import pandas as pd
import pytest

from halfseen.comparison import PAPER_IMAGES, beside_paper
from halfseen.files import write_table
from halfseen.paper_comparison import (
    COMPARED,
    compare_with_paper,
    comparison_summary,
    printed_fold_se,
)
from halfseen.tables import read_table
from halfseen.uncertainty import corrected_fold_se


def table1(*cells):
    rows = [
        {
            "dataset": dataset, "model": model, "variant": variant, "protocol": protocol,
            "balanced_accuracy_mean": mean, "balanced_accuracy_std": 0.02, "fold_se": se,
            "n_folds": 5, "n_images": PAPER_IMAGES.get(dataset, 100),
        }
        for dataset, model, variant, protocol, mean, se in cells
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_printed_standard_deviation_gives_the_standard_error_of_the_folds_behind_it():
    folds = np.array([0.60, 0.66, 0.63, 0.59, 0.67])
    # Without rounding: the correction of Nadeau and Bengio, as for our own folds.
    assert printed_fold_se(folds.std(), 5, step=0) == pytest.approx(corrected_fold_se(folds))
    # By hand: (0.02^2 + 0.01^2 / 12) 5/4 9/20 + 0.01^2 / 12.
    by_hand = ((0.0004 + 0.0001 / 12) * 1.25 * 0.45 + 0.0001 / 12) ** 0.5
    assert printed_fold_se(0.02, 5) == pytest.approx(by_hand)


def test_it_is_half_as_large_again_as_the_one_that_takes_the_folds_for_independent():
    ratio = printed_fold_se(1.0, 5, step=0) / (np.std([0, 2], ddof=0) * (5 / 4) ** 0.5 / 5**0.5)
    assert ratio == pytest.approx(1.5)  # sqrt((1/5 + 1/4) / (1/5))


def test_a_printed_zero_is_not_certainty():
    rng = np.random.default_rng(0)
    # What prints as 0.00 (0.00) may be anything that rounds to it.
    stds, means = rng.uniform(0, 0.005, 100_000), rng.uniform(-0.005, 0.005, 100_000)
    spread = (0.45 * 1.25 * (stds**2).mean() + (means**2).mean()) ** 0.5
    assert printed_fold_se(0.0, 5) == pytest.approx(spread, rel=0.01)


def test_a_difference_is_told_in_units_of_both_standard_errors(paper_table1):
    ours = table1(("caltech101", "mae", "foreground", "paper", 0.75, 0.03))
    row = compare_with_paper(beside_paper(ours, paper_table1)).iloc[0]
    assert list(row.index) == COMPARED
    assert (row.ours, row.paper, row.paper_std) == (0.75, 0.71, 0.02)
    assert row.paper_se == pytest.approx(printed_fold_se(0.02, 5))
    assert row.se == pytest.approx((0.03**2 + row.paper_se**2) ** 0.5)
    assert row.difference_in_se == pytest.approx(0.04 / row.se)
    assert row.differs == ""


def test_cells_that_the_paper_lacks_and_single_folds_are_left_out(paper_table1, tmp_path):
    ours = table1(
        ("cifar100", "swav", "original", "nested", 0.66, 0.01),
        ("cifar100", "swav", "original", "published", 0.70, ""),
        ("emoji_scenes", "swav", "original", "nested", 0.66, 0.01),
    )
    compared = compare_with_paper(beside_paper(ours, paper_table1))
    assert compared[["dataset", "protocol"]].to_numpy().tolist() == [["cifar100", "nested"]]
    assert compared.differs.iloc[0] == "protocol nested, not paper"
    write_table(tmp_path / "table.csv", compared)
    none = compare_with_paper(beside_paper(ours.iloc[2:], paper_table1))
    write_table(tmp_path / "none.csv", none, may_be_empty=True)
    assert list(read_table(tmp_path / "none.csv")) == COMPARED


def test_the_table_that_was_written_compares_like_the_one_in_memory(paper_table1, tmp_path):
    beside = beside_paper(table1(("cifar100", "mae", "border", "paper", 0.2, 0.01)), paper_table1)
    write_table(tmp_path / "table1.csv", beside)
    read = compare_with_paper(read_table(tmp_path / "table1.csv"))
    pd.testing.assert_frame_equal(read, compare_with_paper(beside), rtol=1e-8)


def test_twins_of_the_paper_s_folds_lie_within_two_standard_errors_as_often_as_due(paper_table1):
    rng = np.random.default_rng(1)
    rows = [
        (row.dataset, row.model, row.variant, f"twin_{twin}", None, 0.0)
        for twin in range(40)
        for row in paper_table1.itertuples()
    ]
    se = np.array(
        [printed_fold_se(float(std), 5) for std in paper_table1.balanced_accuracy_std] * 40
    )
    means = np.tile(paper_table1.balanced_accuracy_mean.astype(float), 40)
    ours = table1(*rows).assign(
        fold_se=se, balanced_accuracy_mean=means + rng.normal(0, se) + rng.normal(0, se)
    )
    compared = compare_with_paper(beside_paper(ours, paper_table1))
    within = (compared.difference_in_se.abs() <= 2).mean()
    assert within == pytest.approx(0.9545, abs=0.015)


def test_the_summary_counts_and_names_the_farthest_cell(paper_table1):
    ours = table1(
        ("cifar100", "swav", "original", "nested", 0.65, 0.01),
        ("cifar100", "mae", "border", "nested", 0.02, 0.01),
        ("cifar100", "mae", "border", "paper", 0.22, 0.01),
    )
    nested, own = comparison_summary(compare_with_paper(beside_paper(ours, paper_table1))).to_dict(
        "records"
    )
    assert (nested["protocol"], nested["n_cells"], nested["n_within_2_se"]) == ("nested", 2, 1)
    assert nested["mean_difference"] == pytest.approx(-0.1)
    assert (nested["largest_model"], nested["largest_variant"]) == ("mae", "border")
    assert nested["largest_in_se"] < -10
    assert (own["protocol"], own["n_within_2_se"]) == ("paper", 1)
