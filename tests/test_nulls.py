from itertools import permutations

import numpy as np
import pytest

from halfseen.local_measures import mutual_neighbors
from halfseen.nulls import (
    CALIBRATED,
    calibrated,
    neighbor_permutation_null,
    permutation,
    permutation_null,
    permutation_rows,
    with_holm,
    within_class_null,
)
from halfseen.representations import Representation
from halfseen.similarity import similarity

MEASURES = {
    "cka": {"kind": "linear_cka"}, "debiased": {"kind": "debiased_cka"},
    "cca": {"kind": "mean_squared_cca"}, "angle": {"kind": "angular_procrustes"},
}  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_permutation_within_classes_moves_images_within_their_class_only(rng):
    labels = rng.integers(5, size=100)
    for _ in range(5):
        order = permutation(100, rng, labels)
        assert np.array_equal(np.sort(order), np.arange(100))
        assert np.array_equal(labels[order], labels)
        assert not np.array_equal(order, np.arange(100))
    with pytest.raises(ValueError, match="100 labels do not fit 99 images"):
        permutation(99, rng, labels)


def test_every_order_within_classes_is_equally_frequent(rng):
    labels = np.array([0, 1, 0, 1, 0])
    drawn = [tuple(permutation(5, rng, labels)) for _ in range(2400)]
    counts = np.unique(drawn, axis=0, return_counts=True)[1]
    assert len(counts) == 12
    # 200 of each expected, standard deviation 13.5.
    assert abs(counts - 200).max() < 60


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("labels", [None, np.arange(40) % 4])
def test_the_null_s_values_are_those_of_permuted_rows(wide, labels, rng):
    x, y = rng.normal(size=(40, 4)), rng.normal(size=(40, 5))
    if wide:  # collinear columns take another way to CCA
        x = np.column_stack([x, x])
    values, points = permutation_null(
        Representation(x), Representation(y), MEASURES, 5, np.random.default_rng(3), labels
    )
    rows = np.random.default_rng(3)
    orders = [permutation(40, rows, labels) for _ in range(5)]
    for column, row in enumerate(MEASURES.values()):
        expected = [similarity(x, y[order], **row) for order in orders]
        assert values[:, column] == pytest.approx(expected, rel=1e-7)
        assert points[column] == pytest.approx(similarity(x, y, **row))


def test_neighbours_are_permuted_as_rows(rng):
    ids = np.array([rng.permutation(np.delete(np.arange(30), i))[:4] for i in range(30)])
    values = neighbor_permutation_null(ids, ids, 400, rng)
    spread = values.std() / np.sqrt(400)
    assert abs(values.mean() - 4 / 29) < 3.5 * spread
    assert mutual_neighbors(ids, ids) == 1


def test_the_null_within_classes_is_the_mean_over_every_pairing_within_classes(rng):
    labels = np.array([0, 1, 0, 1, 0, 1, 0])
    x, y = rng.normal(size=(7, 3)) + labels[:, None], rng.normal(size=(7, 2)) - labels[:, None]
    orders = [
        order for order in map(np.array, permutations(range(7)))
        if np.array_equal(labels[order], labels)
    ]  # fmt: skip
    assert len(orders) == 24 * 6
    values = [similarity(x, y[order], "linear_cka") for order in orders]
    found = within_class_null(Representation(x), Representation(y), labels)
    assert found == pytest.approx(np.mean(values), rel=1e-9)
    # A single class: the free null.
    x, y = x[:6], y[:6]
    values = [similarity(x, y[list(order)], "linear_cka") for order in permutations(range(6))]
    one = within_class_null(Representation(x), Representation(y), np.zeros(6))
    assert one == pytest.approx(np.mean(values), rel=1e-9)


# Calibration


