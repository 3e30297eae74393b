"""The objective of multinomial logistic regressions: features, loss, gradient and Hessian.

Of all numbers a row and class only the logits and what a step changes them by are kept; what else
follows from them is formed block by block, so that it stays in the cache and needs no memory.
"""

from dataclasses import dataclass

import numpy as np
import torch

from halfseen.devices import release_freed_memory
from halfseen.representations import row_slices

BLOCK_ROWS = 256
# Rows whose probabilities are formed at once.
SOFTMAX_ROWS = 8192
# What a step of L-BFGS costs beside its products, in multiplications, about: in all, and times the
# cube of the classes for the eigenvectors of their covariance.
STEP_OVERHEAD, EIGENVECTORS = 5e7, 100
# Numbers that the Hessians of problems side by side may have, 800 MB, and of the memory that part
# at most; rows and columns that they are formed of at once.
HESSIAN_NUMBERS, HESSIAN_PART = 1e8, 0.25
HESSIAN_ROWS, HESSIAN_COLUMNS = 1024, 1024


def hessian_numbers(memory_mb):
    """How many float64 numbers the Hessians of problems side by side may have; None: no limit."""
    if memory_mb is None:
        return HESSIAN_NUMBERS
    return min(HESSIAN_NUMBERS, HESSIAN_PART * memory_mb * 1e6 / 8)


@dataclass
class Standardization:
    """How a problem's rows of the features become centred columns: (x - mean) * scale."""

    features: np.ndarray
    rows: np.ndarray
    standardize: bool

    def __post_init__(self):
        self.mean, self.scale = np.zeros(()), np.ones(())
        self.mean = sum(block.sum(0).numpy() for _, block in self.blocks()) / len(self.rows)
        squares = sum(block.square_().sum(0).numpy() for _, block in self.blocks())
        deviation = np.sqrt(squares / len(self.rows))
        # What rounding of the mean leaves of a constant column must not be scaled up to 1.
        constant = deviation <= len(self.rows) * np.finfo(float).eps * np.abs(self.mean)
        deviation = deviation if self.standardize else np.ones_like(deviation)
        self.scale = np.where(constant, 0, 1 / np.where(constant, 1, deviation))

    def blocks(self):
        """(slice of the training rows, their float64 tensor), block by block."""
        for rows in row_slices(len(self.rows), BLOCK_ROWS):
            block = self.features[self.rows[rows]]
            block = block.astype(np.float64, copy=False)
            block -= self.mean
            block *= self.scale
            yield rows, torch.from_numpy(block)


def eigenbasis(standardization, dtype, device):
    """Orthonormal eigenvectors (d, r) of the rows' Gram matrix, r = min(rows, d): their row span.

    With d above the number of rows by QR and in float64: where eigenvalues vanish, the eigenvectors
    of a Gram matrix need not span the rows.
    """
    n, d = len(standardization.rows), len(standardization.mean)
    if n < d:
        wide = torch.empty(d, n, dtype=torch.float64, device=device)
        for rows, block in standardization.blocks():
            wide[:, rows] = block.T.to(device)
        span, corner = torch.linalg.qr(wide)
        return span @ torch.linalg.eigh(corner @ corner.T)[1]
    gram = torch.zeros(d, d, dtype=dtype, device=device)
    for _, block in standardization.blocks():
        block = block.to(device, dtype)
        gram.addmm_(block.T, block)
    # In float32 too, for its rounding tilts the penalty by no more than a millionth, and how well
    # the directions are told apart is a matter of speed.
    return torch.linalg.eigh(gram)[1]


