"""Multinomial logistic regression along paths of C, for many training parts of the same features.

The objective is scikit-learn's, (1/n) sum CE + |W|^2 / (2 C n) over n training rows, the bias left
unpenalised. L-BFGS finds its minimum; three things make it arrive in tens of iterations, in float32
as well as in float64:

- The features are centred and rotated into the eigenbasis of their Gram matrix, which neither the
  logits nor the penalty notice. There the Hessian is nearly the Kronecker product of the features'
  spectrum and the classes' covariance, so that its inverse, renewed in every iteration, costs two
  small matrix products (cf. Martens and Grosse 2015, section 3).
- Logits are kept relative to the true class, whose residual is minus the sum of the others: a row
  that is fitted well leaves a small number, not the rounded difference of large ones.
- Logits are linear in the step, so the line search needs no product with the features.

Where that product is a poor guess, as for nearly collinear columns, and the Hessian is small enough
to be formed, its Cholesky root takes the product's place once the steps have cost as much as it
would: one step of Newton's method, then L-BFGS with this root, also at the next values of C.

Of all numbers a row and class only the logits and what a step changes them by are kept; what else
follows from them is formed block by block, so that it stays in the cache and needs no memory.

Where float32 is not enough all the same, as for a class that a huge C lets its rows separate while
the rounded residuals of the others hide the gradient that is left, float64 takes over.
"""

import ctypes
import platform
from dataclasses import dataclass

import numpy as np
import torch

from halfseen.devices import use_full_float32
from halfseen.representations import row_slices

BLOCK_ROWS = 256
# Rows whose probabilities are formed at once.
SOFTMAX_ROWS = 8192
# Pairs of steps and gradients that L-BFGS remembers.
HISTORY = 6
# Fits that a path's next start is extrapolated from.
POINTS = 3
MAX_TRIALS = 30
# What a step of L-BFGS costs beside its products, in multiplications, about: in all, and times the
# cube of the classes for the eigenvectors of their covariance.
STEP_OVERHEAD, EIGENVECTORS = 5e7, 100
# Numbers that the Hessians of problems side by side may have, 480 MB; how many times weaker a
# penalty their root is kept for; rows and columns that they are formed of at once.
HESSIAN_NUMBERS, FARTHEST = 6e7, 10
HESSIAN_ROWS, HESSIAN_COLUMNS = 1024, 1024
# Iterations without a new least decrease to be had after which float32 is given up; of fits that
# arrived none was seen to wait for more than 9.
PATIENCE = 30
# Below it a class covariance is noise; rounding of an objective, relative; and what a fit is taken
# to gain over the classes' shares, as a share of the objective, where it is less.
LEAST_COVARIANCE, ROUNDING, LEAST_GAIN = 1e-12, 1e-6, 1e-4


@dataclass(frozen=True)
class Fit:
    """A minimum: the logits of raw features (n, d) are `features @ weight + bias`.

    `problem` is the index of the training part, `cost` its C, `weight` (d, K) and `bias` (K,) are
    float64 on the CPU. `objective` is the minimum and `gradient_norm` the 2-norm of the gradient
    by weights and bias, both in the coordinates that were penalised: z-scored or raw features.
    """

    problem: int
    cost: float
    weight: torch.Tensor
    bias: torch.Tensor
    objective: float
    gradient_norm: float
    n_iterations: int


def fit_paths(
    features,
    labels,
    trains,
    costs,
    n_classes,
    *,
    standardize=True,
    tolerance=1e-10,
    max_iterations=2000,
    dtype="float32",
    memory_mb=None,
    device="cpu",
    names=None,
):
    """Yield the `Fit` of every training part and C, those of one part with C increasing.

    `features` (n, d), `labels` (n,) in 0 to `n_classes` - 1, `trains` (B, n): which rows each
    problem is fitted on, `costs` (m,) or (B, m): the values of C, increasing. `standardize`
    z-scores with the mean and standard deviation of the training rows; a column that is constant
    there gets no weight. A fit starts where those before it point to and ends once the decrease of
    the objective still to be had, g' H^-1 g / 2 in the metric of L-BFGS, is at most `tolerance`
    times the objective, or times what it has gained over a fit without features where that is less:
    at 1e-10 no more than 1 prediction in 1000 is another than at the minimum, up to C = 1e6 for
    features of variance 1, and in float64 up to 1e8.

    As many problems run side by side as `memory_mb` holds beside the features; None: one. Where
    float32 gets no further, the rest of their paths is fitted one by one in float64. Two classes
    have two columns of weights still, which at C are scikit-learn's single column at 2 C.

    Raises ValueError for features that are not finite, labels that are no class, a training part
    without a class and a fit that has not converged after `max_iterations`; the latter two begin
    with the problem's entry in `names`.
    """
    labels, trains = np.asarray(labels), np.asarray(trains, dtype=bool)
    names = [f"problem {problem}" for problem in range(len(trains))] if names is None else names
    costs = np.asarray(costs, dtype=float)
    _check_costs(costs)
    costs = np.broadcast_to(costs, (len(trains), costs.shape[-1])).copy()
    _check_features(features)
    _check_labels(labels, len(features), n_classes)
    _check_trains(labels, trains, n_classes, names)
    if torch.device(device).type == "cuda":
        use_full_float32()
    given = features, labels, trains, costs, n_classes, standardize
    paths = _Paths(*given, tolerance, max_iterations, device, names)
    dtype = getattr(torch, dtype)
    for batch in _batches(trains, features.shape[1], n_classes, dtype, memory_mb):
        yield from paths.fits(batch, dtype)