def test_calibration_by_hand():
    null = np.arange(1, 20) / 100  # 0.01 .. 0.19
    # K + 1 = 20 values; the 19th smallest of them is the largest of the null.
    threshold, scaled, p = calibrated(0.595, null, alpha=0.05)
    assert threshold == pytest.approx(0.19)
    assert scaled == pytest.approx((0.595 - 0.19) / 0.81)
    assert p == pytest.approx(1 / 20)
    threshold, scaled, p = calibrated(0.105, null)
    # The value itself is the 11th of 20: the 19th is 0.18.
    assert (threshold, scaled, p) == pytest.approx((0.18, 0, 10 / 20))
    # A smaller alpha than K allows has the value as its threshold.
    assert calibrated(0.595, null, alpha=0.01)[:2] == pytest.approx((0.595, 0))


def test_a_distance_is_calibrated_from_the_other_side():
    null = np.pi / 2 - np.arange(1, 20) / 100
    threshold, scaled, p = calibrated(0.5, null, identical=0.0, better="lower")
    assert threshold == pytest.approx(np.pi / 2 - 0.19)
    assert scaled == pytest.approx((threshold - 0.5) / threshold)
    assert p == pytest.approx(1 / 20)


def test_p_is_uniform_where_nothing_is_there_and_calibration_rarely_speaks(rng):
    ps, found = [], []
    for _ in range(400):
        values = rng.normal(size=40)
        _, scaled, p = calibrated(values[0], values[1:], identical=10)
        ps.append(p)
        found.append(scaled > 0)
    # p is valid: at most alpha, for every alpha, up to chance.
    for alpha in (0.05, 0.1, 0.25, 0.5):
        assert np.mean(np.array(ps) <= alpha) < alpha + 3.5 * np.sqrt(alpha * (1 - alpha) / 400)
    assert np.mean(found) < 0.05 + 3.5 * np.sqrt(0.05 * 0.95 / 400)


def test_a_null_that_is_the_value_itself_gives_p_of_one():
    assert calibrated(0.5, [0.5, 0.5 - 1e-16, 0.5])[1:] == (0, 1)
    with pytest.raises(ValueError, match="finite values of its null, at least one"):
        calibrated(0.5, [])
    with pytest.raises(ValueError, match="finite values"):
        calibrated(np.nan, [0.5])


# The rows


def test_the_rows_find_what_is_related_and_holm_corrects_over_the_grid(rng):
    x = rng.normal(size=(80, 5))
    arrays = {"x": x, "near": x + rng.normal(size=(80, 5)), "far": rng.normal(size=(80, 6))}
    parts = {name: Representation(rows, name) for name, rows in arrays.items()}
    pairs = {("x", name): (parts["x"], parts[name]) for name in ("near", "far")}
    table = permutation_rows(pairs, MEASURES, 99, rng)
    assert list(table.columns) == CALIBRATED
    assert set(table.permutes) == {"freely"}
    near, far = (table[table.y == name] for name in ("near", "far"))
    assert near.p.to_numpy() == pytest.approx(0.01)
    assert (near.calibrated > 0.2).all()
    assert (far.p > 0.02).all()
    corrected = with_holm(table)
    assert (corrected.p_holm >= corrected.p).all()
    assert corrected.p_holm.min() == pytest.approx(8 * 0.01)


def test_classes_alone_are_similar_freely_and_not_within_classes(rng):
    labels = np.arange(120) % 4
    centres = 3 * np.eye(4)[labels]
    x, y = centres + rng.normal(size=(120, 4)), centres + rng.normal(size=(120, 4))
    pairs = {("x", "y"): (Representation(x), Representation(y))}
    row = {"cka": {"kind": "linear_cka"}}
    free = permutation_rows(pairs, row, 99, rng).iloc[0]
    within = permutation_rows(pairs, row, 99, rng, labels=labels).iloc[0]
    assert (free.p, within.permutes) == (0.01, "within classes")
    assert free.calibrated > 0.5
    assert within.p > 0.02
    assert within.calibrated < 0.05