class Problems:
    """Problems side by side: x (B, rows, r) rotated, weights (B, K, r + 1) with the bias last.

    Problems with fewer rows or directions than others are padded with zeros. Classes come first,
    in weights and in logits (B, K, rows), since both products with x are a fifth faster so.
    """

    def __init__(
        self, features, labels, trains, n_classes, standardize, dtype, device, memory_mb=None
    ):
        self.n_classes, self.standardize = n_classes, standardize
        self.hessian_numbers = hessian_numbers(memory_mb)
        self.given = [
            Standardization(features, np.flatnonzero(train), standardize) for train in trains
        ]
        self.counts = torch.tensor([len(given.rows) for given in self.given], device=device)
        rows = int(self.counts.max())
        shape = len(trains), rows, min(rows, features.shape[1])
        self.bases = [eigenbasis(given, dtype, device) for given in self.given]
        release_freed_memory()
        self.x = torch.zeros(shape, dtype=dtype, device=device)
        self.share = torch.zeros((shape[0], 1, shape[1]), dtype=dtype, device=device)
        self.labels = torch.zeros((shape[0], 1, shape[1]), dtype=torch.long, device=device)
        for place, (given, basis) in enumerate(zip(self.given, self.bases, strict=True)):
            # In float64: a rounded product would fill directions without variance with noise, which
            # a weak penalty lets the fit rest on.
            for rows, block in given.blocks():
                block, first = block.to(device), 0
                for part in basis.split(BLOCK_ROWS, dim=1):
                    columns = slice(first, first := first + part.shape[1])
                    self.x[place, rows, columns] = block @ part.double()
            self.share[place, 0, : len(given.rows)] = 1 / len(given.rows)
            self.labels[place, 0, : len(given.rows)] = torch.from_numpy(
                labels[given.rows].astype(np.int64)
            )
        release_freed_memory()
        # Measured, since the least eigenvalues of a float32 Gram matrix are noise; 1 for the bias.
        spectrum = torch.linalg.vector_norm(self.x, dim=1) ** 2 / self.counts[:, None]
        self.spectrum = torch.nn.functional.pad(spectrum, (0, 1), value=1)[:, None].to(dtype)

    def start(self):
        """Weights of 0 and the log shares of the classes as bias: the minimum as C approaches 0."""
        weights = self.x.new_zeros(len(self.x), self.n_classes, self.x.shape[2] + 1)
        weights[:, :, -1] = self.class_shares().log()
        return weights

    def class_shares(self):
        """Share of each class among a problem's rows, (B, K) float64."""
        shares = self.counts.new_zeros(len(self.x), self.n_classes, dtype=torch.float64)
        return shares.scatter_add_(1, self.labels[:, 0], self.share[:, 0].double())

    def ridge(self, costs):
        """What the penalty multiplies the weights by in the gradient, (B, 1, r + 1); bias 0."""
        ridge = torch.zeros_like(self.spectrum)
        ridge[:, :, :-1] = (1 / (costs * self.counts))[:, None, None]
        return ridge

    def relative_logits(self, weights):
        """Logits (B, K, rows) less that of the true class, which is 0."""
        logits = torch.baddbmm(weights[:, :, -1:], weights[:, :, :-1], self.x.mT)
        return logits.sub_(logits.gather(1, self.labels))

    def softmax(self, logits, rows):
        """Of some rows' logits: probabilities of the other classes, 0 for the true one, and CE."""
        top = logits.amax(1, keepdim=True)
        others = (logits - top).exp_().scatter_(1, self.labels[:, :, rows], 0)
        rest, true = others.sum(1, keepdim=True), torch.exp(-top)
        loss = torch.where(top > 0, top + torch.log(rest + true), torch.log1p(rest))
        return others.div_(rest + true), loss

    def part_of_mean(self, values, rows):
        """What some rows' values (B, 1, .) add to the mean (B,) over a problem's, float64."""
        return (self.share[:, :, rows] * values).double().sum((1, 2))

    def along(self, logits, change, size):
        """Mean CE (B,) at `logits + size * change`, and its first two derivatives by `size`."""
        found = torch.zeros(3, len(size), dtype=torch.float64, device=size.device)
        for rows in row_slices(logits.shape[2], SOFTMAX_ROWS):
            own = change[:, :, rows]
            moved = add_scaled(logits[:, :, rows].clone(), size, own)
            others, loss = self.softmax(moved, rows)
            mean = others.mul_(own).sum(1, keepdim=True)
            spread = others.mul_(own).sum(1, keepdim=True) - mean**2
            for sums, values in zip(found, (loss, mean, spread), strict=True):
                sums += self.part_of_mean(values, rows)
        return found

    def derivatives(self, logits):
        """Mean CE (B,), its gradient (B, K, r + 1), and the mean of diag(p) - p p' (B, K, K).

        The latter is the Laplacian of a graph with edges mean(p_k p_l): its diagonal needs no
        difference. It is float64, and so is the first.
        """
        n_problems, n_rows, rank = self.x.shape
        mean = torch.zeros(n_problems, dtype=torch.float64, device=self.x.device)
        gradient = self.x.new_zeros(n_problems, self.n_classes, rank + 1)
        edges = self.x.new_zeros(n_problems, self.n_classes, self.n_classes, dtype=torch.float64)
        for rows in row_slices(n_rows, SOFTMAX_ROWS):
            others, loss = self.softmax(logits[:, :, rows], rows)
            labels, share = self.labels[:, :, rows], self.share[:, :, rows]
            mean += self.part_of_mean(loss, rows)
            wrong = others.sum(1, keepdim=True)
            p = others.scatter(1, labels, 1 - wrong).mul_(share.sqrt())
            edges += p @ p.mT
            residual = others.scatter_(1, labels, -wrong).mul_(share)
            gradient[:, :, :-1].baddbmm_(residual, self.x[:, rows])
            gradient[:, :, -1] += residual.sum(2)
        edges.diagonal(dim1=1, dim2=2).zero_()
        return mean, gradient, torch.diag_embed(edges.sum(2)) - edges

    def hessian_is_due(self, n_steps):
        """Whether so many steps have cost as many multiplications as a Hessian and its root."""
        n_problems, rows, rank = self.x.shape
        size = self.n_classes * (rank + 1)
        if n_problems * size**2 > self.hessian_numbers:
            return False
        step = STEP_OVERHEAD + n_problems * (2 * rows * size + EIGENVECTORS * self.n_classes**3)
        return n_steps * step >= n_problems * (rows * size**2 / 2 + size**3 / 3)

    def hessian(self, logits, ridge):
        """The Hessian (B, K (r + 1), K (r + 1)), float64, its lower triangle, columns contiguous.

        Adding to all biases alike, which the logits do not notice, is given a curvature of its own.
        """
        n_problems, n_rows, rank = self.x.shape
        shape = self.n_classes, rank + 1
        size = self.n_classes * (rank + 1)
        columns = self.x.new_zeros(n_problems, size, size, dtype=torch.float64)
        within = columns.new_zeros(n_problems, size, rank + 1)
        for rows in row_slices(n_rows, HESSIAN_ROWS):
            others, _ = self.softmax(logits[:, :, rows].double(), rows)
            p = others.scatter_(1, self.labels[:, :, rows], 1 - others.sum(1, keepdim=True))
            x = torch.nn.functional.pad(self.x[:, rows].double(), (0, 1), value=1)
            share = self.share[:, :, rows].double().sqrt().mT
            seen = (p.mT[..., None] * (share * x)[:, :, None]).flatten(2)  # (B, rows, K (r + 1))
            within.baddbmm_(seen.mT, share * x)
            for part in row_slices(size, HESSIAN_COLUMNS):
                below = slice(part.start, None)
                columns[:, part, below].baddbmm_(seen[:, :, part].mT, seen[:, :, below], alpha=-1)
        by_class = columns.unflatten(2, shape).unflatten(1, shape)
        within = within.unflatten(1, shape) + torch.diag_embed(ridge.double())
        by_class.diagonal(dim1=1, dim2=3).add_(within.movedim(1, 3))
        by_class[:, :, -1, :, -1] += 1
        return columns.mT

    def probabilities(self, weights):
        """(slice of the rows, their probabilities (B, K, .) at float64 weights), block by block."""
        for rows in row_slices(self.x.shape[1], BLOCK_ROWS):
            logits = weights[:, :, :-1] @ self.x[:, rows].double().mT + weights[:, :, -1:]
            yield rows, torch.softmax(logits, 1)

    def with_exact_bias(self, weights):
        """Float64 weights (B, K, r + 1), the bias where its gradient is 0, by a step of Newton's.

        For rounding in float32 leaves the bias an error of 1e-7 about.
        """
        weights, shares = weights.double(), self.class_shares()
        seen, both = torch.zeros_like(shares), torch.zeros_like(weights @ weights.mT)
        for rows, p in self.probabilities(weights):
            shared = p * self.share[:, :, rows]
            seen += shared.sum(2)
            both += shared @ p.mT
        # A shift of all classes alike has no curvature of its own.
        hessian = torch.diag_embed(seen) - both + 1 / self.n_classes
        weights[:, :, -1] -= torch.linalg.solve(hessian, seen - shares)
        return weights

    def exact_gradient(self, weights, ridge):
        """The gradient (B, K, r + 1) of the objective at float64 weights, nothing in float32."""
        gradient = ridge * weights
        for rows, p in self.probabilities(weights):
            residual = p.scatter_add_(1, self.labels[:, :, rows], -torch.ones_like(p[:, :1]))
            residual *= self.share[:, :, rows]
            gradient[:, :, :-1] += residual @ self.x[:, rows].double()
            gradient[:, :, -1] += residual.sum(2)
        return gradient

    def in_raw_coordinates(self, place, weights):
        """The weight (d, K) and bias (K,) of one problem for raw features, float64, on the CPU."""
        given, basis = self.given[place], self.bases[place]
        own = weights[place].double().T
        weight = own.new_empty(len(basis), self.n_classes)
        for part, block in zip(weight.split(BLOCK_ROWS), basis.split(BLOCK_ROWS), strict=True):
            torch.mm(block.double(), own[: basis.shape[1]], out=part)
        weight = weight.cpu().mul_(torch.from_numpy(given.scale)[:, None])
        bias = own[-1].cpu() - torch.from_numpy(given.mean) @ weight
        return {"weight": weight, "bias": bias - bias.mean()}

    def in_own_coordinates(self, found):
        """The weights (B, K, r + 1) of what `in_raw_coordinates` gave, a problem each."""
        weights = self.start()
        for own, raw, given, basis in zip(weights, found, self.given, self.bases, strict=True):
            scale = torch.from_numpy(given.scale)[:, None]
            scaled = torch.where(scale > 0, raw["weight"] / scale, 0)
            own[:, : basis.shape[1]] = (basis.double().mT @ scaled.to(basis.device)).mT
            own[:, -1] = raw["bias"] + torch.from_numpy(given.mean) @ raw["weight"]
        return weights

    def gradient_norm(self, place, gradient):
        """2-norm of a problem's gradient in the coordinates of z-scored or raw features."""
        basis, own = self.bases[place], gradient[place].double().T
        square = own.square().sum()
        if not self.standardize:
            # Where the features are not centred, their mean passes on the bias's gradient.
            mean = torch.from_numpy(self.given[place].mean).to(own)
            parts = zip(mean.split(BLOCK_ROWS), basis.split(BLOCK_ROWS), strict=True)
            rotated = sum(part @ block.double() for part, block in parts)
            square += 2 * rotated @ own[: basis.shape[1]] @ own[-1]
            square += (mean @ mean) * (own[-1] @ own[-1])
        return square.sqrt().item()


def factors_of(factors, x):
    """A factor (B,) per problem, to multiply x (B, p, q) by."""
    return factors.to(x.dtype)[:, None, None]


def add_scaled(x, factors, y):
    """x (B, p, q), to which y times a factor (B,) per problem is added."""
    return x.addcmul_(factors_of(factors, x), y)