def logits(features, fit):
    """Logits (n, K) of raw features (n, d), float64, in blocks of rows."""
    out = np.empty((len(features), len(fit.bias)))
    for rows in row_slices(len(out), BLOCK_ROWS):
        out[rows] = features[rows].astype(np.float64) @ fit.weight.numpy() + fit.bias.numpy()
    return out


def _check_features(features):
    """Raise ValueError with the number of rows that are not finite."""
    blocks = row_slices(len(features), BLOCK_ROWS)
    bad = sum(int((~np.isfinite(features[rows])).any(axis=1).sum()) for rows in blocks)
    if bad:
        raise ValueError(f"{bad} rows of the features are not finite")


def _check_labels(labels, n, n_classes):
    """Raise ValueError unless there is one label a row, each an integer below `n_classes`."""
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{n} rows of features need {n} integer labels; "
            f"these are {labels.dtype} of shape {labels.shape}"
        )
    outside = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(outside):
        raise ValueError(
            f"label {labels[outside[0]]} of row {outside[0]} is none of the {n_classes} classes "
            f"0 to {n_classes - 1}"
        )


def _check_trains(labels, trains, n_classes, names):
    """Raise ValueError that names the problem, and the class its training rows lack or all show."""
    if trains.shape[1:] != labels.shape:
        raise ValueError(f"training parts of shape {trains.shape} do not fit {len(labels)} rows")
    for name, train in zip(names, trains, strict=True):
        counts = np.bincount(labels[train], minlength=n_classes)
        if (counts > 0).sum() == 1:
            raise ValueError(f"{name}: all training rows are of class {counts.argmax()}")
        if not counts.all():
            raise ValueError(
                f"{name}: no training row is of class {counts.argmin()} of {n_classes}; "
                "use fewer folds, or leave the class out"
            )


def _check_costs(costs):
    """Raise ValueError unless the values of C are positive, finite and increasing."""
    if not (np.isfinite(costs).all() and (costs > 0).all() and (np.diff(costs) > 0).all()):
        raise ValueError(f"C must be positive and increasing, not {costs.tolist()}")


