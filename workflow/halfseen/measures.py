"""Measures of a pair of moments: each a function, and a row of `MEASURES` that says what it means.

Those that need more stand, with rows of their own, in `halfseen.local_measures`. All are symmetric,
all ignore a common order of the images, and none is cut to its range.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from halfseen.moments import lower_gram
from halfseen.representations import EPSILON

# Certain errors of the angle above this send the nuclear norm to a slower algorithm.
ANGLE_ERROR = 1e-7
# An unbiased HSIC below this share of the biased one is rounding.
NO_SIGNAL = 1e-12


@dataclass(frozen=True)
class Measure:
    """What a measure means; `value(pair, **options)` gives it.

    `ignores` names the maps of feature space that leave it as it is, `fails` the next larger group,
    which does not. `null(pair, **options)` is its exact mean over all pairings of the images, None
    where that has no closed form. `better` is "higher" for a similarity, "lower" for a distance;
    `identical` is its value for equal representations, `farthest` the other end of its range;
    `dimensions(pair, **options)` how many dimensions of each it compares; `needs` is ("rank",)
    where it depends on numerical ranks, and names what it takes where that is no pair of moments.
    """

    value: Callable
    null: Callable | None
    better: str
    identical: float
    farthest: float
    ignores: tuple
    fails: str
    dimensions: Callable | None = None
    needs: tuple = ()


def measure_of(row):
    """The `Measure` and the options of a row {"kind": ..., options}, its label and nulls left out.

    Raises KeyError that lists the kinds for one that is not there.
    """
    kind = row["kind"]
    if kind not in MEASURES:
        raise KeyError(f"{kind!r} is no measure of moments; there are {', '.join(MEASURES)}")
    options = {
        key: value
        for key, value in row.items()
        if key not in ("kind", "label") and value is not None
    }
    return MEASURES[kind], options


def linear_cka(pair):
    """Linear CKA: 1 for identical, `linear_cka_null` expected for unrelated representations.

    |X'Y|^2 / (|X'X| |Y'Y|). Kornblith et al. 2019, section 3.
    """
    return pair.cross.square().sum().item() / (pair.x.norm * pair.y.norm)


def linear_cka_null(pair):
    """The exact mean of `linear_cka` over all pairings of the images: sqrt(PR_x PR_y) / (n - 1).

    PR is the participation ratio. The mean of tr(K P L P') over permutations P is
    tr(K) tr(L) / (n - 1) for centred Gram matrices.
    """
    return np.sqrt(pair.x.participation_ratio * pair.y.participation_ratio) / (pair.n - 1)


def debiased_cka(pair):
    """Debiased linear CKA: 1 for identical, some 0 for unrelated; can be negative, never clipped.

    The ratio of unbiased estimates of HSIC, in feature space. Song et al. 2012, equation 5; Nguyen
    et al. 2021, equation 3.
    """
    hsic_x, hsic_y = (
        _unbiased_hsic(part.norm**2, part.fourth, part.trace**2, pair.n)
        for part in (pair.x, pair.y)
    )
    if hsic_x <= NO_SIGNAL * pair.x.norm**2 or hsic_y <= NO_SIGNAL * pair.y.norm**2:
        raise ValueError(
            f"debiased CKA of {pair.n} images: the unbiased HSIC of a representation with itself "
            "is not positive; use more images"
        )
    cross = pair.cross.square().sum().item()
    hsic = _unbiased_hsic(cross, pair.tie, pair.x.trace * pair.y.trace, pair.n)
    return hsic / np.sqrt(hsic_x * hsic_y)


def _unbiased_hsic(product, tie, traces, n):
    """n (n - 3) times Song's estimate, of centred rows: the n factor cancels in the ratio."""
    return product - n / (n - 2) * tie + traces / ((n - 1) * (n - 2))


def mean_squared_cca(pair, components=None):
    """Mean squared canonical correlation: 1 for identical, `mean_squared_cca_null` for unrelated.

    |Q_x' Q_y|^2 / min(r_x, r_y), Q orthonormal bases of the centred columns, r their ranks. With
    `components`, of that many leading principal components of each; only maps that keep their span
    are ignored then. Raises ValueError where a rank reaches n - 1, as it does for n <= d: any two
    such representations correlate perfectly. Kornblith et al. 2019, table 1.
    """
    r_x, r_y = compared_dimensions(pair, components)
    _check_cca(pair.n, r_x, r_y)
    if pair.is_identity:
        return 1.0
    return whitened_cross(pair, components).square().sum().item() / min(r_x, r_y)


def mean_squared_cca_null(pair, components=None):
    """The exact mean of `mean_squared_cca` over all pairings of images: max(r_x, r_y) / (n - 1)."""
    return max(compared_dimensions(pair, components)) / (pair.n - 1)


def adjusted_cca(pair, components=None):
    """`mean_squared_cca` moved to 0 for unrelated representations, 1 for identical still.

    (R^2 - m) / (1 - m), m its null; negative below it. With n a few times d it still falls short
    (`sample_size_rows`).
    """
    null = mean_squared_cca_null(pair, components)
    return (mean_squared_cca(pair, components) - null) / (1 - null)


def ridge_cka(pair, ridge):
    """Linear CKA of partly whitened representations, X (X'X + a I)^-1/2: 1 for identical.

    a is `ridge` times the mean eigenvalue of X'X. As the ridge grows it becomes `linear_cka`; as it
    falls to 0, the sum of squared canonical correlations over sqrt(r_x r_y). Regularised CCA
    without a decision about rank. Vinod 1976.
    """
    (x, norm_x), (y, norm_y) = (_ridge_factor(part, ridge)[:2] for part in (pair.x, pair.y))
    return _solved(x, y, pair.cross).square().sum().item() / (norm_x * norm_y)


def ridge_cka_null(pair, ridge):
    """The exact mean of `ridge_cka` over all pairings of the images; cf. `linear_cka_null`."""
    ratios = []
    for part in (pair.x, pair.y):
        _, norm, trace = _ridge_factor(part, ridge)
        ratios.append(trace / norm)
    return ratios[0] * ratios[1] / (pair.n - 1)


def _ridge_factor(moments, ridge):
    """Cholesky factor L of X'X + a I, and norm and trace of L^-1 X'X L^-T = I - a L^-1 L^-T."""
    if not ridge > 0:
        raise ValueError(f"ridge is {ridge}; it must be above 0")
    strength = ridge * moments.trace / moments.d
    identity = torch.eye(moments.d, dtype=torch.float64, device=moments.scatter.device)
    factor = torch.linalg.cholesky(moments.scatter + strength * identity)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    whitened = identity - strength * (inverse @ inverse.T)
    return factor, whitened.norm().item(), whitened.diagonal().sum().item()


def angular_procrustes(pair):
    """The angle, 0 to pi/2, that is left when one representation is rotated onto the other.

    arccos(|X'Y|_* / (|X| |Y|)), a metric: 0 for identical up to rotation, scaling and shift.
    Williams et al. 2021, equation 7.
    """
    if pair.is_identity:
        return 0.0
    lengths = float(np.sqrt(pair.x.trace * pair.y.trace))
    return float(np.arccos(min(1.0, _nuclear_norm(pair.cross, lengths) / lengths)))


def _nuclear_norm(matrix, lengths):
    """The sum of singular values, from the eigenvalues of the smaller A'A where these will do.

    Their rounding, some e = sqrt(d) / 4 EPSILON of the largest for each (seen: 7 EPSILON of d =
    1280), moves a singular value s by at most min(sqrt(e), e / 2s); where the sum of these could be
    seen in the angle, by an SVD.
    """
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    squares = torch.linalg.eigvalsh(lower_gram(matrix)).clamp_(min=0)
    values = squares.sqrt()
    error = len(values) ** 0.5 / 4 * EPSILON * squares[-1].item()
    bound = torch.minimum(error / (2 * values), torch.full_like(values, error**0.5)).sum().item()
    total = values.sum().item()
    sine = np.sqrt(max(0.0, 1 - (total / lengths) ** 2))
    if bound > ANGLE_ERROR * sine * lengths:
        return torch.linalg.svdvals(matrix).sum().item()
    return total


def compared_dimensions(pair, components=None):
    """How many dimensions of each CCA compares: the ranks or, if fewer, `components`."""
    if components is None:
        pair = pair.whitenable or pair
        return pair.x.d, pair.y.d
    return tuple(min(len(part.principal[0]), components) for part in (pair.x, pair.y))


def whitened_cross(pair, components=None):
    """Q_x' Q_y of orthonormal coordinates: its singular values are the canonical correlations."""
    if components is None:
        pair = pair.whitenable or pair
        return _solved(pair.x.factor, pair.y.factor, pair.cross)
    (values_x, x), (values_y, y) = (
        (values[:components].sqrt(), directions[:, :components])
        for values, directions in (pair.x.principal, pair.y.principal)
    )
    return (x.T @ pair.cross @ y) / values_x[:, None] / values_y


def _solved(factor_x, factor_y, cross):
    """L_x^-1 cross L_y^-T of lower triangular factors; from the right, where torch is faster."""
    right = torch.linalg.solve_triangular(factor_y.mT, cross, upper=True, left=False)
    return torch.linalg.solve_triangular(factor_x.mT, right.mT, upper=True, left=False).mT


def _check_cca(n, r_x, r_y):
    if max(r_x, r_y) >= n - 1:
        raise ValueError(
            f"mean squared CCA of {n} images in {max(r_x, r_y)} dimensions is 1 by construction; "
            "use more images, or a measure with fewer components"
        )


def _all_dimensions(pair, **options):
    return pair.x.d, pair.y.d


SHIFT, SCALING, ROTATION, LINEAR = (
    "shift", "isotropic scaling", "rotation", "invertible linear map",
)  # fmt: skip
_ORTHOGONAL = dict(ignores=(SHIFT, SCALING, ROTATION), fails=LINEAR, dimensions=_all_dimensions)
_AFFINE = dict(ignores=(SHIFT, SCALING, ROTATION, LINEAR), fails="monotone map of a coordinate",
               dimensions=compared_dimensions, needs=("rank",))  # fmt: skip
_SIMILARITY = dict(better="higher", identical=1.0)

MEASURES = {
    "linear_cka": Measure(linear_cka, linear_cka_null, farthest=0.0, **_SIMILARITY, **_ORTHOGONAL),
    "debiased_cka": Measure(
        debiased_cka, lambda pair: 0.0, farthest=-1.0, **_SIMILARITY, **_ORTHOGONAL
    ),
    "mean_squared_cca": Measure(
        mean_squared_cca, mean_squared_cca_null, farthest=0.0, **_SIMILARITY, **_AFFINE
    ),
    "adjusted_cca": Measure(
        adjusted_cca, lambda pair, components=None: 0.0, farthest=-1.0, **_SIMILARITY, **_AFFINE
    ),
    "ridge_cka": Measure(ridge_cka, ridge_cka_null, farthest=0.0, **_SIMILARITY, **_ORTHOGONAL),
    "angular_procrustes": Measure(
        angular_procrustes, None, better="lower", identical=0.0, farthest=np.pi / 2, **_ORTHOGONAL
    ),
}  # fmt: skip
