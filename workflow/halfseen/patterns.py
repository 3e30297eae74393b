"""Maps of representations by their angles, and how alike the matrices of two models are."""

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import pearsonr, spearmanr

PATTERNS = ["model", "reference", "pearson", "spearman", "n_cells"]


def similarity_matrix(table, names, measure):
    """The matrix (V, V) of a measure from a table of `similarity_of_all`, in the order of names."""
    own = table[table.measure == measure].pivot(index="x", columns="y", values="similarity")
    missing = [name for name in names if name not in own.index]
    if missing:
        raise ValueError(f"the table has no {measure} of {', '.join(missing)}")
    matrix = own.loc[list(names), list(names)].to_numpy(dtype=float)
    if np.isnan(matrix).any():
        raise ValueError(f"the table has not every pair's {measure}")
    return matrix


def pattern_rows(matrices, reference):
    """How each model's matrix goes with the reference's: Pearson's and Spearman's correlation.

    `matrices` {model: (V, V)} of one measure over the same variants; of the cells above the
    diagonal. Few and dependent, so no p. Raises ValueError for a matrix whose cells are all equal.
    """
    cells = {model: _upper(matrix) for model, matrix in matrices.items()}
    if reference not in cells:
        raise ValueError(f"{reference!r} is not among the models {', '.join(cells)}")
    for model, values in cells.items():
        if np.ptp(values) == 0:
            raise ValueError(f"all pairs of {model} are equally similar; it has no pattern")
    other = cells[reference]
    return pd.DataFrame(
        [
            {
                "model": model, "reference": reference,
                "pearson": float(pearsonr(values, other).statistic),
                "spearman": float(spearmanr(values, other).statistic),
                "n_cells": len(values),
            }
            for model, values in cells.items()
        ],
        columns=PATTERNS,
    )  # fmt: skip


def angular_map(distances, n_dimensions=2):
    """Coordinates (V, n_dimensions) whose distances come near those given: classical scaling.

    `distances` (V, V) of a metric, such as angular Procrustes. Axes fall in variance and point so
    that their largest coordinate is positive. Also the share of the variance that they hold, of the
    positive eigenvalues. Torgerson 1952.
    """
    distances = _checked(distances)
    n = len(distances)
    center = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * center @ distances**2 @ center)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = np.clip(values[:n_dimensions], 0, None)
    coordinates = vectors[:, :n_dimensions] * np.sqrt(kept)
    signs = np.sign(coordinates[np.abs(coordinates).argmax(axis=0), range(n_dimensions)])
    shown = kept.sum() / max(np.clip(values, 0, None).sum(), np.finfo(float).tiny)
    return coordinates * np.where(signs == 0, 1, signs), float(shown)


def angular_tree(distances):
    """Average linkage (V - 1, 4), as scipy's dendrogram draws it, and the order of its leaves (V,).

    Neighbouring leaves are as close as the tree allows.
    """
    condensed = squareform(_checked(distances), checks=False)
    tree = linkage(condensed, method="average", optimal_ordering=True)
    return tree, leaves_list(tree)


def _checked(distances):
    distances = np.asarray(distances, dtype=float)
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1] or len(distances) < 3:
        raise ValueError(f"distances of shape {distances.shape}; a map needs (V, V), V at least 3")
    if not np.isfinite(distances).all() or (distances < 0).any():
        raise ValueError("distances must be finite and not negative")
    if not np.allclose(distances, distances.T, atol=1e-9) or np.diag(distances).any():
        raise ValueError("distances must be symmetric, with 0 from each to itself")
    return (distances + distances.T) / 2


def _upper(matrix):
    matrix = np.asarray(matrix, dtype=float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 3:
        raise ValueError(f"a pattern needs a matrix (V, V), V at least 3, not {matrix.shape}")
    return matrix[np.triu_indices(len(matrix), 1)]