def _batches(trains, d, n_classes, dtype, memory_mb):
    """Indices of the problems that run side by side, in batches of equal size.

    As many as fit into the memory, and no more than may have Hessians where one alone may.
    """
    rows = int(trains.sum(axis=1).max())
    rank = min(rows, d)
    # Rotated features, logits, probabilities and their like, weights and the history of L-BFGS;
    # the basis.
    logits = 2 * rows + 6 * min(rows, SOFTMAX_ROWS)
    numbers = rank * rows + n_classes * (logits + (2 * HISTORY + 20) * rank)
    each = numbers * dtype.itemsize + 8 * d * rank
    # What the bases are computed with, one after the other: eigh's workspace, QR's copies.
    setup = 8 * (4 * rank**2 + (3 * rows * d if d > rows else 0))
    free = 0 if memory_mb is None else memory_mb * 1e6 - setup
    at_once = max(1, int(free // each))
    size = n_classes * (rank + 1)
    if size**2 <= HESSIAN_NUMBERS:
        at_once = min(at_once, int(HESSIAN_NUMBERS // size**2))
    return np.array_split(np.arange(len(trains)), -(-len(trains) // at_once))


@dataclass(frozen=True)
class _Paths:
    """What `fit_paths` was asked for; `costs` (B, m)."""

    features: np.ndarray
    labels: np.ndarray
    trains: np.ndarray
    costs: np.ndarray
    n_classes: int
    standardize: bool
    tolerance: float
    max_iterations: int
    device: object
    names: list

    def fits(self, batch, dtype, first=0):
        """Yield the fits of the problems of a batch side by side, from the C at `first` on."""
        problems = _Problems(
            self.features, self.labels, self.trains[batch], self.n_classes, self.standardize,
            dtype, self.device,
        )  # fmt: skip
        path = _Path(problems, self.tolerance, self.max_iterations)
        for column in range(first, self.costs.shape[1]):
            costs = self.costs[batch, column]
            minimum = path.minimum(torch.from_numpy(costs).to(self.device))
            if minimum.stalled:
                del path, problems  # float64 takes their place
                for problem in batch:
                    yield from self.fits([problem], torch.float64, column)
                return
            for place, problem in enumerate(batch):
                if not minimum.converged[place]:
                    raise ValueError(
                        f"{self.names[problem]}, C = {costs[place]:g}: the fit has not converged "
                        f"after {self.max_iterations} iterations; raise max_iterations"
                    )
                yield Fit(
                    problem=int(problem),
                    cost=float(costs[place]),
                    **problems.in_raw_coordinates(place, minimum.weights),
                    objective=minimum.objective[place].item(),
                    gradient_norm=problems.gradient_norm(place, minimum.gradient),
                    n_iterations=int(minimum.n_iterations[place]),
                )


@dataclass
class _Standardization:
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


def _eigenbasis(standardization, dtype, device):
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


def _release_freed_memory():
    """Hand what was needed back to the kernel; glibc keeps it, as much as the features at times."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


class _Problems:
    """Problems side by side: x (B, rows, r) rotated, weights (B, K, r + 1) with the bias last.

    Problems with fewer rows or directions than others are padded with zeros. Classes come first,
    in weights and in logits (B, K, rows), since both products with x are a fifth faster so.
    """

    def __init__(self, features, labels, trains, n_classes, standardize, dtype, device):
        self.n_classes, self.standardize = n_classes, standardize
        self.given = [
            _Standardization(features, np.flatnonzero(train), standardize) for train in trains
        ]
        self.counts = torch.tensor([len(given.rows) for given in self.given], device=device)
        rows = int(self.counts.max())
        shape = len(trains), rows, min(rows, features.shape[1])
        self.bases = [_eigenbasis(given, dtype, device) for given in self.given]
        _release_freed_memory()
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
        _release_freed_memory()
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
            moved = _add_scaled(logits[:, :, rows].clone(), size, own)
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
        if n_problems * size**2 > HESSIAN_NUMBERS:
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


@dataclass(frozen=True)
class _Point:
    """Weights (B, K, r + 1) and what L-BFGS asks of them.

    `logits` are relative, `loss` the mean CE, to which the penalty is added in `objective` and in
    its `gradient`; `covariance` is that of the classes.
    """

    weights: torch.Tensor
    logits: torch.Tensor
    loss: torch.Tensor
    objective: torch.Tensor
    gradient: torch.Tensor
    covariance: torch.Tensor

    @classmethod
    def of(cls, problems, ridge, weights, logits):
        """The point at `weights` whose logits are known."""
        loss, gradient, covariance = problems.derivatives(logits)
        penalty = ridge * weights
        objective = loss + _dot(penalty, weights) / 2
        return cls(weights, logits, loss, objective, gradient.add_(penalty), covariance)


@dataclass(frozen=True)
class _Minimum:
    """Where a path got to, which problems' minimum it is, and whether float32 was the limit."""

    weights: torch.Tensor
    objective: torch.Tensor
    gradient: torch.Tensor
    converged: torch.Tensor
    stalled: bool
    n_iterations: torch.Tensor


class _Path:
    """The minima of problems side by side, for one C (B,) after the other.

    A fit starts at the one before, and its first step is where the last ones point to. What L-BFGS
    has learnt about the Hessian is kept; of it only the part of the penalty changes with C.
    """

    def __init__(self, problems, tolerance, max_iterations):
        self.problems, self.weights, self.ridge = problems, problems.start(), 0
        self.tolerance, self.max_iterations = tolerance, max_iterations
        self.without_features = torch.special.entr(problems.class_shares()).sum(1)
        self.memory, self.known = _Memory(self.weights), []
        self.root, self.n_steps = None, 0

    def minimum(self, costs):
        """The `_Minimum` at the next C, or how far float32 or `max_iterations` got."""
        _release_freed_memory()
        problems, ridge = self.problems, self.problems.ridge(costs)
        self.memory.add_ridge(ridge - self.ridge)
        hint = _forecast(self.known, costs.log()) - self.weights if self.known else None
        logits = problems.relative_logits(self.weights)
        point = _Point.of(problems, ridge, self.weights, logits)
        n_iterations = torch.zeros(len(costs), dtype=torch.long, device=costs.device)
        converged = torch.zeros_like(n_iterations, dtype=torch.bool)
        least, waited = torch.full_like(costs, np.inf), torch.zeros_like(n_iterations)
        for iteration in range(self.max_iterations + 1):
            curvature = self.curvature(point, ridge)
            step = self.memory.times_inverse_hessian(point.gradient, curvature).neg_()
            if hint is not None:
                step = torch.where((_dot(point.gradient, hint) < 0)[:, None, None], hint, step)
                hint = None
            slope = _dot(point.gradient, step)
            share = slope.abs() / 2 / self.scale(point)
            # A first step calibrates the Hessian, whose scale is a guess before.
            converged |= (share <= self.tolerance) & (n_iterations > 0)
            waited = torch.where((share < least) | converged, 0, waited + 1)
            least = torch.minimum(share, least)
            stalled = step.dtype == torch.float32 and bool((waited > PATIENCE).any())
            if converged.all() or stalled or iteration == self.max_iterations:
                break
            step[converged] = 0
            gradient = point.gradient
            step, point = _along(problems, ridge, point, step, slope, converged)
            self.memory.add(step, point.gradient - gradient)
            n_iterations += ~converged
        self.weights, self.ridge = point.weights, ridge
        self.known = [*self.known[1 - POINTS :], (costs.log(), point.weights)]
        _release_freed_memory()
        reached = point.weights, point.objective, point.gradient
        return _Minimum(*reached, converged, stalled, n_iterations)

    def curvature(self, point, ridge):
        """The Hessian that L-BFGS starts from: the root of a true one near by, or the product."""
        self.n_steps += 1
        far = self.root is not None and self.root.is_far(ridge)
        if far or self.problems.hessian_is_due(self.n_steps):
            self.root, self.n_steps = None, 0
            root = _Root(self.problems.hessian(point.logits, ridge), ridge)
            if root.definite:
                self.root = root
                self.memory.forget()
        return self.root or _Curvature(self.problems, point.covariance, ridge)

    def scale(self, point):
        """What `tolerance` is a share of, (B,): the objective, or the gain where that is less.

        The gain is at least the penalty, by convexity; without the rounding of a difference.
        """
        gain = torch.maximum(self.without_features - point.objective, point.objective - point.loss)
        return torch.minimum(point.objective, torch.maximum(gain, LEAST_GAIN * point.objective))


def _forecast(known, log_cost):
    """Weights to expect at log C (B,), by the polynomial in log C through those `known`.

    Through fewer, the last, where C is spaced so unevenly that their errors would be magnified by
    more than the 7 times of three evenly spaced ones.
    """
    for points in (known[first:] for first in range(len(known))):
        gaps = torch.stack([log for log, _ in points], dim=1) - log_cost[:, None]
        powers = gaps[:, None] ** torch.arange(len(points), device=gaps.device)[:, None]
        factors = torch.linalg.solve(powers, torch.eye(len(points)).to(gaps)[:, 0])
        if factors.abs().sum(1).max() < 7.01:
            break
    terms = ((_factors(factors[:, place], w), w) for place, (_, w) in enumerate(points))
    return sum(factor * weights for factor, weights in terms)


def _along(problems, ridge, point, step, slope, settled):
    """The step times the size that lowers the objective and at least halves its slope; its end.

    Newton's method in one dimension, within the bracket that convexity gives. The logits of the
    point that is left become those of the end.
    """
    change = problems.relative_logits(step)
    tilt, bend = _dot(ridge * point.weights, step), _dot(ridge * step, step)
    size, low, high = (
        torch.ones_like(slope),
        torch.zeros_like(slope),
        torch.full_like(slope, np.inf),
    )
    for trial in range(MAX_TRIALS):
        loss, rise, second = problems.along(point.logits, change, size)
        rise += tilt + size * bend
        second += bend
        gain = point.loss - loss - size * (tilt + size * bend / 2)
        fine = (rise.abs() <= slope.abs() / 2) & (gain >= -ROUNDING * point.objective) | settled
        if fine.all() or trial == MAX_TRIALS - 1:
            break
        low, high = torch.where(rise < 0, size, low), torch.where(rise < 0, high, size)
        newton = size - rise / second
        middle = torch.where(high.isinf(), 2 * size, (low + high) / 2)
        inside = (newton > low) & (newton < high) & (newton < 4 * size)
        size = torch.where(fine, size, torch.where(inside, newton, middle))
    step = step * _factors(size, step)
    logits = _add_scaled(point.logits, size, change)
    del change
    return step, _Point.of(problems, ridge, point.weights + step, logits)


class _Curvature:
    """The Hessian as Kronecker product, class covariance x spectrum + ridge, ready to be inverted.

    A shift of all classes alike, which the logits do not notice, is left out.
    """

    def __init__(self, problems, covariance, ridge):
        values, vectors = torch.linalg.eigh(covariance)
        self.vectors = vectors.to(ridge.dtype)
        values = values.clamp_min(LEAST_COVARIANCE).to(ridge.dtype)
        self.inverse = (values[:, :, None] * problems.spectrum).add_(ridge).reciprocal_()
        self.inverse[:, 0] = 0

    def solve(self, gradient):
        """The inverse times a gradient (B, K, r + 1)."""
        return self.vectors @ (self.vectors.mT @ gradient).mul_(self.inverse)


class _Root:
    """A Hessian as its Cholesky root, the lower triangle that it is overwritten with.

    `ridge` (B, 1, r + 1) is the penalty in it; not `definite`, by rounding, it is of no use.
    """

    def __init__(self, hessian, ridge):
        self.root, self.ridge = hessian, ridge
        failed = torch.empty(len(hessian), dtype=torch.int32, device=hessian.device)
        torch.linalg.cholesky_ex(hessian, out=(hessian, failed))
        self.definite = not failed.any()

    def is_far(self, ridge):
        """Whether a penalty is much weaker than the one in it."""
        return bool((self.ridge > FARTHEST * ridge).any())

    def solve(self, gradient):
        """The inverse times a gradient (B, K, r + 1)."""
        # Not by cholesky_solve, which takes ten times as long for one right-hand side.
        half = torch.linalg.solve_triangular(
            self.root, gradient.double().flatten(1)[..., None], upper=False
        )
        whole = torch.linalg.solve_triangular(self.root.mT, half, upper=True)
        return whole.reshape(gradient.shape).to(gradient.dtype)


class _Memory:
    """The last steps and what they changed the gradient by, each (B, K, r + 1).

    Nocedal and Wright 2006, algorithm 7.4, with a Hessian to start from.
    """

    def __init__(self, weights):
        self.steps, self.changes = (weights.new_empty(HISTORY, *weights.shape) for _ in range(2))
        self.products = weights.new_empty(HISTORY, len(weights), dtype=torch.float64)
        self.order = []  # places, the oldest first

    def add(self, step, change):
        """Remember one more, in the place of the oldest once there are `HISTORY`."""
        full = len(self.order) == HISTORY
        place = self.order.pop(0) if full else len(self.order)
        self.steps[place], self.changes[place] = step, change
        self.products[place] = _dot(step, change)
        self.order.append(place)

    def forget(self):
        """Leave all of them out from here on."""
        self.order = []

    def add_ridge(self, ridge):
        """What the changes had been under a penalty that is greater by `ridge`."""
        for place in self.order:
            self.changes[place] += ridge * self.steps[place]
            self.products[place] = _dot(self.steps[place], self.changes[place])

    def times_inverse_hessian(self, gradient, curvature):
        """L-BFGS's inverse Hessian times a gradient."""
        out, sizes = gradient.clone(), {}
        # 0 leaves a pair out: of a problem that has converged, or where rounding hides the change.
        weights = torch.where(self.products > 0, 1 / self.products, 0)
        for place in reversed(self.order):
            sizes[place] = weights[place] * _dot(self.steps[place], out)
            _add_scaled(out, -sizes[place], self.changes[place])
        out = curvature.solve(out)
        if self.order:
            # The scale that makes the guess right along the last step.
            last = self.changes[self.order[-1]]
            scale = self.products[self.order[-1]] / _dot(last, curvature.solve(last))
            out *= _factors(torch.where(scale > 0, scale, 1), out)
        for place in self.order:
            size = sizes[place] - weights[place] * _dot(self.changes[place], out)
            _add_scaled(out, size, self.steps[place])
        return out


def _dot(x, y):
    """Inner products (B,) of two (B, K, r + 1), float64."""
    return torch.linalg.vecdot(x.flatten(1), y.flatten(1)).double()


def _factors(factors, x):
    """A factor (B,) per problem, to multiply x (B, p, q) by."""
    return factors.to(x.dtype)[:, None, None]


def _add_scaled(x, factors, y):
    """x (B, p, q), to which y times a factor (B,) per problem is added."""
    return x.addcmul_(_factors(factors, x), y)
