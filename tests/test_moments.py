import numpy as np
import pytest
import torch

from halfseen.moments import (
    GroupedPair,
    cross_products,
    grouped_moments,
    grouped_pair,
    pair_of,
)
from halfseen.representations import Representation


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def centred(x):
    return x - x.mean(axis=0)


def same(pair, x, y, atol=1e-9):
    """Whether a pair holds the moments of two arrays, all computed at once."""
    x, y = centred(x), centred(y)
    lengths_x, lengths_y = (x**2).sum(axis=1), (y**2).sum(axis=1)
    expected = [
        (pair.x.scatter, x.T @ x), (pair.y.scatter, y.T @ y), (pair.cross, x.T @ y),
        (pair.tie, lengths_x @ lengths_y), (pair.x.fourth, lengths_x @ lengths_x),
        (pair.y.fourth, lengths_y @ lengths_y),
    ]  # fmt: skip
    return pair.n == len(x) and all(np.allclose(a, b, atol=atol) for a, b in expected)


@pytest.mark.parametrize("block_rows", [3, 50, 1000])
def test_streamed_moments_are_those_of_all_rows_at_once(rng, block_rows):
    x, y = rng.normal(size=(101, 5)) + 7, rng.normal(size=(101, 400)) ** 2
    parts = [Representation(a, block_rows=block_rows, compress=False) for a in (x, y)]
    assert same(pair_of(*parts), x, y)


def test_moments_far_from_the_origin_keep_their_digits(rng):
    x, y = rng.normal(size=(200, 4)), rng.normal(size=(200, 3))
    near, far = pair_of(x, y), pair_of(x + 1e6, y - 1e6)
    assert far.cross.numpy() == pytest.approx(near.cross.numpy(), abs=1e-6)
    assert far.x.scatter.numpy() == pytest.approx(near.x.scatter.numpy(), abs=1e-6)


def test_the_moments_without_a_group_are_those_of_the_other_rows(rng):
    groups = rng.permutation(np.arange(90) % 4)
    x, y = rng.normal(size=(90, 5)) + groups[:, None], rng.normal(size=(90, 7)) * 3
    parts = [grouped_moments(Representation(a, groups=groups, block_rows=17)) for a in (x, y)]
    grouped = grouped_pair(*parts)
    assert same(grouped.whole, x, y)
    for group in range(4):
        rest = grouped.without(group, *(part.without(group) for part in parts))
        assert same(rest, x[groups != group], y[groups != group])


def test_a_pair_of_a_representation_with_itself_knows_it(rng):
    part = grouped_moments(Representation(rng.normal(size=(40, 3)), groups=np.arange(40) % 2))
    grouped = GroupedPair(part, part, part.parts)
    rest = part.without(0)
    assert grouped.whole.is_identity
    assert grouped.without(0, rest, rest).is_identity
    assert not grouped_pair(part, grouped_moments(part.representation)).whole.is_identity


def test_the_spectrum_by_hand():
    a, b = np.array([[1, -1, 1, -1], [1, 1, -1, -1]], dtype=float)
    x = np.column_stack([2 * a, b])  # squared singular values 16 and 4
    moments = pair_of(np.tile(x, (2, 1)), np.tile(x, (2, 1))).x
    assert moments.trace == pytest.approx(40)
    assert moments.norm == pytest.approx(np.sqrt(32**2 + 8**2))
    assert moments.participation_ratio == pytest.approx(40**2 / (32**2 + 8**2))
    values, directions = moments.principal
    assert values.tolist() == pytest.approx([32, 8])
    assert abs(directions).numpy() == pytest.approx(np.eye(2), abs=1e-12)


def test_the_factor_is_the_cholesky_factor_and_refuses_a_dependent_column(rng):
    x = rng.normal(size=(50, 4))
    moments = pair_of(x, x).x
    assert (moments.factor @ moments.factor.T).numpy() == pytest.approx(moments.scatter.numpy())
    repeated = grouped_moments(Representation(np.column_stack([x, np.zeros(50)]))).whole
    with pytest.raises(ValueError, match="column 4 of a representation depends on those before"):
        _ = repeated.factor


@pytest.mark.parametrize(("least", "fits"), [(1e-3, True), (3e-5, False), (0, False)])
def test_conditioning_is_judged_by_the_least_eigenvalue_of_the_correlations(rng, least, fits):
    # Columns c and c + e d: eigenvalues of their correlation matrix 2 and some e^2 / 2.
    q = np.linalg.qr(np.column_stack([np.ones(400), rng.normal(size=(400, 300))]))[0][:, 1:]
    q[:, 1] = q[:, 0] + 2 * least * q[:, 1]
    # However unequal the columns are, this takes no precision from the factor.
    moments = grouped_moments(Representation(q * 10.0 ** rng.uniform(-6, 6, size=300))).whole
    assert moments.is_well_conditioned == fits


def test_one_pass_gives_the_products_of_all_pairs_by_group(rng):
    groups = np.arange(30) % 3
    arrays = [rng.normal(size=(30, d)) for d in (2, 3, 4)]
    parts = [Representation(a, groups=groups, block_rows=11) for a in arrays]
    pairs = [(0, 1), (2, 1), (0, 2)]
    for (i, j), found in zip(pairs, cross_products(parts, pairs), strict=True):
        x, y = centred(arrays[i]), centred(arrays[j])
        expected = [x[groups == g].T @ y[groups == g] for g in range(3)]
        assert found.numpy() == pytest.approx(np.array(expected), abs=1e-12)


def test_products_are_of_float64_and_of_no_size_that_grows_with_the_images(rng):
    for n in (100, 1000):
        part = grouped_moments(Representation(rng.normal(size=(n, 6)).astype(np.float32)))
        assert part.parts.shape == (1, 6, 6)
        assert part.parts.dtype == torch.float64
        assert part.tilts.shape == (n, 0)
