"""How similar two representations of the same images are: linear CKA and CCA, with their nulls."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spectrum:
    """A centred representation as its singular value decomposition: all that the measures need.

    `left` (n, r) orthonormal, `values` (r,) in falling order, r the numerical rank. Distances
    between images are kept exactly, directions in feature space, which no measure here depends on,
    are dropped.
    """

    left: np.ndarray
    values: np.ndarray

    @property
    def n(self):
        """Number of images."""
        return len(self.left)

    @property
    def gram_norm(self):
        """Frobenius norm of the centred Gram matrix."""
        return float(np.sqrt((self.values**4).sum()))

    @property
    def participation_ratio(self):
        """tr(K)^2 / |K|^2 of the centred Gram matrix: effective number of dimensions, 1 to r."""
        return float((self.values**2).sum() ** 2 / (self.values**4).sum())


def spectrum(x):
    """The `Spectrum` of a representation x (n, d), in float64.

    Takes O(n d min(n, d)) time, once per representation. The rank counts singular values above the
    largest times max(n, d) times the precision of float64. Raises ValueError for input that is not
    a finite matrix and for one that is the same for every image.
    """
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ValueError(
            f"a representation must be a finite (n, d) array; this one has shape {x.shape}"
        )
    centered = x - x.mean(axis=0)
    if np.abs(centered).max() <= 1e-12 * np.abs(x).max():
        raise ValueError(
            "a representation is the same for every image; similarity to it is not defined"
        )
    left, values, _ = np.linalg.svd(centered, full_matrices=False)
    rank = int((values > values[0] * max(x.shape) * np.finfo(np.float64).eps).sum())
    return Spectrum(left[:, :rank], values[:rank])


def linear_cka(x, y):
    """Linear CKA of two spectra: 1 for identical, `linear_cka_null` expected for independent rows.

    |X'Y|^2 / (|X'X| |Y'Y|); ignores rotation, isotropic scaling and shift. Never an (n, n) matrix
    unless a rank is n - 1. Kornblith et al. 2019, section 3.
    """
    _same_images(x, y)
    cross = (x.left * x.values).T @ (y.left * y.values)
    return float((cross**2).sum() / (x.gram_norm * y.gram_norm))


def linear_cka_null(x, y):
    """The exact mean of `linear_cka` over all pairings of the images: sqrt(PR_x PR_y) / (n - 1).

    PR is the participation ratio. The mean of tr(K P L P') over permutations P is
    tr(K) tr(L) / (n - 1) for centred Gram matrices.
    """
    _same_images(x, y)
    return float(np.sqrt(x.participation_ratio * y.participation_ratio) / (x.n - 1))


def mean_squared_cca(x, y, components=None):
    """Mean squared canonical correlation of two spectra: 1 for identical.

    `mean_squared_cca_null` is expected for independent rows. |Q_x' Q_y|^2 / min(r_x, r_y); ignores
    every invertible linear map and shift. With `components`, only that many leading principal
    components of each are compared, and only maps that keep their span are ignored. Raises
    ValueError where a rank reaches n - 1: any two such representations correlate perfectly.
    Kornblith et al. 2019, table 1.
    """
    _same_images(x, y)
    r_x, r_y = compared_components(x, components), compared_components(y, components)
    if max(r_x, r_y) >= x.n - 1:
        raise ValueError(
            f"mean squared CCA of {x.n} images in {max(r_x, r_y)} dimensions is 1 by construction; "
            "use more images or a measure with fewer components"
        )
    cross = x.left[:, :r_x].T @ y.left[:, :r_y]
    return float((cross**2).sum() / min(r_x, r_y))


def mean_squared_cca_null(x, y, components=None):
    """The exact mean of `mean_squared_cca` over all pairings of images: max(r_x, r_y) / (n - 1)."""
    return max(compared_components(x, components), compared_components(y, components)) / (x.n - 1)


def compared_components(x, components=None):
    """How many dimensions of a spectrum a measure compares: its rank or, if fewer, `components`."""
    return min(len(x.values), components or len(x.values))


# A measure takes two spectra and a number of components, None for all; so does its null.
MEASURES = {
    "linear_cka": (
        lambda x, y, components: linear_cka(x, y),
        lambda x, y, components: linear_cka_null(x, y),
    ),
    "mean_squared_cca": (mean_squared_cca, mean_squared_cca_null),
}


def similarity_row(x, y, kind, components=None):
    """One row of the similarity table for two spectra, under the measure `kind` of `MEASURES`."""
    measure, null = MEASURES[kind]
    return {
        "similarity": measure(x, y, components),
        "null": null(x, y, components),
        "n": x.n,
        "components_x": compared_components(x, components),
        "components_y": compared_components(y, components),
    }


def _same_images(x, y):
    if x.n != y.n:
        raise ValueError(f"representations of {x.n} and of {y.n} images cannot be compared")
