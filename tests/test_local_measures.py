from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from sklearn.neighbors import NearestNeighbors

from halfseen.local_measures import (
    LOCAL_MEASURES,
    cross_validated_cca,
    mutual_neighbors,
    mutual_neighbors_null,
    permuted_neighbors,
    prediction_agreement,
    rbf_cka,
)
from halfseen.moments import grouped_moments, grouped_pair
from halfseen.representations import Representation


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def neighbors(x, k):
    return NearestNeighbors(n_neighbors=k).fit(x).kneighbors(return_distance=False)


# Mutual nearest neighbours


def test_mutual_neighbours_by_hand():
    x = np.array([[1, 2], [0, 2], [3, 0], [0, 1]])
    y = np.array([[2, 1], [0, 3], [1, 3], [2, 1]])  # shared: 2, 1, 1, 1 of 2 each
    assert mutual_neighbors(x, y) == pytest.approx(5 / 8)
    assert mutual_neighbors(x, x) == 1


def test_mutual_neighbours_are_the_intersections_of_sets(rng):
    x = rng.normal(size=(50, 3))
    near, far = neighbors(x, 6), neighbors(x + rng.normal(size=(50, 3)), 6)
    shared = [len(set(a) & set(b)) / 6 for a, b in zip(near, far, strict=True)]
    assert mutual_neighbors(near, far) == pytest.approx(np.mean(shared))
    assert mutual_neighbors(far, near) == mutual_neighbors(near, far)


def test_mutual_neighbours_ignore_what_keeps_the_neighbours_and_nothing_more(rng):
    x = rng.normal(size=(60, 4))
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    assert mutual_neighbors(neighbors(x, 5), neighbors(3 * x @ rotation + 2, 5)) == 1
    assert mutual_neighbors(neighbors(x, 5), neighbors(x * [1, 1, 1, 9], 5)) < 0.9


def test_the_null_of_mutual_neighbours_is_the_mean_over_every_pairing(rng):
    x, y = (neighbors(rng.normal(size=(6, 2)), 2) for _ in range(2))
    values = [
        mutual_neighbors(x, permuted_neighbors(y, np.array(order)))
        for order in permutations(range(6))
    ]
    assert np.mean(values) == pytest.approx(mutual_neighbors_null(6, 2)) == pytest.approx(2 / 5)


def test_permuted_neighbours_are_the_neighbours_of_permuted_rows(rng):
    x, order = rng.normal(size=(30, 3)), rng.permutation(30)
    permuted, found = permuted_neighbors(neighbors(x, 4), order), neighbors(x[order], 4)
    assert np.array_equal(np.sort(permuted), np.sort(found))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[1, 2], [0, 2], [0, 1]], r"of shape \(4, 2\) and of \(3, 2\)"),
        ([[1, 4], [0, 2], [0, 1], [0, 1]], "row numbers from 0 to 3"),
        ([[1, 2], [0, 1], [0, 1], [0, 1]], "its own neighbour"),
        ([[1, 1], [0, 2], [0, 1], [0, 1]], "the same neighbour twice"),
    ],
)
def test_what_are_no_neighbours_is_an_error(ids, message):
    good = np.array([[1, 2], [0, 2], [3, 0], [0, 1]])
    with pytest.raises(ValueError, match=message):
        mutual_neighbors(good, np.array(ids))


# Predictions


def test_agreement_of_predictions_is_cohen_s_kappa(rng):
    x = rng.integers(4, size=200)
    y = np.where(rng.random(200) < 0.5, x, rng.integers(4, size=200))
    assert prediction_agreement(x, y) == pytest.approx(cohen_kappa_score(x, y))
    assert prediction_agreement(x, x) == 1
    # Half agree, of classes of equal share: 0.
    assert prediction_agreement([0, 0, 1, 1], [0, 1, 0, 1]) == 0
    with pytest.raises(ValueError, match="cannot be compared"):
        prediction_agreement(x, y[1:])


# RBF-CKA


def rbf_textbook(x, y, bandwidth, debiased):
    kernels = []
    for a in (x, y):
        squares = ((a[:, None] - a) ** 2).sum(axis=2)
        median = np.median(np.sqrt(squares[np.triu_indices(len(a), 1)]))
        kernels.append(np.exp(-squares / (2 * (bandwidth * median) ** 2)))
    n, one = len(x), np.ones(len(x))
    if not debiased:
        center = np.eye(n) - 1 / n
        k, loss = (center @ kernel @ center for kernel in kernels)
        return (k * loss).sum() / np.linalg.norm(k) / np.linalg.norm(loss)
    k, loss = (kernel - np.diag(np.diag(kernel)) for kernel in kernels)

    def hsic(k, loss):
        sums = (one @ k @ one) * (one @ loss @ one) / ((n - 1) * (n - 2))
        return np.trace(k @ loss) + sums - 2 / (n - 2) * (one @ k @ loss @ one)

    return hsic(k, loss) / np.sqrt(hsic(k, k) * hsic(loss, loss))


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("bandwidth", [0.4, 1.0])
def test_rbf_cka_in_blocks_is_the_textbook_s_of_whole_kernels(debiased, bandwidth, rng):
    # An odd number of pairs has a median that is one of them.
    x = rng.normal(size=(62, 4)) + 5
    y = x @ rng.normal(size=(4, 3)) + rng.normal(size=(62, 3))
    parts = Representation(x), Representation(y)
    expected = rbf_textbook(x, y, bandwidth, debiased)
    for block_rows in (7, 1000):
        found = rbf_cka(*parts, bandwidth, debiased, block_rows)
        assert found == pytest.approx(expected, rel=1e-9)
    assert rbf_cka(parts[0], parts[0], bandwidth, debiased) == pytest.approx(1)


