"""What unrelated representations score: permutation nulls, calibrated values and p.

Most measures have the exact mean of their null in `halfseen.measures`; here is all of its
distribution. Pairing the images anew leaves each representation as it is: only the cross-product
changes, at n d_x d_y a permutation. Free permutations ask whether two representations have anything
to do with each other; those within classes, whether they do beyond their classes.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from halfseen.local_measures import mutual_neighbors, permuted_neighbors
from halfseen.measures import measure_of
from halfseen.moments import pair_of
from halfseen.representations import check_same_images
from halfseen.uncertainty import holm

CALIBRATED = [
    "measure", "x", "y", "permutes", "similarity", "null_mean", "null_std", "threshold",
    "calibrated", "p", "n_permutations",
]  # fmt: skip
WITHIN, FREELY = "within classes", "freely"


def permutation_null(x, y, measures, n_permutations, rng, labels=None):
    """The values (K, m) of `measures` {name: row} when images are paired at random.

    `x` and `y` are `Representation`s. With `labels` (n,), images are paired within their class. The
    rows of both are held, float64. Also returns the values (m,) of the true pairing.
    """
    check_same_images(x, y)
    pair = pair_of(x, y)
    sides = (x, y) if pair.whitenable is None else (x.orthonormal(), y.orthonormal())
    if pair.whitenable is not None:
        pair = replace(pair, whitenable=pair_of(*sides))
    plain = [_rows(part) for part in (x, y)]
    lengths = [part.square().sum(dim=1) for part in plain]
    viewed = None if pair.whitenable is None else [_rows(part) for part in sides]
    measured = [measure_of(row) for row in measures.values()]
    points = [measure.value(pair, **options) for measure, options in measured]
    values = np.empty((n_permutations, len(measures)))
    for number in range(n_permutations):
        order = torch.from_numpy(permutation(x.n, rng, labels)).to(x.device)
        paired = replace(
            pair,
            cross=plain[0].T @ plain[1][order],
            tie=(lengths[0] * lengths[1][order]).sum().item(),
        )
        if viewed is not None:
            cross = viewed[0].T @ viewed[1][order]
            paired = replace(paired, whitenable=replace(pair.whitenable, cross=cross))
        values[number] = [measure.value(paired, **options) for measure, options in measured]
    return values, np.array(points)


def neighbor_permutation_null(x, y, n_permutations, rng, labels=None):
    """Values (K,) of `mutual_neighbors` of x, y (n, k) when images are paired at random."""
    return np.array(
        [
            mutual_neighbors(x, permuted_neighbors(y, permutation(len(x), rng, labels)))
            for _ in range(n_permutations)
        ]
    )


def permutation(n, rng, labels=None):
    """A random order (n,) of the images, of each class among itself where `labels` are given."""
    if labels is None:
        return rng.permutation(n)
    labels = np.asarray(labels)
    if len(labels) != n:
        raise ValueError(f"{len(labels)} labels do not fit {n} images")
    order = np.empty(n, dtype=int)
    # The sort puts a class's places next to each other, the shuffle its images.
    places, shuffled = np.argsort(labels, kind="stable"), rng.permutation(n)
    order[places] = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return order


def calibrated(value, null, identical=1.0, better="higher", alpha=0.05):
    """(threshold, calibrated value, p) of a value against K values of its null.

    The threshold t is the ceil((1 - alpha)(K + 1))-th smallest of the value and the K; calibrated
    is max(0, (value - t) / (identical - t)): 0 where chance gives as much, 1 for identical; p is
    (1 + #{null at least the value}) / (K + 1), valid for any K. Of a distance, all from the other
    side. Gröger et al. 2026, section 4. Raises ValueError for values that are not finite.
    """
    null = np.asarray(null, dtype=float)
    if not (np.isfinite(null).all() and np.isfinite(value) and len(null)):
        raise ValueError("a value is calibrated against finite values of its null, at least one")
    if better == "lower":
        threshold, scaled, p = calibrated(-value, -null, -identical, alpha=alpha)
        return -threshold, scaled, p
    rank = int(np.ceil((1 - alpha) * (len(null) + 1) - 1e-9))
    threshold = float(np.sort(np.append(null, value))[rank - 1])
    # Sums in another order: a pairing that changes nothing must count as equal.
    p = (1 + (null >= value - 1e-12 * max(1, abs(value))).sum()) / (len(null) + 1)
    span = identical - threshold
    scaled = max(0.0, (value - threshold) / span) if span > 0 else 0.0
    return threshold, float(scaled), float(p)


def permutation_rows(pairs, measures, n_permutations, rng, labels=None, alpha=0.05):
    """A row a measure and pair of `pairs` {(name, name): (Representation, Representation)}.

    The columns are `CALIBRATED`; `measures` is {name: {"kind": ..., options}} as in
    `similarity_of_all`. p is not corrected: `with_holm` does it over the grid.
    """
    rows = []
    for (first, second), (x, y) in pairs.items():
        null, points = permutation_null(x, y, measures, n_permutations, rng, labels)
        for column, (name, row) in enumerate(measures.items()):
            measure, values = measure_of(row)[0], null[:, column]
            scaled = calibrated(points[column], values, measure.identical, measure.better, alpha)
            rows.append(
                (
                    name, first, second, FREELY if labels is None else WITHIN, points[column],
                    values.mean(), values.std(ddof=1), *scaled, n_permutations,
                )
            )  # fmt: skip
    return pd.DataFrame(rows, columns=CALIBRATED)


def with_holm(table):
    """A table with `p` and, beside it, Holm's `p_holm` over all of its rows, the grid.

    With K permutations no p is below 1 / (K + 1): m rows need K + 1 above m / 0.05 to reach 0.05.
    """
    place = table.columns.get_loc("p") + 1
    corrected = table.copy()
    corrected.insert(place, "p_holm", holm(table.p))
    return corrected


def within_class_null(x, y, labels):
    """The exact mean of `linear_cka` over all pairings of images within their classes.

    (|B_x'B_y|^2 + sum_c T_xc T_yc / (n_c - 1)) / (|X'X| |Y'Y|), B the class means, an image each,
    T_c the squared length of a class's rows about its mean: within a class the products of centred
    rows average to those of the free null, and class means stay paired. x, y `Representation`s.
    """
    check_same_images(x, y)
    pair = pair_of(x, y)
    _, classes = np.unique(labels, return_inverse=True)
    sizes = torch.from_numpy(np.bincount(classes)).to(x.device, torch.float64)
    (means_x, spread_x), (means_y, spread_y) = (
        _class_parts(part, classes, sizes) for part in (x, y)
    )
    between = ((means_x * sizes[:, None]).T @ means_y).square().sum()
    within = (spread_x * spread_y / (sizes - 1).clamp(min=1)).sum()
    return ((between + within) / (pair.x.norm * pair.y.norm)).item()


def _class_parts(representation, classes, sizes):
    """Class means (K, d) of centred rows and squared lengths (K,) of the rows about them."""
    sums = torch.zeros((len(sizes), representation.d), dtype=torch.float64, device=sizes.device)
    squares = torch.zeros_like(sizes)
    places = torch.from_numpy(classes).to(sizes.device)
    for rows, block in representation.blocks():
        sums.index_add_(0, places[rows], block)
        squares.index_add_(0, places[rows], block.square().sum(dim=1))
    means = sums / sizes[:, None]
    return means, squares - sizes * means.square().sum(dim=1)


def _rows(representation):
    return torch.cat([block for _, block in representation.blocks()])
