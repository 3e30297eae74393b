import numpy as np
import pandas as pd
import pytest
from scipy import stats

from halfseen.intervals import (
    DIFFERENCES,
    difference_rows,
    jackknife_groups,
    jackknife_interval,
    jackknife_se,
)
from halfseen.representations import Representation
from halfseen.similarity import similarity, similarity_of_all


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# The groups


def test_every_group_holds_an_equal_share_of_every_class(rng):
    labels = np.repeat([0, 1, 2], [40, 17, 23])
    groups = jackknife_groups(labels, rng, n_groups=8)
    for label in range(3):
        counts = np.bincount(groups[labels == label], minlength=8)
        assert np.ptp(counts) <= 1
    assert np.ptp(np.bincount(groups)) <= 1


def test_near_duplicates_stay_in_one_group(rng):
    units = rng.integers(60, size=200)
    groups = jackknife_groups(units % 4, rng, units=units)
    assert pd.DataFrame({"unit": units, "group": groups}).groupby("unit").group.nunique().max() == 1
    assert set(groups) == set(range(8))


def test_groups_are_drawn_and_the_same_for_the_same_seed():
    labels = np.arange(50) % 5
    drawn = [jackknife_groups(labels, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize(("n", "n_groups"), [(5, 8), (20, 1)])
def test_fewer_units_than_groups_are_an_error(n, n_groups, rng):
    with pytest.raises(ValueError, match=f"{n} images .* cannot be dealt to {n_groups} groups"):
        jackknife_groups(np.zeros(n), rng, n_groups=n_groups)


# The standard error


def test_the_standard_error_of_a_mean_is_the_textbook_s(rng):
    # Groups of one image: s / sqrt(n).
    values = rng.normal(size=30)
    left_out = (values.sum() - values) / 29
    assert jackknife_se(left_out) == pytest.approx(values.std(ddof=1) / np.sqrt(30))


def test_the_interval_is_student_s(rng):
    values = [0.5, 0.7, 0.6, 0.4]
    se = jackknife_se(values)
    assert se == pytest.approx(np.sqrt(3 / 4 * 0.05))
    low, high, _ = jackknife_interval(0.55, values, level=0.9)
    half = stats.t.ppf(0.95, 3) * se
    assert (low, high) == pytest.approx((0.55 - half, 0.55 + half))
    with pytest.raises(ValueError, match=r"1 group\(s\) of images have no standard error"):
        jackknife_se([0.5])


# Coverage


MIXING = np.random.default_rng(7).normal(size=(4, 6))
FAR = {"near": 1.0, "far": 2.0}
N_SIMULATIONS = 200


def truth(noise):
    """Linear CKA of x and x M + noise e from the covariances of all there are: no sample."""
    both = MIXING.T @ MIXING + noise**2 * np.eye(6)
    return (MIXING**2).sum() / np.sqrt(4) / np.linalg.norm(both)


@pytest.fixture(scope="module")
def simulated():
    """{name: (low, high) of every simulation} of two CKAs and of their paired difference."""
    rng = np.random.default_rng(1)
    labels = np.arange(160) % 4
    measures = {"cka": {"kind": "debiased_cka"}}
    found = {name: [] for name in [*FAR, "difference"]}
    for _ in range(N_SIMULATIONS):
        x = rng.normal(size=(160, 4))
        noise = rng.normal(size=(160, 6))
        arrays = {"x": x} | {name: x @ MIXING + size * noise for name, size in FAR.items()}
        groups = jackknife_groups(labels, rng)
        parts = {name: Representation(rows, name, groups=groups) for name, rows in arrays.items()}
        result = similarity_of_all(parts, measures, pairs=[("x", "near"), ("x", "far")])
        table = result.table.set_index(["x", "y"])
        for name in FAR:
            found[name].append(tuple(table.loc[("x", name), ["low", "high"]]))
        contrast = [(("x", "near"), ("x", "far"))]
        row = difference_rows(result.table, result.replicates, contrast).iloc[0]
        found["difference"].append((row.low, row.high))
    return {name: np.array(intervals, dtype=float) for name, intervals in found.items()}


@pytest.mark.parametrize("name", ["near", "far", "difference"])
def test_an_interval_of_95_per_cent_covers_the_truth_in_90_to_99_per_cent(name, simulated):
    values = {key: truth(size) for key, size in FAR.items()}
    values["difference"] = values["near"] - values["far"]
    low, high = simulated[name].T
    assert 0.90 <= ((low <= values[name]) & (values[name] <= high)).mean() <= 0.99


def test_the_interval_of_a_paired_difference_is_narrower_than_that_of_unpaired_ones(simulated):
    widths = {name: np.ptp(intervals, axis=1).mean() for name, intervals in simulated.items()}
    assert widths["difference"] < 0.9 * np.hypot(widths["near"], widths["far"])


def test_drawing_rows_with_replacement_would_have_invented_similarity(rng):
    # Why nothing here does (SCIENCE.md, section 0): duplicates match themselves.
    x, y = rng.normal(size=(300, 200)), rng.normal(size=(300, 200))
    assert abs(similarity(x, y, "debiased_cka")) < 0.03
    drawn = rng.integers(300, size=300)
    assert similarity(x[drawn], y[drawn], "debiased_cka") > 0.3
    half = rng.permutation(300)[:150]
    assert abs(similarity(x[half], y[half], "debiased_cka")) < 0.06


# Differences


def test_a_difference_by_hand():
    table = pd.DataFrame({"measure": "cka", "x": "a", "y": ["b", "c"], "similarity": [0.8, 0.5]})
    left_out = {"b": [0.7, 0.9, 0.8], "c": [0.5, 0.6, 0.4]}
    replicates = pd.DataFrame(
        [
            {"measure": "cka", "x": "a", "y": y, "group": group, "similarity": value}
            for y, values in left_out.items()
            for group, value in enumerate(values)
        ]
    )
    rows = difference_rows(table, replicates, [(("a", "b"), ("a", "c"))] * 2)
    assert list(rows.columns) == DIFFERENCES
    row = rows.iloc[0]
    # 0.2, 0.3 and 0.4: squares about 0.3 sum to 0.02.
    se = np.sqrt(2 / 3 * 0.02)
    assert (row.difference, row.se) == pytest.approx((0.3, se))
    p = 2 * stats.t.sf(0.3 / se, 2)
    assert (row.p, row.p_holm) == pytest.approx((p, min(1, 2 * p)))
    assert (row.low + row.high) / 2 == pytest.approx(0.3)
    same = difference_rows(table, replicates, [(("a", "b"), ("a", "b"))]).iloc[0]
    assert (same.difference, same.se, same.p) == (0, 0, 1)
