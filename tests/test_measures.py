"""Known values, what each measure ignores and what it does not, its null, and wrong formulas."""

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from scipy.spatial import procrustes
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA

from halfseen.measures import (
    MEASURES,
    _nuclear_norm,
    adjusted_cca,
    angular_procrustes,
    compared_dimensions,
    debiased_cka,
    linear_cka,
    linear_cka_null,
    mean_squared_cca,
    mean_squared_cca_null,
    measure_of,
    ridge_cka,
    ridge_cka_null,
)
from halfseen.moments import pair_of

# Columns of a Hadamard matrix of 8 images: centred, orthogonal, of one length.
A, B, C, D = (
    np.array(signs, dtype=float)
    for signs in (
        [1, -1, 1, -1, 1, -1, 1, -1], [1, 1, -1, -1, 1, 1, -1, -1],
        [1, -1, -1, 1, 1, -1, -1, 1], [1, 1, 1, 1, -1, -1, -1, -1],
    )
)  # fmt: skip
OPTIONS = {"ridge_cka": {"ridge": 0.1}}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def related(rng):
    """Two related representations of 60 images, in 5 and in 7 dimensions, neither centred."""
    x = rng.normal(size=(60, 5))
    return x + 3, x @ rng.normal(size=(5, 7)) + 2 * rng.normal(size=(60, 7)) - 1


def measured(kind, x, y, **options):
    return MEASURES[kind].value(pair_of(x, y), **(OPTIONS.get(kind, {}) | options))


def columns(*parts):
    return np.column_stack(parts)


def rotation(d, rng):
    return np.linalg.qr(rng.normal(size=(d, d)))[0]


def gram(x):
    center = np.eye(len(x)) - 1 / len(x)
    return center @ x @ x.T @ center


def hsic_textbook(k, loss):
    """Song et al. 2012, equation 5, of (n, n) kernels."""
    n = len(k)
    k, loss = k - np.diag(np.diag(k)), loss - np.diag(np.diag(loss))
    one = np.ones(n)
    return (
        np.trace(k @ loss)
        + (one @ k @ one) * (one @ loss @ one) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (one @ k @ loss @ one)
    ) / (n * (n - 3))


def debiased_textbook(x, y):
    k, loss = x @ x.T, y @ y.T
    return hsic_textbook(k, loss) / np.sqrt(hsic_textbook(k, k) * hsic_textbook(loss, loss))


def biased_textbook(x, y):
    k, loss = gram(x), gram(y)
    return (k * loss).sum() / np.sqrt((k**2).sum() * (loss**2).sum())


def cca_textbook(x, y):
    return (np.cos(subspace_angles(x - x.mean(0), y - y.mean(0))) ** 2).mean()


def procrustes_textbook(x, y):
    d = max(x.shape[1], y.shape[1])
    wide = [np.pad(a, ((0, 0), (0, d - a.shape[1]))) for a in (x, y)]
    return np.arcsin(np.sqrt(procrustes(*wide)[2]))


def ridge_textbook(x, y, ridge):
    whitened = []
    for a in (x - x.mean(0), y - y.mean(0)):
        values, directions = np.linalg.eigh(a.T @ a)
        whitened.append(a @ directions / np.sqrt(values + ridge * values.mean()))
    return biased_textbook(*whitened)


TEXTBOOK = {
    "linear_cka": biased_textbook,
    "debiased_cka": debiased_textbook,
    "mean_squared_cca": cca_textbook,
    "adjusted_cca": lambda x, y: (cca_textbook(x, y) - 7 / 59) / (1 - 7 / 59),
    "ridge_cka": lambda x, y: ridge_textbook(x, y, 0.1),
    "angular_procrustes": procrustes_textbook,
}


@pytest.mark.parametrize("kind", MEASURES)
def test_a_measure_is_the_textbook_s_of_all_rows_at_once(kind, related):
    x, y = related
    assert measured(kind, x, y) == pytest.approx(TEXTBOOK[kind](x, y), rel=1e-9)
    assert measured(kind, y, x) == pytest.approx(TEXTBOOK[kind](x, y), rel=1e-9)


@pytest.mark.parametrize("kind", ["linear_cka", "debiased_cka", "angular_procrustes"])
def test_more_dimensions_than_images_are_measured_as_in_the_textbook(kind, rng):
    x, y = rng.normal(size=(20, 50)), rng.normal(size=(20, 30)) + 5
    assert measured(kind, x, y) == pytest.approx(TEXTBOOK[kind](x, y), rel=1e-9)


