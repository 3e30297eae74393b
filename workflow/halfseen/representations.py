"""Representations of images: rows that are read in blocks, centred, checked; never all at once."""

from functools import cached_property

import numpy as np
import torch

from halfseen.devices import use_full_float32

BLOCK_BYTES = 2**25
# Rows that show in most cases that a representation varies.
BLOCK_START = 16
EPSILON = float(np.finfo(np.float64).eps)


class Representation:
    """A representation (n, d) of n images, read in blocks of rows from anything that slices.

    `rows` is a NumPy array or an HDF5 dataset; `groups` (n,), 0 to g - 1, says which moments are
    kept apart; `ids` (n,) are compared where two representations meet. One pass takes the means
    here, one the products. With n <= d the rows are read whole and turned into the n - 1 or fewer
    coordinates that they span (`is_compressed`), unless `compress` is false: all distances
    stay. Raises ValueError, with `name`, for anything but a finite matrix of at least 4 rows, for a
    representation that is the same for every image, and for groups that do not fit.
    """

    def __init__(self, rows, name="a representation", *, ids=None, groups=None, device="cpu",
                 block_rows=None, compress=True):  # fmt: skip
        self.name, self.device = name, torch.device(device)
        self.ids = None if ids is None else np.asarray(ids)
        if len(rows.shape) != 2 or rows.shape[1] < 1:
            raise ValueError(
                f"{name} must be a finite (n, d) array; this one has shape {tuple(rows.shape)}"
            )
        self.n, self.n_features = rows.shape
        if self.n < 4:
            raise ValueError(f"{name} has {self.n} images; similarity needs at least 4")
        if self.ids is not None and len(self.ids) != self.n:
            raise ValueError(f"{name} has {self.n} images, but {len(self.ids)} ids")
        if self.device.type == "cuda":
            use_full_float32()
        one = np.broadcast_to(np.zeros(1, dtype=int), self.n)  # a view, of no size
        self.groups = one if groups is None else np.array(groups)
        _check_groups(self.groups, self.n, name)
        self.counts = np.bincount(self.groups)
        self._source, self._block_rows = rows, block_rows
        self._take_means()
        self.is_compressed = compress and self.n <= self.n_features
        if self.is_compressed:
            self._compress()

    @property
    def d(self):
        """Number of coordinates of the rows that `blocks` gives."""
        return self._source.shape[1]

    @property
    def block_rows(self):
        """Rows per block: some 32 MB of float64, unless given."""
        return self._block_rows or max(64, BLOCK_BYTES // (8 * self.d))

    def blocks(self):
        """Yield (slice, centred rows (b, d) float64 on the device), in order."""
        for rows in row_slices(self.n, self.block_rows):
            yield rows, self.centred(rows)

    def centred(self, rows):
        """The centred rows of a slice, float64 on the device."""
        return self._stored(rows) - self.mean

    def orthonormal(self):
        """This representation in coordinates that are orthonormal over its images, `rank` of them.

        They come from the singular values of R in X = QR, built up block by block, those at most
        the largest times max(n, d) times the precision of float64 (`tolerance`) being left out.
        """
        values, directions = self._singular
        keep = values > values[0] * self.tolerance
        basis = directions[:, keep] / values[keep]
        rows = _Mapped(self, basis)
        view = Representation(
            rows, self.name, ids=self.ids, groups=self.groups, device=self.device,
            block_rows=self.block_rows,
        )  # fmt: skip
        view.n_features = self.n_features
        return view

    @property
    def tolerance(self):
        """Singular values at most this share of the largest are taken for 0."""
        return max(self.n, self.n_features) * EPSILON

    @cached_property
    def _singular(self):
        """Singular values (k,), falling, and directions (d, k) of the centred rows."""
        r = torch.zeros((0, self.d), dtype=torch.float64, device=self.device)
        for _, block in self.blocks():
            r = torch.linalg.qr(torch.cat([r, block]), mode="r").R
        _, values, directions = torch.linalg.svd(r, full_matrices=False)
        return values, directions.T

    def _stored(self, rows):
        """The rows of a slice as they are stored, on the device; maybe the caller's own memory."""
        block = self._source[rows]
        if not torch.is_tensor(block):
            block = torch.from_numpy(np.ascontiguousarray(block))
        return block.to(self.device)

    def _take_means(self):
        g = len(self.counts)
        sums = torch.zeros((g, self.d), dtype=torch.float64, device=self.device)
        first, varies = None, False
        groups = None if g == 1 else torch.from_numpy(self.groups).to(self.device)
        for rows in row_slices(self.n, self.block_rows):
            block = self._stored(rows).double()
            own = block.sum(dim=0)
            if not torch.isfinite(own).all():
                bad = int(torch.isfinite(block).all(dim=1).logical_not().nonzero()[0])
                raise ValueError(
                    f"{self.name} must be finite; row {rows.start + bad} of shape "
                    f"({self.n}, {self.n_features}) is not"
                )
            if not varies:
                first = block[0].clone() if first is None else first
                varies = any(
                    (part - first).abs().max() > 1e-12 * first.abs().max()
                    for part in (block[:BLOCK_START], block)
                )
            if g == 1:
                sums[0] += own
            else:
                sums.index_add_(0, groups[rows], block)
        if not varies:
            raise ValueError(
                f"{self.name} is the same for every image; similarity to it is not defined"
            )
        self.mean = sums.sum(dim=0) / self.n
        counts = torch.from_numpy(self.counts).to(sums)
        # Of the centred rows.
        self.sums = sums - counts[:, None] * self.mean

    def _compress(self):
        centred = self.centred(slice(0, self.n))
        left, values, directions = torch.linalg.svd(centred, full_matrices=False)
        keep = values > values[0] * self.tolerance
        self._source = (left[:, keep] * values[keep]).cpu()
        self._block_rows = self.n
        self.mean = torch.zeros(self.d, dtype=torch.float64, device=self.device)
        self.sums = self.sums @ directions[keep].T


def check_same_images(x, y):
    """Raise ValueError unless two representations are of the same images in one order."""
    if x.n != y.n:
        raise ValueError(
            f"{x.name} of {x.n} and {y.name} of {y.n} images cannot be compared; "
            "join them by image id"
        )
    if x.ids is not None and y.ids is not None and not np.array_equal(x.ids, y.ids):
        place = int(np.flatnonzero(x.ids != y.ids)[0])
        raise ValueError(
            f"{x.name} and {y.name} are of other images: row {place} is {str(x.ids[place])!r} in "
            f"one and {str(y.ids[place])!r} in the other; join them by image id"
        )
    if not np.array_equal(x.groups, y.groups):
        raise ValueError(f"{x.name} and {y.name} have other groups of images")


def row_slices(n, size):
    """Slices of at most `size` that cover n rows, in order."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


class _Mapped:
    """The centred rows of a representation times a matrix (d, r), as an array that slices."""

    def __init__(self, representation, matrix):
        self._representation, self._matrix = representation, matrix
        self.shape = (representation.n, matrix.shape[1])

    def __getitem__(self, rows):
        return self._representation.centred(rows) @ self._matrix


def _check_groups(groups, n, name):
    if groups.shape != (n,) or not np.issubdtype(groups.dtype, np.integer) or groups.min() < 0:
        raise ValueError(f"{name} has {n} images; its groups must be as many integers from 0")
    counts = np.bincount(groups)
    if (counts == 0).any():
        raise ValueError(f"{name}: group {int(counts.argmin())} of {len(counts)} has no image")
    if len(counts) > 1 and n - counts.max() < 4:
        raise ValueError(
            f"{name}: without group {int(counts.argmax())} there are {n - counts.max()} images; "
            "similarity needs at least 4"
        )
