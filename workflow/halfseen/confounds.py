"""What else may make representations alike: classes, long rows, leading directions, pixels, n.

The first three give representations to compare like any other; what is compared with them is the
value of all images and all directions.
"""

import numpy as np
import pandas as pd
import torch

from halfseen.measures import measure_of
from halfseen.moments import pair_of
from halfseen.representations import Representation

LARGEST = 0.01
# Values at half of the images and at all of them further apart than this depend on n.
SETTLED = 0.02
SIZES = ["measure", "n", "n_over_d", "similarity", "null", "change", "warning"]


class WithinClasses:
    """Rows (n, d) less the mean of their class, as an array that slices: what classes leave."""

    def __init__(self, rows, labels):
        self._rows, self.shape = rows, rows.shape
        self._classes, self._means = class_means(rows, labels)

    def __getitem__(self, rows):
        return np.asarray(self._rows[rows], dtype=np.float64) - self._means[self._classes[rows]]


class BetweenClasses:
    """The mean of its class in the place of every row (n, d), as an array that slices."""

    def __init__(self, rows, labels):
        self.shape = rows.shape
        self._classes, self._means = class_means(rows, labels)

    def __getitem__(self, rows):
        return self._means[self._classes[rows]]


class Kept:
    """Some of the rows (n, d), those where `keep` (n,) is true, as an array that slices."""

    def __init__(self, rows, keep):
        self._rows, self._places = rows, np.flatnonzero(keep)
        self.shape = (len(self._places), rows.shape[1])

    def __getitem__(self, rows):
        places = self._places[rows]
        if not len(places):
            return np.asarray(self._rows[:0])
        # One read of the span: HDF5 picks single rows slowly.
        first = places[0]
        return np.asarray(self._rows[first : places[-1] + 1])[places - first]


def class_means(rows, labels, block_rows=4096):
    """The class (n,) of every row, 0 to K - 1, and the classes' mean rows (K, d), float64."""
    labels = np.asarray(labels)
    if len(labels) != rows.shape[0]:
        raise ValueError(f"{len(labels)} labels do not fit {rows.shape[0]} images")
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), rows.shape[1]))
    for start in range(0, len(labels), block_rows):
        part = slice(start, start + block_rows)
        block, own = np.asarray(rows[part], dtype=np.float64), classes[part]
        order = np.argsort(own, kind="stable")
        found, first = np.unique(own[order], return_index=True)
        sums[found] += np.add.reduceat(block[order], first)
    return classes, sums / counts[:, None]


def without_longest(representations, share=LARGEST):
    """True (n,) for the images that stay when each representation drops its longest rows.

    Of each the `share`, rounded up, of images farthest from the mean; all drop what one drops, to
    stay comparable. Of `Representation`s of the same images.
    """
    keep = None
    for part in representations:
        lengths = torch.cat([block.square().sum(dim=1) for _, block in part.blocks()]).cpu().numpy()
        keep = np.ones(part.n, dtype=bool) if keep is None else keep
        keep[np.argsort(-lengths, kind="stable")[: int(np.ceil(share * part.n))]] = False
    return keep


def component_curve(pair, n_components):
    """Linear CKA once the k leading principal components of both are gone, (n_components + 1,).

    k = 0 is `linear_cka`. From the moments: the cross-product in the principal axes, less its first
    k rows and columns. Raises ValueError where a representation has no more than that many.
    """
    (values_x, x), (values_y, y) = pair.x.principal, pair.y.principal
    rank = min(len(values_x), len(values_y))
    if n_components >= rank:
        raise ValueError(f"of {rank} principal components at most {rank - 1} can be removed")
    squares = (x.T @ pair.cross @ y).square()
    # Sums of the lower right corners, from the far end.
    corners = squares.flip(0, 1).cumsum(0).cumsum(1).flip(0, 1)
    lengths = [values.square().flip(0).cumsum(0).flip(0).sqrt() for values in (values_x, values_y)]
    k = torch.arange(n_components + 1, device=squares.device)
    return (corners[k, k] / lengths[0][k] / lengths[1][k]).cpu().numpy()


def partial_cka(xy, xz, yz):
    """Linear CKA of x and y with what a third representation z explains taken out of both.

    From the three CKAs: the Gram matrices less their projections on z's, K - <K, L> / <L, L> L,
    have the cosine (xy - xz yz) / sqrt((1 - xz^2)(1 - yz^2)). Of z the pixels, this is the dCKA of
    Cui et al. 2022 without its projection on positive matrices. -1 to 1.
    """
    if not (abs(xz) < 1 and abs(yz) < 1):
        raise ValueError("a representation is the same as the one to take out; nothing is left")
    return (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))


def nested_sizes(n, least=64, n_sizes=4):
    """n halved again and again, increasing, down to `least`: at most `n_sizes` of them."""
    sizes = [n]
    while len(sizes) < n_sizes and sizes[-1] // 2 >= least:
        sizes.append(sizes[-1] // 2)
    return sizes[::-1]


def sample_size_rows(x, y, measures, rng, sizes=None, settled=SETTLED):
    """The panel "is n large enough?": every measure on nested random subsets, `SIZES` columns.

    `x` and `y` are arrays that slice, `measures` {name: {"kind": ..., options}}. `null` is the
    measure's mean over pairings at that n, `change` the value less that of the next smaller subset,
    empty at the first; `warning` says, in the last row, what is wrong: a change above `settled`, or
    n below 10 d where the measure is CCA. A size at which a measure is refused has no row.
    """
    n = x.shape[0]
    sizes = nested_sizes(n) if sizes is None else sorted(sizes)
    order = rng.permutation(n)
    rows = {name: [] for name in measures}
    for size in sizes:
        keep = np.zeros(n, dtype=bool)
        keep[order[:size]] = True
        pair = pair_of(*(Representation(Kept(part, keep)) for part in (x, y)))
        for name, row in measures.items():
            measure, options = measure_of(row)
            try:
                value = measure.value(pair, **options)
            except ValueError:
                if size == n:
                    raise
                continue
            null = "" if measure.null is None else float(measure.null(pair, **options))
            d = max(measure.dimensions(pair, **options))
            change = value - rows[name][-1]["similarity"] if rows[name] else ""
            rows[name].append(
                {"measure": name, "n": size, "n_over_d": size / d, "similarity": value,
                 "null": null, "change": change, "warning": ""}
            )  # fmt: skip
    for name, found in rows.items():
        is_cca = "rank" in measure_of(measures[name])[0].needs
        found[-1]["warning"] = _warning(found[-1], is_cca, settled)
    return pd.DataFrame([row for found in rows.values() for row in found], columns=SIZES)


def _warning(row, is_cca, settled):
    """Why the value at all images should not be trusted yet; empty where nothing is known."""
    if row["change"] == "":
        return "measured at one size alone"
    if abs(row["change"]) > settled:
        return f"changed by {row['change']:+.3f} when the images doubled"
    if is_cca and row["n_over_d"] < 10:
        return f"{row['n_over_d']:.1f} images per dimension; CCA needs 10"
    return ""