def test_values_by_hand():
    # Centred: K = aa' + bb' against aa' + 9 bb', a and b of one length.
    x, y = columns(A, B), columns(A, 3 * B)
    assert measured("linear_cka", x, y) == pytest.approx(10 / np.sqrt(2 * 82))
    assert measured("mean_squared_cca", x, y) == pytest.approx(1)
    # X'Y has singular values 8 and 24, the lengths are 4 and sqrt(80).
    assert measured("angular_procrustes", x, y) == pytest.approx(
        np.arccos(32 / np.sqrt(16 * 80)), abs=1e-7
    )
    # Of the planes (a, b) and (a, c) one direction is shared, one is not.
    x, y = columns(A, B), columns(A, C)
    for kind in ("linear_cka", "mean_squared_cca"):
        assert measured(kind, x, y) == pytest.approx(1 / 2)
    assert measured("adjusted_cca", x, y) == pytest.approx((1 / 2 - 2 / 7) / (1 - 2 / 7))
    assert measured("angular_procrustes", x, y) == pytest.approx(np.pi / 3)
    # |X'Y|^2 = 64, |x_i|^2 = |y_i|^2 = 2, tr = 16: 64 - 8/6 * 32 + 256 / 42 over
    # 128 - 8/6 * 32 + 256 / 42.
    rest = -8 / 6 * 32 + 256 / 42
    assert measured("debiased_cka", x, y) == pytest.approx((64 + rest) / (128 + rest))
    # Every eigenvalue is shrunk alike, so nothing changes.
    assert measured("ridge_cka", x, y) == pytest.approx(1 / 2)


@pytest.mark.parametrize("kind", MEASURES)
def test_nothing_in_common_and_everything_in_common(kind):
    x = columns(A, B)
    far = 0 if MEASURES[kind].better == "higher" else np.pi / 2
    if kind not in ("debiased_cka", "adjusted_cca"):
        assert measured(kind, x, columns(C, D)) == pytest.approx(far, abs=1e-7)
    else:
        assert measured(kind, x, columns(C, D)) < 0  # below chance, and not clipped
    assert measured(kind, x, x) == pytest.approx(MEASURES[kind].identical, abs=1e-7)


MAPS = {
    "shift": lambda x, rng: x + 100 * np.arange(x.shape[1]),
    "isotropic scaling": lambda x, rng: -7 * x,
    "rotation": lambda x, rng: x @ rotation(x.shape[1], rng),
    "invertible linear map": lambda x, rng: x @ (
        rotation(x.shape[1], rng) * 10.0 ** np.linspace(-1, 1, x.shape[1])
    ),
    "monotone map of a coordinate": lambda x, rng: np.column_stack([np.exp(2 * x[:, 0]), x[:, 1:]]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, row in MEASURES.items() for name in row.ignores]
)
def test_a_measure_ignores_what_its_row_says(kind, name, related, rng):
    x, y = related
    moved = MAPS[name](x, rng)
    assert measured(kind, moved, y) == pytest.approx(measured(kind, x, y), rel=1e-6)
    assert measured(kind, x, moved) == pytest.approx(MEASURES[kind].identical, abs=1e-6)


@pytest.mark.parametrize("kind", MEASURES)
def test_a_measure_notices_what_its_row_says(kind, related, rng):
    x, _ = related
    moved = MAPS[MEASURES[kind].fails](x, rng)
    assert abs(measured(kind, x, moved) - MEASURES[kind].identical) > 0.02


@pytest.mark.parametrize("kind", MEASURES)
def test_a_measure_ignores_a_common_order_of_the_images_and_no_other(kind, related, rng):
    x, y = related
    order = rng.permutation(60)
    value, far = measured(kind, x, y), MEASURES[kind].better == "higher"
    assert measured(kind, x[order], y[order]) == pytest.approx(value)
    assert (value - measured(kind, x[order], y)) * (1 if far else -1) > 0.1


# Wrong formulas that are often seen; the checks of this file must reject each.


def uncentred_cka(x, y):
    return ((x.T @ y) ** 2).sum() / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)


def cca_by_columns(x, y):
    q_x, q_y = (np.linalg.svd(a - a.mean(0), full_matrices=False)[0] for a in (x, y))
    r = [np.linalg.matrix_rank(a - a.mean(0)) for a in (x, y)]
    cross = q_x[:, : r[0]].T @ q_y[:, : r[1]]
    return (cross**2).sum() / min(x.shape[1], y.shape[1])


def uncentred_cca(x, y):
    return (np.cos(subspace_angles(x, y)) ** 2).mean()


def clipped(x, y):
    return max(0, debiased_textbook(x, y))


def trace_procrustes(x, y):
    """The angle without the rotation."""
    x, y = x - x.mean(0), y - y.mean(0)
    d = min(x.shape[1], y.shape[1])
    return np.arccos((x[:, :d] * y[:, :d]).sum() / np.linalg.norm(x) / np.linalg.norm(y))


