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
to be formed, its Cholesky root takes the product's place once the steps of long fits have cost as
much as it would: one step of Newton's method, then L-BFGS with this root, also at the next values
of C.

Where float32 is not enough all the same, as for a class that a huge C lets its rows separate while
the rounded residuals of the others hide the gradient that is left, float64 takes over.
"""

from dataclasses import dataclass

import numpy as np
import torch

from halfseen.devices import use_full_float32
from halfseen.logistic_path import HISTORY, CostPath
from halfseen.logistic_problems import BLOCK_ROWS, SOFTMAX_ROWS, Problems, hessian_numbers
from halfseen.representations import row_slices


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
    times the objective, or times what it has gained over a fit without features, or 1e-4 of the
    objective where that is more: at 1e-10 no more than 1 prediction in 1000 is another than at the
    minimum, up to C = 1e6 for features of variance 1, and in float64 up to 1e8. Small features and
    a small C may gain far less; then the bias ends exactly where its own gradient is 0.

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
    paths = _Paths(*given, tolerance, max_iterations, device, memory_mb, names)
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

    As many as fit into the memory, beside their Hessians where that of one alone may be formed.
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
    hessian, most = (n_classes * (rank + 1)) ** 2, hessian_numbers(memory_mb)
    at_once = free // each
    if hessian <= most:
        at_once = min((free - 8 * most) // each, most // hessian)
    at_once = max(1, int(at_once))
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
    memory_mb: float | None
    names: list

    def fits(self, batch, dtype, first=0, reached=None):
        """Yield the fits of the problems of a batch side by side, from the C at `first` on.

        `reached`: weights and biases for raw features to begin with, one of each a problem.
        """
        problems = Problems(
            self.features, self.labels, self.trains[batch], self.n_classes, self.standardize,
            dtype, self.device, self.memory_mb,
        )  # fmt: skip
        path = CostPath(problems, self.tolerance, self.max_iterations)
        if reached:
            path.weights = problems.in_own_coordinates(reached)
        for column in range(first, self.costs.shape[1]):
            costs = self.costs[batch, column]
            minimum = path.minimum(torch.from_numpy(costs).to(self.device))
            if minimum.stalled:
                reached = [
                    problems.in_raw_coordinates(place, minimum.weights)
                    for place in range(len(batch))
                ]
                del path, problems  # float64 takes their place
                for problem, start in zip(batch, reached, strict=True):
                    yield from self.fits([problem], torch.float64, column, [start])
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
