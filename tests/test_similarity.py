from itertools import permutations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from halfseen.similarity import (
    MEASURES,
    Spectrum,
    compared_components,
    linear_cka,
    linear_cka_null,
    mean_squared_cca,
    mean_squared_cca_null,
    similarity_row,
    spectrum,
)

# Columns of a Hadamard matrix: centred, orthogonal, of length 2.
A, B, C = np.array([[1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=float)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def pair(rng):
    """Two related representations of 60 images, in 5 and in 7 dimensions."""
    x = rng.normal(size=(60, 5))
    return x, x @ rng.normal(size=(5, 7)) + 2 * rng.normal(size=(60, 7))


def rotation(d, rng):
    return np.linalg.qr(rng.normal(size=(d, d)))[0]


def column(*values):
    return spectrum(np.array(values, dtype=float)[:, None])


def gram(x):
    center = np.eye(len(x)) - 1 / len(x)
    return center @ x @ x.T @ center


def squared_canonical_correlations(x, y):
    """From the covariance matrices, as in a textbook."""
    p = x.shape[1]
    s = np.cov(np.hstack([x, y]), rowvar=False)
    return np.linalg.eigvals(
        np.linalg.solve(s[:p, :p], s[:p, p:]) @ np.linalg.solve(s[p:, p:], s[p:, :p])
    ).real


def mean_over_pairings(measure, x, y):
    """The mean of a measure over every order of the rows of y."""
    orders = [list(order) for order in permutations(range(y.n))]
    return np.mean([measure(x, Spectrum(y.left[order], y.values)) for order in orders])


# The spectrum


def test_a_spectrum_keeps_the_centred_gram_matrix_and_has_orthonormal_falling_parts(pair):
    x, _ = pair
    result = spectrum(x + 100)
    scores = result.left * result.values
    assert scores @ scores.T == pytest.approx(gram(x), abs=1e-10)
    assert result.left.T @ result.left == pytest.approx(np.eye(5), abs=1e-12)
    assert list(result.values) == sorted(result.values, reverse=True)


def test_the_rank_leaves_out_repeated_combined_and_constant_columns(pair):
    x, _ = pair
    wide = np.column_stack([x, x, x @ np.arange(5), np.full(60, 7.0)])
    assert len(spectrum(wide).values) == 5


def test_the_rank_of_more_dimensions_than_images_is_one_less_than_the_images(rng):
    assert len(spectrum(rng.normal(size=(8, 20))).values) == 7


def test_gram_norm_and_participation_ratio_of_two_columns_by_hand():
    result = spectrum(np.column_stack([2 * A, B]))  # squared singular values 16 and 4
    assert result.gram_norm == pytest.approx(np.sqrt(16**2 + 4**2))
    assert result.participation_ratio == pytest.approx(20**2 / (16**2 + 4**2))
    assert result.n == 4


def test_the_participation_ratio_counts_equally_strong_dimensions():
    assert spectrum(np.column_stack([A, B, C])).participation_ratio == pytest.approx(3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_spectrum_of_non_finite_numbers_is_an_error_that_gives_the_shape(bad):
    x = np.ones((5, 3))
    x[2, 1] = bad
    with pytest.raises(ValueError, match=r"finite \(n, d\) array; this one has shape \(5, 3\)"):
        spectrum(x)


@pytest.mark.parametrize("shape", [(5,), (5, 3, 2)])
def test_a_spectrum_of_anything_but_a_matrix_is_an_error(shape):
    with pytest.raises(ValueError, match=r"must be a finite \(n, d\) array"):
        spectrum(np.ones(shape))


@pytest.mark.parametrize("constant", [0, 0.1, 1e6])
def test_a_spectrum_of_the_same_row_for_every_image_is_an_error(constant):
    with pytest.raises(ValueError, match="the same for every image"):
        spectrum(np.full((1000, 3), constant) * [1, 2, 3])


# Linear CKA


def test_linear_cka_of_single_columns_is_their_squared_correlation_by_hand():
    # Centred: (-1, 0, 1) and (-4, -1, 5) / 3, with product 3 and squared lengths 2 and 42 / 9.
    assert linear_cka(column(0, 1, 2), column(0, 1, 3)) == pytest.approx(27 / 28)
    assert linear_cka(column(0, 1, 2), column(1, -2, 1)) == pytest.approx(0, abs=1e-30)


def test_linear_cka_is_the_cosine_of_the_centred_gram_matrices(pair, rng):
    for x, y in [pair, (rng.normal(size=(20, 50)), rng.normal(size=(20, 30)) + 5)]:
        gram_x, gram_y = gram(x), gram(y)
        expected = (gram_x * gram_y).sum() / np.sqrt((gram_x**2).sum() * (gram_y**2).sum())
        assert linear_cka(spectrum(x), spectrum(y)) == pytest.approx(expected, rel=1e-10)


def test_linear_cka_is_one_after_a_rotation_a_scaling_and_a_shift(pair, rng):
    x, _ = pair
    moved = 3 * x @ rotation(5, rng) + np.arange(5)
    assert linear_cka(spectrum(x), spectrum(moved)) == pytest.approx(1)


def test_linear_cka_is_below_one_after_scaling_one_dimension_alone():
    # K = aa' + bb' against aa' + 9 bb', a and b of one length: 10 / sqrt(2 * 82).
    x, y = spectrum(np.column_stack([A, B])), spectrum(np.column_stack([A, 3 * B]))
    assert linear_cka(x, y) == pytest.approx(10 / np.sqrt(2 * 82))


def test_the_null_of_linear_cka_is_its_mean_over_every_pairing(rng):
    x, y = spectrum(rng.normal(size=(6, 2)) ** 3), spectrum(rng.normal(size=(6, 4)) + 1)
    assert linear_cka_null(x, y) == pytest.approx(mean_over_pairings(linear_cka, x, y), rel=1e-10)


def test_linear_cka_of_wide_independent_noise_is_near_its_null_and_far_from_zero(rng):
    # SCIENCE.md 3.1, Murphy et al. 2024: 0.899.
    x, y = (spectrum(rng.normal(size=(200, p))) for p in (2048, 1536))
    assert linear_cka(x, y) == pytest.approx(0.899, abs=0.002)
    assert linear_cka_null(x, y) == pytest.approx(0.899, abs=0.002)


# Mean squared CCA


def test_mean_squared_cca_of_single_columns_is_their_squared_correlation_by_hand():
    x = column(-2, -1, 0, 1, 2)
    assert mean_squared_cca(x, column(-8, -1, 0, 1, 8)) == pytest.approx(34**2 / (10 * 130))


def test_mean_squared_cca_is_the_mean_of_the_textbook_canonical_correlations(pair):
    x, y = pair
    expected = squared_canonical_correlations(x, y).mean()  # of as many as x has columns, 5
    assert 0.3 < expected < 0.9
    assert mean_squared_cca(spectrum(x), spectrum(y)) == pytest.approx(expected, rel=1e-9)
    assert mean_squared_cca(spectrum(y), spectrum(x)) == pytest.approx(expected, rel=1e-9)


def test_mean_squared_cca_is_one_after_an_invertible_map_and_a_shift(pair, rng):
    x, _ = pair
    skewed = x @ (rng.normal(size=(5, 5)) * 10.0 ** np.arange(-2, 3)) - 4
    assert mean_squared_cca(spectrum(x), spectrum(skewed)) == pytest.approx(1)
    assert linear_cka(spectrum(x), spectrum(skewed)) < 0.9


def test_mean_squared_cca_is_below_one_after_a_monotone_but_curved_map(pair):
    x, _ = pair
    expected = squared_canonical_correlations(x, x**3).mean()
    assert mean_squared_cca(spectrum(x), spectrum(x**3)) == pytest.approx(expected)
    assert expected < 0.9


def test_mean_squared_cca_is_one_where_one_representation_holds_the_other(pair, rng):
    x, _ = pair
    larger = np.column_stack([x, rng.normal(size=(60, 4))])
    assert mean_squared_cca(spectrum(x), spectrum(larger)) == pytest.approx(1)


def test_the_null_of_mean_squared_cca_is_its_mean_over_every_pairing(rng):
    x, y = spectrum(rng.normal(size=(6, 2)) ** 3), spectrum(rng.normal(size=(6, 3)) + 1)
    assert mean_squared_cca_null(x, y) == pytest.approx(3 / 5)
    assert mean_over_pairings(mean_squared_cca, x, y) == pytest.approx(3 / 5, rel=1e-10)


def test_the_null_with_components_is_the_mean_over_every_pairing_of_as_many(rng):
    x, y = spectrum(rng.normal(size=(6, 5))), spectrum(rng.normal(size=(6, 3)))

    def truncated(x, y):
        return mean_squared_cca(x, y, 2)

    assert mean_squared_cca_null(x, y, 2) == pytest.approx(2 / 5)
    assert mean_over_pairings(truncated, x, y) == pytest.approx(2 / 5, rel=1e-10)


def test_components_compare_the_leading_principal_components(pair):
    x, y = pair
    scores = (PCA(3).fit_transform(x), PCA(3).fit_transform(y))
    expected = squared_canonical_correlations(*scores).mean()
    assert mean_squared_cca(spectrum(x), spectrum(y), 3) == pytest.approx(expected, rel=1e-9)


def test_components_ignore_maps_that_keep_their_span_and_no_others():
    x = spectrum(np.column_stack([4 * A, 3 * B, C]))
    same_span = spectrum(np.column_stack([3 * B, 5 * A, C]))
    other_span = spectrum(np.column_stack([4 * A, 3 * C, B]))
    assert mean_squared_cca(x, same_span, 2) == pytest.approx(1)
    assert mean_squared_cca(x, other_span, 2) == pytest.approx(1 / 2)


def test_no_more_components_are_compared_than_there_are():
    x = spectrum(np.column_stack([A, B]))
    assert [compared_components(x, k) for k in (None, 1, 2, 9)] == [2, 1, 2, 2]


@pytest.mark.parametrize("p", [7, 20])
def test_mean_squared_cca_refuses_as_many_dimensions_as_images_less_one(p, rng):
    x, y = spectrum(rng.normal(size=(8, p))), spectrum(rng.normal(size=(8, 2)))
    for pair in [(x, y), (y, x)]:
        with pytest.raises(ValueError, match="CCA of 8 images in 7 dimensions is 1 by constr"):
            mean_squared_cca(*pair)
    assert mean_squared_cca(x, y, components=6) < 1


# Both


@pytest.mark.parametrize("kind", MEASURES)
def test_a_measure_is_symmetric_and_blind_to_a_common_order_of_the_images(kind, pair, rng):
    x, y = pair
    measure, _ = MEASURES[kind]
    order = rng.permutation(60)
    value = measure(spectrum(x), spectrum(y), 4)
    assert measure(spectrum(y), spectrum(x), 4) == pytest.approx(value)
    assert measure(spectrum(x[order]), spectrum(y[order]), 4) == pytest.approx(value)
    assert measure(spectrum(x[order]), spectrum(y), 4) < value - 0.1


@pytest.mark.parametrize("measure", [linear_cka, linear_cka_null, mean_squared_cca])
def test_representations_of_different_numbers_of_images_are_an_error(measure, pair):
    x, y = pair
    with pytest.raises(ValueError, match="of 60 and of 59 images cannot be compared"):
        measure(spectrum(x), spectrum(y[1:]))


def test_a_row_holds_the_measure_its_null_and_the_compared_numbers(pair):
    x, y = (spectrum(part) for part in pair)
    assert similarity_row(x, y, "linear_cka") == {
        "similarity": linear_cka(x, y),
        "null": linear_cka_null(x, y),
        "n": 60,
        "components_x": 5,
        "components_y": 7,
    }
    assert similarity_row(x, y, "mean_squared_cca", components=6) == {
        "similarity": mean_squared_cca(x, y, 6),
        "null": 6 / 59,
        "n": 60,
        "components_x": 5,
        "components_y": 6,
    }
