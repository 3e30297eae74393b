"""Measures that need more than a pair of moments: neighbours, predictions, kernels, folds."""

import numpy as np
import torch

from halfseen.measures import LINEAR, ROTATION, SCALING, SHIFT, Measure, whitened_cross
from halfseen.moments import GroupedPair, Pair
from halfseen.uncertainty import cohen_kappa

BLOCK_ROWS = 1024
MEDIAN_ROWS = 1000


def mutual_neighbors(x, y):
    """Mean share of an image's k nearest neighbours in one representation that are so in the other.

    `x` and `y` (n, k) are the neighbours' row numbers, an image never being its own. 1 for equal
    neighbourhoods, k / (n - 1) expected for unrelated ones (`mutual_neighbors_null`). Ignores what
    the neighbours ignore. Neither are rows normalised here nor outliers clamped. Huh et al. 2024,
    section 2. Raises ValueError for other shapes, a neighbour named twice and one's own neighbours.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.shape != y.shape or x.ndim != 2:
        raise ValueError(f"neighbours of shape {x.shape} and of {y.shape} cannot be compared")
    for ids in (x, y):
        _check_neighbors(ids)
    # Row by row: a neighbour of both stands twice in the sorted row of both lists.
    both = np.sort(np.concatenate([x, y], axis=1), axis=1)
    return float((both[:, 1:] == both[:, :-1]).sum() / x.size)


def mutual_neighbors_null(n, k):
    """The exact mean of `mutual_neighbors` over all pairings of the images: k / (n - 1)."""
    return k / (n - 1)


def permuted_neighbors(ids, order):
    """The neighbours (n, k) when image i is replaced by image order[i], its neighbours with it."""
    places = np.argsort(order)
    return places[np.asarray(ids)[order]]


def prediction_agreement(x, y):
    """Cohen's kappa of two probes' out-of-fold predictions (n,): 1 for equal, 0 for independent.

    Ignores whatever the probe ignores. Raises ValueError for other lengths.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.shape != y.shape or x.ndim != 1 or not len(x):
        raise ValueError(f"predictions of shape {x.shape} and of {y.shape} cannot be compared")
    return cohen_kappa(x, y)


def rbf_cka(x, y, bandwidth=1.0, debiased=True, block_rows=BLOCK_ROWS):
    """CKA of Gaussian kernels of two `Representation`s: 1 for identical; 0 for unrelated, debiased.

    exp(-|a - b|^2 / (2 s^2)), s `bandwidth` times the median distance among up to 1000 images,
    evenly spaced. Ignores rotation, isotropic scaling and shift. Gram matrices pass in blocks,
    O(n^2 d) time, O(n) memory beside the rows. Kornblith et al. 2019, section 3.
    """
    n = x.n
    if n != y.n:
        raise ValueError(f"representations of {n} and of {y.n} images cannot be compared")
    rows_x, rows_y = (_all_rows(part) for part in (x, y))
    scales = [bandwidth * _median_distance(rows) for rows in (rows_x, rows_y)]
    kind = dict(dtype=torch.float64, device=rows_x.device)
    products, sums = dict.fromkeys(("xx", "yy", "xy"), 0.0), torch.zeros((2, n), **kind)
    for start in range(0, n, block_rows):
        part = slice(start, min(start + block_rows, n))
        grams = [
            _gaussian(rows[part], rows, scale)
            for rows, scale in zip((rows_x, rows_y), scales, strict=True)
        ]
        if debiased:
            for gram in grams:
                gram.diagonal(offset=start).zero_()
        for name, a, b in (("xx", 0, 0), ("yy", 1, 1), ("xy", 0, 1)):
            products[name] += (grams[a] * grams[b]).sum().item()
        sums[:, part] = torch.stack([gram.sum(dim=1) for gram in grams])
    hsic = _unbiased if debiased else _biased
    xy, xx, yy = (
        hsic(products[name], sums[a], sums[b], n)
        for name, a, b in (("xy", 0, 1), ("xx", 0, 0), ("yy", 1, 1))
    )
    return xy / np.sqrt(xx * yy)


def cross_validated_cca(grouped, components=None):
    """Canonical correlations found on all folds but one, on that one: 1 for identical, null 0.

    The mean over folds and over the min(r_x, r_y) canonical pairs of sign(r) r^2, r the correlation
    on held-out images. Groups of the `GroupedPair` are the folds. `components` as in
    `mean_squared_cca`. Raises ValueError for a single group.
    """
    return float(np.mean([_held_out(grouped, fold, components) for fold in _folds(grouped)]))


def _folds(grouped: GroupedPair):
    counts = grouped.x.representation.counts
    if len(counts) < 2:
        raise ValueError("cross-validated CCA needs groups of images as folds; there is one")
    if counts.min() < 3:
        raise ValueError(f"fold {int(counts.argmin())} has {counts.min()} images; it needs 3")
    return range(len(counts))


