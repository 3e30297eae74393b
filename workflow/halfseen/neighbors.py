"""Whose neighbours are whose: the composition of nearest neighbours by variant."""

import numpy as np
from sklearn.neighbors import NearestNeighbors


def neighbor_composition(features, k, metric):
    """Share of the k nearest neighbours from each variant, per variant of the query: (V, V).

    Rows sum to 1. `features` (V, n, d): the same n images in V variants, all V n rows being each
    other's candidates; a row is never its own neighbour. Exact; `metric` is `cosine` or
    `euclidean`. The paper, section 5.3. Raises ValueError for k below 1 or above V n - 1.
    """
    n_variants, n, d = features.shape
    if not 1 <= k < n_variants * n:
        raise ValueError(
            f"k is {k}; {n_variants * n} representations have 1 to {n_variants * n - 1} neighbours"
        )
    rows = np.asarray(features, dtype=np.float64).reshape(-1, d)
    # No argument: scikit-learn then leaves each row out of its own neighbours.
    found = (
        NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute")
        .fit(rows)
        .kneighbors(return_distance=False)
    )
    shares = [
        np.bincount(block.ravel() // n, minlength=n_variants)
        for block in found.reshape(n_variants, n, k)
    ]
    return np.array(shares) / (n * k)


def composition_null(n_variants, n):
    """Composition (V, V) expected where variants play no part: (n-1)/(Vn-1) own, n/(Vn-1) other."""
    null = np.full((n_variants, n_variants), n / (n_variants * n - 1))
    np.fill_diagonal(null, (n - 1) / (n_variants * n - 1))
    return null
