from itertools import permutations

import numpy as np
import pytest

from halfseen.neighbors import composition_null, neighbor_composition


@pytest.fixture
def features():
    return np.random.default_rng(2).normal(size=(3, 10, 4)) + 1


def brute_force(features, k, distance):
    n_variants, n, _ = features.shape
    places = [(variant, image) for variant in range(n_variants) for image in range(n)]
    shares = np.zeros((n_variants, n_variants))
    for query in places:
        others = [place for place in places if place != query]
        others.sort(key=lambda place: distance(features[query], features[place]))
        for variant, _ in others[:k]:
            shares[query[0], variant] += 1 / (n * k)
    return shares


def euclidean(a, b):
    return np.sqrt(((a - b) ** 2).sum())


def cosine(a, b):
    return 1 - a @ b / np.sqrt((a @ a) * (b @ b))


def test_of_points_on_a_line_by_hand():
    # Variant 0 at 0, 1 and 10, variant 1 at 3, 12 and 13: nearest are 1, 0, 12 and 1, 13, 12.
    line = np.array([[[0.0], [1], [10]], [[3], [12], [13]]])
    assert neighbor_composition(line, 1, "euclidean") == pytest.approx(
        np.array([[2 / 3, 1 / 3], [1 / 3, 2 / 3]])
    )


@pytest.mark.parametrize("k", [1, 4, 11])
@pytest.mark.parametrize("distance", [euclidean, cosine])
def test_agrees_with_a_loop_over_all_pairs(distance, k, features):
    features[1] *= 2
    found = neighbor_composition(features, k, distance.__name__)
    assert found == pytest.approx(brute_force(features, k, distance))
    assert found.sum(axis=1) == pytest.approx(1)


def test_far_apart_variants_have_no_neighbour_in_common(features):
    apart = features + 100 * np.arange(3)[:, None, None]
    assert (neighbor_composition(apart, 9, "euclidean") == np.eye(3)).all()


def test_a_row_is_never_its_own_neighbour_even_among_equal_rows(features):
    same = np.repeat(features[:1], 3, axis=0)
    assert neighbor_composition(same, 2, "euclidean") == pytest.approx((1 - np.eye(3)) / 2)


def test_both_metrics_ignore_a_rotation_and_a_scaling(features):
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0]
    for metric in ("euclidean", "cosine"):
        moved = neighbor_composition(5 * features @ rotation, 6, metric)
        assert (moved == neighbor_composition(features, 6, metric)).all()


def test_only_euclidean_ignores_a_shift_and_only_cosine_a_length(features):
    shifted, longer = features + [9, 0, 0, 0], features * np.array([1, 5, 9])[:, None, None]
    for moved, blind in [(shifted, "euclidean"), (longer, "cosine")]:
        for metric in ("euclidean", "cosine"):
            same = neighbor_composition(moved, 6, metric) == pytest.approx(
                neighbor_composition(features, 6, metric)
            )
            assert same == (metric == blind)


def test_the_null_of_three_variants_of_ten_images_by_hand():
    null = composition_null(3, 10)
    assert null == pytest.approx(np.full((3, 3), 10 / 29) - np.eye(3) / 29)
    assert null.sum(axis=1) == pytest.approx(1)


def test_with_all_others_as_neighbours_the_composition_is_the_null(features):
    assert neighbor_composition(features, 29, "euclidean") == pytest.approx(composition_null(3, 10))


@pytest.mark.parametrize("k", [1, 2])
def test_the_null_is_the_mean_over_every_assignment_of_rows_to_variants(k):
    found = [
        neighbor_composition(np.array(line).reshape(2, 2, 1), k, "euclidean")
        for line in permutations([0.0, 1, 3, 7])
    ]
    assert np.mean(found, axis=0) == pytest.approx(composition_null(2, 2))


@pytest.mark.parametrize("k", [0, 30])
def test_a_k_out_of_range_is_an_error_that_gives_the_range(k, features):
    with pytest.raises(ValueError, match=f"k is {k}; 30 representations have 1 to 29 neigh"):
        neighbor_composition(features, k, "cosine")


def test_non_finite_features_are_an_error(features):
    features[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        neighbor_composition(features, 3, "cosine")