def ridge_of_the_sum(x, y):
    """The ridge added in units of its own, not of the representation's."""
    whitened = []
    for a in (x - x.mean(0), y - y.mean(0)):
        values, directions = np.linalg.eigh(a.T @ a)
        whitened.append(a @ directions / np.sqrt(values + 0.1))
    return biased_textbook(*whitened)


def unadjusted_by_smaller(x, y):
    null = min(x.shape[1], y.shape[1]) / (len(x) - 1)
    return (cca_textbook(x, y) - null) / (1 - null)


MUTANTS = [
    ("linear_cka", uncentred_cka), ("debiased_cka", clipped), ("debiased_cka", biased_textbook),
    ("mean_squared_cca", cca_by_columns), ("mean_squared_cca", uncentred_cca),
    ("adjusted_cca", unadjusted_by_smaller), ("ridge_cka", ridge_of_the_sum),
    ("angular_procrustes", trace_procrustes),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "mutant"), MUTANTS)
def test_a_wrong_formula_is_told_from_the_measure(kind, mutant, rng):
    x = rng.normal(size=(60, 5)) + 3
    independent = rng.normal(size=(60, 7))
    linked = np.column_stack([x @ rng.normal(size=(5, 6)) + rng.normal(size=(60, 6))] * 2)
    pairs = [
        (x, independent),
        (np.column_stack([x, x]), np.column_stack([independent, independent])),
        (x, linked), (columns(A, B), columns(C, D)),
    ]  # fmt: skip
    apart = [abs(measured(kind, *pair) - mutant(*pair)) for pair in pairs]
    assert max(apart) > 0.01


# The nulls


def mean_over_pairings(kind, x, y, **options):
    orders = [list(order) for order in permutations(range(len(y)))]
    return np.mean([measured(kind, x, y[order], **options) for order in orders])


@pytest.mark.parametrize(
    ("kind", "options"),
    [("linear_cka", {}), ("mean_squared_cca", {}), ("ridge_cka", {"ridge": 0.3})],
)
def test_a_null_is_the_mean_over_every_pairing(kind, options, rng):
    x, y = rng.normal(size=(6, 2)) ** 3, rng.normal(size=(6, 3)) + 1
    null = MEASURES[kind].null(pair_of(x, y), **options)
    assert null == pytest.approx(mean_over_pairings(kind, x, y, **options), rel=1e-9)


def test_the_null_of_cca_by_hand_and_with_components(rng):
    x, y = rng.normal(size=(6, 5)), rng.normal(size=(6, 3))
    assert mean_squared_cca_null(pair_of(x[:, :2], y)) == pytest.approx(3 / 5)
    assert mean_squared_cca_null(pair_of(x, y), components=2) == pytest.approx(2 / 5)
    found = mean_over_pairings("mean_squared_cca", x, y, components=2)
    assert found == pytest.approx(2 / 5, rel=1e-9)
    adjusted = mean_over_pairings("adjusted_cca", x[:, :2], y)
    assert adjusted == pytest.approx(0, abs=1e-9)


def test_unrelated_representations_score_their_nulls_by_simulation(rng):
    draws = [pair_of(rng.normal(size=(120, 12)), rng.normal(size=(120, 20))) for _ in range(200)]
    for measure, null in [
        (linear_cka, linear_cka_null), (mean_squared_cca, mean_squared_cca_null),
        (debiased_cka, lambda pair: 0), (adjusted_cca, lambda pair: 0),
    ]:  # fmt: skip
        values = np.array([measure(pair) - null(pair) for pair in draws])
        assert abs(values.mean()) < 3.5 * values.std() / np.sqrt(len(values))


def test_biased_cka_of_wide_noise_is_near_its_null_and_far_from_zero_the_debiased_is_not(rng):
    # SCIENCE 3.1, Murphy et al. 2024: 0.899 and 0.006.
    pair = pair_of(rng.normal(size=(200, 2048)), rng.normal(size=(200, 1536)))
    assert linear_cka(pair) == pytest.approx(0.899, abs=0.002)
    assert linear_cka_null(pair) == pytest.approx(0.899, abs=0.002)
    assert abs(debiased_cka(pair)) < 0.03


# Rank, conditioning and components


def test_repeated_and_collinear_columns_change_nothing_about_cca(related):
    x, y = related
    value = measured("mean_squared_cca", x, y)
    for wide in (
        np.column_stack([x, x]), np.column_stack([x, x @ np.arange(5), np.full(60, 2.0)]),
        np.column_stack([x, x[:, 0] * (1 + 1e-15)]),
    ):  # fmt: skip
        pair = pair_of(wide, y)
        assert compared_dimensions(pair) == (5, 7)
        assert mean_squared_cca(pair) == pytest.approx(value, rel=1e-6)


