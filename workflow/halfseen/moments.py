"""Centred second moments of representations, streamed in blocks of rows, in float64.

All that linear CKA, CCA and Procrustes need of two representations X and Y of the same n images is
X'X, Y'Y and X'Y of the centred rows, and of the debiased CKA the rows' lengths: nothing here is of
size (n, n), and nothing but the lengths grows with n. The products are kept per group of images, so
that those of all images but a group, which the jackknife and cross-validation ask for, are had by
subtraction.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from halfseen.representations import EPSILON, Representation, check_same_images, row_slices

# Where 1 / the least eigenvalue of the correlation matrix stays below this, whitening by Cholesky
# of the moments is good to some 1e-8, and the rank is full beyond doubt.
WELL_CONDITIONED = 1e8
INVERSE_ITERATIONS = 6
# Rows of X'X that are computed together, up to the diagonal: the rest is their mirror image.
GRAM_ROWS = 256


@dataclass(frozen=True)
class Moments:
    """One centred representation X of n images: `scatter` (d, d) = X'X and `fourth` = sum |x_i|^4.

    Float64. Rotations of feature space, which no measure here notices, are free.
    """

    n: int
    scatter: torch.Tensor
    fourth: float

    @property
    def d(self):
        """Number of dimensions."""
        return len(self.scatter)

    @cached_property
    def trace(self):
        """tr(X'X), the squared Frobenius norm of X."""
        return self.scatter.diagonal().sum().item()

    @cached_property
    def norm(self):
        """Frobenius norm of X'X, which is that of the Gram matrix XX'."""
        return self.scatter.norm().item()

    @property
    def participation_ratio(self):
        """tr(X'X)^2 / |X'X|^2: the effective number of dimensions, 1 to the rank."""
        return (self.trace / self.norm) ** 2

    @cached_property
    def factor(self):
        """The lower Cholesky factor of X'X; ValueError where X'X is singular."""
        factor, failed = torch.linalg.cholesky_ex(self.scatter)
        if failed.item():
            raise ValueError(
                f"column {failed.item() - 1} of a representation depends on those before it; "
                "compare its orthonormal coordinates (Representation.orthonormal)"
            )
        return factor

    @cached_property
    def is_well_conditioned(self):
        """Whether X'X has full rank and `factor` whitens X accurately.

        Judged by the least eigenvalue of the correlation matrix, which inverse iteration finds from
        above, from several starts, within a few per cent.
        """
        scale = self.scatter.diagonal().sqrt()
        if not (scale > 0).all():
            return False
        try:
            factor = self.factor / scale[:, None]
        except ValueError:
            return False
        generator = torch.Generator().manual_seed(0)
        start = torch.randn((self.d, 8), generator=generator, dtype=torch.float64)
        vectors = start.to(factor.device)
        for _ in range(INVERSE_ITERATIONS):
            vectors = torch.linalg.qr(vectors).Q
            vectors = torch.cholesky_solve(vectors, factor)
        return torch.linalg.svdvals(vectors)[0].item() < WELL_CONDITIONED

    @cached_property
    def principal(self):
        """Variances times n (r,), falling, and directions (d, r): the eigenvectors of X'X.

        r counts eigenvalues above the largest times max(n, d) times the precision of float64, which
        is singular values of X above the square root of that.
        """
        values, vectors = torch.linalg.eigh(self.scatter)
        values, vectors = values.flip(0), vectors.flip(1)
        rank = int((values > values[0] * max(self.n, self.d) * EPSILON).sum())
        return values[:rank], vectors[:, :rank]


@dataclass(frozen=True)
class Pair:
    """Two representations of the same images: their moments, `cross` = X'Y and the lengths' tie.

    `tie` is the sum of |x_i|^2 |y_i|^2. `whitenable` is the same pair in coordinates whose moments
    can be whitened, where those of this one are ill-conditioned; None elsewhere.
    """

    x: Moments
    y: Moments
    cross: torch.Tensor
    tie: float
    whitenable: "Pair | None" = None

    @property
    def n(self):
        """Number of images."""
        return self.x.n

    @property
    def is_identity(self):
        """Whether both are one and the same representation."""
        return self.cross is self.x.scatter


@dataclass(frozen=True)
class GroupedMoments:
    """The moments of a representation, group by group: of all images, and of all but a group."""

    representation: Representation
    parts: torch.Tensor  # (g, d, d), about the mean of all images
    squares: torch.Tensor  # (n,) squared lengths of the centred rows
    tilts: torch.Tensor  # (n, g) products of the rows with `shifts`; (n, 0) of a single group

    @cached_property
    def shifts(self):
        """By how much the mean moves when a group is left out: (g, d)."""
        return _shifts(self.representation)

    @cached_property
    def whole(self):
        """The `Moments` of all images."""
        return Moments(
            self.representation.n, self.parts.sum(dim=0), self.squares.square().sum().item()
        )

    def without(self, group):
        """The `Moments` of all images but a group's."""
        rest = self.representation.n - int(self.representation.counts[group])
        shift = self.shifts[group]
        scatter = self.whole.scatter - self.parts[group]
        scatter.addr_(shift, shift, alpha=-rest)
        return Moments(rest, scatter, self.squares_without(group).square().sum().item())

    def squares_without(self, group):
        """Squared lengths of the other groups' rows about their own mean."""
        kept = torch.from_numpy(self.representation.groups != group).to(self.squares.device)
        squares = self.squares - 2 * self.tilts[:, group] + self.shifts[group].square().sum()
        return squares[kept]


@dataclass(frozen=True)
class GroupedPair:
    """Two `GroupedMoments` and their cross-products by group, `parts` (g, d_x, d_y)."""

    x: GroupedMoments
    y: GroupedMoments
    parts: torch.Tensor

    @cached_property
    def whole(self):
        """The `Pair` of all images."""
        if self.x is self.y:
            return Pair(self.x.whole, self.x.whole, self.x.whole.scatter, self.x.whole.fourth)
        tie = (self.x.squares * self.y.squares).sum().item()
        return Pair(self.x.whole, self.y.whole, self.parts.sum(dim=0), tie)

    def without(self, group, x, y):
        """The `Pair` of all images but a group's, given both `Moments` without it."""
        if self.x is self.y:
            return Pair(x, x, x.scatter, x.fourth)
        cross = self.whole.cross - self.parts[group]
        cross.addr_(self.x.shifts[group], self.y.shifts[group], alpha=-x.n)
        tie = (self.x.squares_without(group) * self.y.squares_without(group)).sum().item()
        return Pair(x, y, cross, tie)


def grouped_moments(representation):
    """The `GroupedMoments` of a `Representation`, in one pass."""
    return GroupedMoments(representation, *_self_products(representation))


def cross_products(representations, pairs):
    """X'Y by group, [(g, d_x, d_y)], of `pairs` [(i, j)] of `representations`, in one pass.

    Raises ValueError, with both names, for other numbers of images, other ids or other groups.
    """
    for i, j in pairs:
        check_same_images(representations[i], representations[j])
    used = sorted({number for pair in pairs for number in pair})
    first = representations[used[0]]
    g = len(first.counts)
    products = [
        torch.zeros(
            (g, representations[i].d, representations[j].d),
            dtype=torch.float64, device=first.device,
        )
        for i, j in pairs
    ]  # fmt: skip
    block_rows = min(representations[number].block_rows for number in used)
    for rows in row_slices(first.n, block_rows):
        order, parts = _by_group(first.groups[rows], g, first.device)
        blocks = {number: _ordered(representations[number].centred(rows), order) for number in used}
        for (i, j), product in zip(pairs, products, strict=True):
            for group, part in parts:
                product[group].addmm_(blocks[i][part].T, blocks[j][part])
    return products


def pair_of(x, y):
    """The `Pair` of two arrays (n, d_x) and (n, d_y), or of two `Representation`s, fit for CCA."""
    x, y = (
        part if isinstance(part, Representation) else Representation(part, name)
        for part, name in ((x, "the first representation"), (y, "the second representation"))
    )
    check_same_images(x, y)
    parts = grouped_moments(x), grouped_moments(y)
    pair = grouped_pair(*parts).whole
    if all(part.whole.is_well_conditioned for part in parts):
        return pair
    views = [
        part
        if part.whole.is_well_conditioned
        else grouped_moments(part.representation.orthonormal())
        for part in parts
    ]
    return replace(pair, whitenable=grouped_pair(*views).whole)


def grouped_pair(x, y):
    """The `GroupedPair` of two `GroupedMoments`."""
    (parts,) = cross_products([x.representation, y.representation], [(0, 1)])
    return GroupedPair(x, y, parts)


def _self_products(representation):
    """X'X by group, squared lengths of the rows and their products with the shifts of the mean."""
    g, d = len(representation.counts), representation.d
    kind = dict(dtype=torch.float64, device=representation.device)
    products = torch.zeros((g, d, d), **kind)
    squares = torch.empty(representation.n, **kind)
    tilts = torch.zeros((representation.n, g if g > 1 else 0), **kind)
    shifts = _shifts(representation)
    for rows, block in representation.blocks():
        squares[rows] = torch.linalg.vector_norm(block, dim=1).square()
        if g > 1:
            tilts[rows] = block @ shifts.T
        order, parts = _by_group(representation.groups[rows], g, representation.device)
        block = _ordered(block, order)
        for group, part in parts:
            _add_gram(products[group], block[part])
    return products.tril() + products.tril(-1).mT, squares, tilts


def lower_gram(block):
    """block' block, correct on and below its diagonal, at little more than half of its cost."""
    d = block.shape[1]
    product = torch.zeros((d, d), dtype=block.dtype, device=block.device)
    _add_gram(product, block)
    return product


def _add_gram(product, block):
    """Add block' block to a product, on and below its diagonal."""
    for start in range(0, block.shape[1], GRAM_ROWS):
        end = start + GRAM_ROWS
        product[start:end, :end].addmm_(block[:, start:end].T, block[:, :end])


def _shifts(representation):
    rest = torch.from_numpy(representation.n - representation.counts).to(representation.sums)
    return -representation.sums / rest.clamp(min=1)[:, None]


def _by_group(groups, g, device):
    """An order that sorts rows by group, None for a single group, and [(group, its slice)]."""
    if g == 1:
        return None, [(0, slice(None))]
    ends = np.cumsum(np.bincount(groups, minlength=g))
    starts = ends - np.bincount(groups, minlength=g)
    parts = [
        (group, slice(start, end))
        for group, (start, end) in enumerate(zip(starts, ends, strict=True))
        if end > start
    ]
    return torch.from_numpy(np.argsort(groups, kind="stable")).to(device), parts


def _ordered(block, order):
    return block if order is None else block[order]