def _held_out(grouped, fold, components):
    """The mean of sign(r) r^2 over the canonical pairs of the other folds, on this one."""
    pair = grouped.without(fold, grouped.x.without(fold), grouped.y.without(fold))
    kept = components or pair.x.d + pair.y.d  # all of them, where no number is given
    if max(min(len(part.principal[0]), kept) for part in (pair.x, pair.y)) >= pair.n - 1:
        raise ValueError(
            f"cross-validated CCA fitted on {pair.n} images in as many dimensions; "
            "use more images, or fewer components"
        )
    maps = _canonical_maps(pair, kept)
    tests = _test_moments(grouped, fold)
    xy = (maps[0] * (tests[2] @ maps[1])).sum(dim=0)
    xx, yy = ((m * (t @ m)).sum(dim=0) for m, t in zip(maps, tests[:2], strict=True))
    held = xy / (xx * yy).sqrt()
    return (held.sign() * held.square()).mean().item()


def _canonical_maps(pair: Pair, components):
    """Directions (d_x, k) and (d_y, k) of the canonical pairs of the leading components."""
    u, _, vh = torch.linalg.svd(whitened_cross(pair, components), full_matrices=False)
    maps = []
    for part, turn in ((pair.x, u), (pair.y, vh.T)):
        values, directions = part.principal
        maps.append(directions[:, :components] / values[:components].sqrt() @ turn)
    return maps


def _test_moments(grouped, fold):
    """X'X, Y'Y and X'Y of a fold's rows about their own mean."""
    x, y = grouped.x, grouped.y
    n = x.representation.counts[fold]
    mean_x, mean_y = (part.representation.sums[fold] / n for part in (x, y))
    return [
        products[fold] - n * torch.outer(a, b)
        for products, a, b in (
            (x.parts, mean_x, mean_x), (y.parts, mean_y, mean_y), (grouped.parts, mean_x, mean_y)
        )
    ]  # fmt: skip


def _check_neighbors(ids):
    n, k = ids.shape
    if (ids < 0).any() or (ids >= n).any():
        raise ValueError(f"neighbours of {n} images must be row numbers from 0 to {n - 1}")
    if (ids == np.arange(n)[:, None]).any():
        raise ValueError("an image is its own neighbour; leave it out")
    ordered = np.sort(ids, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        raise ValueError("an image has the same neighbour twice")


def _all_rows(representation):
    return torch.cat([block for _, block in representation.blocks()])


def _median_distance(rows):
    chosen = rows[:: -(-len(rows) // MEDIAN_ROWS)]
    distances = torch.nn.functional.pdist(chosen)
    median = distances.median().item()
    if not median > 0:
        raise ValueError("half of the images are duplicates of each other; RBF-CKA has no scale")
    return median


def _gaussian(a, b, scale):
    squares = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * (a @ b.T)
    return squares.clamp_(min=0).div_(-2 * scale**2).exp_()


def _biased(product, sums_x, sums_y, n):
    """tr(KHLH), from row sums."""
    return product - 2 / n * (sums_x @ sums_y).item() + (
        sums_x.sum() * sums_y.sum()
    ).item() / n**2  # fmt: skip


def _unbiased(product, sums_x, sums_y, n):
    """Song et al. 2012, equation 5, of kernels without diagonal, times n (n - 3)."""
    total = (sums_x.sum() * sums_y.sum()).item() / ((n - 1) * (n - 2))
    return product + total - 2 / (n - 2) * (sums_x @ sums_y).item()


# The rows of what `halfseen.measures.MEASURES` cannot hold: `needs` names what each one takes.
LOCAL_MEASURES = {
    "mutual_neighbors": Measure(
        mutual_neighbors, lambda x, y: mutual_neighbors_null(*np.shape(x)),
        better="higher", identical=1.0, farthest=0.0,
        # Of Euclidean neighbours; cosine ones notice a shift.
        ignores=(SHIFT, SCALING, ROTATION), fails=LINEAR, needs=("neighbors",),
    ),
    "prediction_agreement": Measure(
        prediction_agreement, lambda x, y: 0.0,
        better="higher", identical=1.0, farthest=-1.0,
        ignores=("whatever its probe ignores",), fails="change of a prediction",
        needs=("predictions",),
    ),
    "rbf_cka": Measure(
        rbf_cka, lambda x, y, **options: 0.0 if options.get("debiased", True) else None,
        better="higher", identical=1.0, farthest=-1.0,
        ignores=(SHIFT, SCALING, ROTATION), fails=LINEAR, needs=("rows",),
    ),
    "cross_validated_cca": Measure(
        cross_validated_cca, lambda grouped, components=None: 0.0,
        better="higher", identical=1.0, farthest=-1.0,
        ignores=(SHIFT, SCALING, ROTATION, LINEAR), fails="monotone map of a coordinate",
        needs=("folds",),
    ),
}  # fmt: skip