def test_cca_of_moments_is_that_of_the_svd_however_bad_the_conditioning(rng):
    x = rng.normal(size=(300, 20))
    y = x @ rng.normal(size=(20, 30)) + 5 * rng.normal(size=(300, 30))
    value = cca_textbook(x, y)
    for least in (1e-2, 1e-4, 1e-6, 1e-8):
        skewed = x @ (rotation(20, rng) * np.geomspace(1, least, 20)) @ rotation(20, rng)
        assert measured("mean_squared_cca", skewed, y) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("p", [7, 20])
def test_cca_refuses_as_many_dimensions_as_images_less_one_and_says_what_to_do(p, rng):
    x, y = rng.normal(size=(8, p)), rng.normal(size=(8, 2))
    for pair in [(x, y), (y, x), (x, x)]:
        for kind in ("mean_squared_cca", "adjusted_cca"):
            with pytest.raises(
                ValueError, match="8 images in 7 dimensions .*; use more images, or"
            ):
                measured(kind, *pair)
    assert measured("mean_squared_cca", x, y, components=6) < 1


def test_components_compare_the_leading_principal_components(related):
    x, y = related
    scores = (PCA(3).fit_transform(x), PCA(3).fit_transform(y))
    expected = cca_textbook(*scores)
    assert measured("mean_squared_cca", x, y, components=3) == pytest.approx(expected, rel=1e-9)
    assert compared_dimensions(pair_of(x, y), 6) == (5, 6)


def test_scikit_learn_s_cca_finds_the_same_correlations(related):
    x, y = related
    u, v = CCA(5, max_iter=10_000, tol=1e-14).fit(x, y).transform(x, y)
    expected = np.mean([np.corrcoef(u[:, i], v[:, i])[0, 1] ** 2 for i in range(5)])
    assert measured("mean_squared_cca", x, y) == pytest.approx(expected, abs=1e-6)


def test_ridge_cka_runs_from_cca_to_linear_cka(related, rng):
    x, _ = related
    y = x @ rng.normal(size=(5, 5)) + 2 * rng.normal(size=(60, 5))
    pair = pair_of(x, y)
    assert ridge_cka(pair, 1e-9) == pytest.approx(mean_squared_cca(pair), abs=1e-6)
    assert ridge_cka(pair, 1e9) == pytest.approx(linear_cka(pair), abs=1e-6)
    assert ridge_cka_null(pair, 1e9) == pytest.approx(linear_cka_null(pair), abs=1e-6)
    with pytest.raises(ValueError, match="ridge is 0; it must be above 0"):
        ridge_cka(pair, 0)


# The angle


def test_the_angle_is_a_metric(rng):
    for _ in range(30):
        base = rng.normal(size=(30, 4))
        x, y, z = (base * s + rng.normal(size=(30, 4)) for s in (2, 1, 0.5))
        xy, yz, xz = (angular_procrustes(pair_of(*pair)) for pair in ((x, y), (y, z), (x, z)))
        assert xz <= xy + yz
        assert min(xy, yz, xz) > 0
        assert angular_procrustes(pair_of(y, x)) == pytest.approx(xy, abs=1e-9)


@pytest.mark.parametrize("shape", [(40, 40), (40, 30), (30, 40)])
def test_the_nuclear_norm_is_the_sum_of_singular_values(shape, rng):
    for matrix in (rng.normal(size=shape), np.outer(rng.normal(size=shape[0]), np.ones(shape[1]))):
        exact = np.linalg.svd(matrix, compute_uv=False).sum()
        for lengths in (exact, 2 * exact):
            found = _nuclear_norm(torch.from_numpy(matrix), lengths)
            assert found == pytest.approx(exact, rel=1e-7)


def test_the_angle_of_nearly_equal_representations_keeps_its_digits(rng):
    x = rng.normal(size=(200, 30))
    noise = rng.normal(size=(200, 30))
    for size in (1e-2, 1e-4):
        y = x + size * noise
        assert measured("angular_procrustes", x, y) == pytest.approx(
            procrustes_textbook(x, y), abs=2e-8
        )


# The rows of the table


def test_every_row_says_what_its_measure_is():
    for kind, row in MEASURES.items():
        assert (row.better == "lower") == (row.identical < row.farthest), kind
        assert row.fails not in row.ignores
        assert row.value.__doc__


def test_a_row_of_the_config_gives_its_measure_and_options():
    row = {"kind": "mean_squared_cca", "label": "CCA", "components": None}
    assert measure_of(row) == (MEASURES["mean_squared_cca"], {})
    assert measure_of(row | {"components": 3})[1] == {"components": 3}
    with pytest.raises(KeyError, match="'cka' is no measure of moments; there are linear_cka, deb"):
        measure_of({"kind": "cka"})


def test_debiased_cka_of_rows_that_have_no_signal_of_their_own_is_an_error():
    # Equally long rows in general position: their unbiased HSIC is 0.
    x = np.eye(8)
    with pytest.raises(ValueError, match="is not positive; use more images"):
        measured("debiased_cka", x, x)