def test_rbf_cka_ignores_rotation_scaling_and_shift_and_nothing_more(rng):
    x = rng.normal(size=(80, 4))
    y = Representation(x**2)
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    value = rbf_cka(Representation(x), y)
    assert rbf_cka(Representation(3 * x @ rotation + 1), y) == pytest.approx(value, rel=1e-6)
    assert rbf_cka(Representation(x), Representation(x * [1, 1, 1, 9])) < 0.9


def test_debiased_rbf_cka_of_unrelated_rows_is_0_on_average(rng):
    draws = [(rng.normal(size=(50, 20)), rng.normal(size=(50, 30))) for _ in range(100)]
    values = np.array([rbf_cka(Representation(x), Representation(y)) for x, y in draws])
    assert abs(values.mean()) < 3.5 * values.std() / 10


def test_rbf_cka_of_duplicates_or_of_other_images_is_an_error(rng):
    x = rng.normal(size=(20, 2))
    x[:18] = x[0]
    with pytest.raises(ValueError, match="half of the images are duplicates"):
        rbf_cka(Representation(x), Representation(x))
    with pytest.raises(ValueError, match="of 20 and of 19 images"):
        rbf_cka(Representation(x), Representation(x[1:]))


# Cross-validated CCA


def held_out(x, y, folds, components=None):
    parts = [grouped_moments(Representation(a, groups=folds)) for a in (x, y)]
    return cross_validated_cca(grouped_pair(*parts), components)


def held_out_textbook(x, y, folds):
    """Fitted and judged on rows."""
    scores = []
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        bases, maps = [], []
        for a in (x, y):
            u, s, vh = np.linalg.svd(a[train] - a[train].mean(0), full_matrices=False)
            bases.append(u)
            maps.append(vh.T / s)
        u, _, vh = np.linalg.svd(bases[0].T @ bases[1], full_matrices=False)
        p, q = x[test] @ maps[0] @ u, y[test] @ maps[1] @ vh.T
        r = np.array([np.corrcoef(p[:, i], q[:, i])[0, 1] for i in range(u.shape[1])])
        scores.append((np.sign(r) * r**2).mean())
    return np.mean(scores)


def test_held_out_correlations_from_moments_are_those_of_rows(rng):
    folds = rng.permutation(np.arange(120) % 4)
    x = rng.normal(size=(120, 4)) + 2
    y = x @ rng.normal(size=(4, 6)) + 2 * rng.normal(size=(120, 6))
    assert held_out(x, y, folds) == pytest.approx(held_out_textbook(x, y, folds), rel=1e-8)
    assert held_out(y, x, folds) == pytest.approx(held_out(x, y, folds), rel=1e-8)


def test_held_out_correlations_ignore_invertible_maps_and_are_one_for_identical(rng):
    folds = np.arange(90) % 3
    x = rng.normal(size=(90, 4))
    y = x @ rng.normal(size=(4, 4)) + rng.normal(size=(90, 4))
    moved = x @ rng.normal(size=(4, 4)) - 3
    assert held_out(x, moved, folds) == pytest.approx(1)
    assert held_out(moved, y, folds) == pytest.approx(held_out(x, y, folds), rel=1e-8)
    assert held_out(x, np.exp(2 * x), folds) < 0.9


def test_held_out_correlations_of_unrelated_rows_are_0_on_average(rng):
    folds = np.arange(60) % 3
    values = np.array(
        [held_out(rng.normal(size=(60, 8)), rng.normal(size=(60, 9)), folds) for _ in range(100)]
    )
    assert abs(values.mean()) < 3.5 * values.std() / 10


def test_held_out_correlations_need_folds_and_more_images_than_dimensions(rng):
    x = rng.normal(size=(30, 25))
    with pytest.raises(ValueError, match="needs groups of images as folds; there is one"):
        held_out(x, x, np.zeros(30, dtype=int))
    with pytest.raises(ValueError, match="fitted on 20 images in as many dimensions; use more"):
        held_out(x, x, np.arange(30) % 3)
    assert held_out(x, x, np.arange(30) % 3, components=5) == pytest.approx(1)
    with pytest.raises(ValueError, match="fold 2 has 2 images; it needs 3"):
        held_out(x[:, :2], x[:, :2], np.repeat([0, 1, 2], [14, 14, 2]))


# The rows of the table


def taken(kind, x, y):
    """What the measure of a row takes, of two arrays of 90 images."""
    folds = np.arange(90) % 3
    needs = LOCAL_MEASURES[kind].needs
    if needs == ("neighbors",):
        return neighbors(x, 5), neighbors(y, 5)
    if needs == ("predictions",):
        return x[:, 0] > 0, y[:, 0] > 0
    if needs == ("rows",):
        return Representation(x), Representation(y)
    assert needs == ("folds",)
    return (grouped_pair(*(grouped_moments(Representation(a, groups=folds)) for a in (x, y))),)


@pytest.mark.parametrize("kind", LOCAL_MEASURES)
def test_a_row_says_what_its_measure_scores_for_identical_and_unrelated(kind, rng):
    row = LOCAL_MEASURES[kind]
    x, y = rng.normal(size=(90, 3)), rng.normal(size=(90, 3))
    assert row.value(*taken(kind, x, x)) == pytest.approx(row.identical)
    unrelated = taken(kind, x, y)
    null = row.null(*unrelated)
    # Some 3.5 standard deviations of one draw of the noisiest, kappa.
    assert row.value(*unrelated) == pytest.approx(null, abs=0.37)
    assert row.farthest <= null < row.identical
    assert row.fails not in row.ignores
