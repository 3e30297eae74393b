"""The minima of logistic regressions along paths of C: L-BFGS and its guesses of the Hessian."""

from dataclasses import dataclass

import numpy as np
import torch

from halfseen.devices import release_freed_memory
from halfseen.logistic_problems import add_scaled, factors_of

# Pairs of steps and gradients that L-BFGS remembers.
HISTORY = 6
# Fits that a path's next start is extrapolated from.
POINTS = 3
MAX_TRIALS = 30
# Steps of a fit that any may take; those beyond count towards a Hessian. How many times weaker a
# penalty its root is kept for.
FEW, FARTHEST = 20, 10
# Iterations without a new least decrease to be had after which float32 is given up; of fits that
# arrived none was seen to wait for more than 9.
PATIENCE = 30
# Below it a class covariance is noise; rounding of an objective, relative; and what a fit is taken
# to gain over the classes' shares, as a share of the objective, where it is less. Below the last
# one, what the features say is near the rounding of the bias.
LEAST_COVARIANCE, ROUNDING, LEAST_GAIN, SMALL_GAIN = 1e-12, 1e-6, 1e-4, 1e-2


@dataclass(frozen=True)
class Point:
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
class Minimum:
    """Where a path got to, which problems' minimum it is, and whether float32 was the limit."""

    weights: torch.Tensor
    objective: torch.Tensor
    gradient: torch.Tensor
    converged: torch.Tensor
    stalled: bool
    n_iterations: torch.Tensor


class CostPath:
    """The minima of problems side by side, for one C (B,) after the other.

    A fit starts at the one before, and its first step is where the last ones point to. What L-BFGS
    has learnt about the Hessian is kept; of it only the part of the penalty changes with C.
    """

    def __init__(self, problems, tolerance, max_iterations):
        self.problems, self.weights, self.ridge = problems, problems.start(), 0
        self.tolerance, self.max_iterations = tolerance, max_iterations
        self.without_features = torch.special.entr(problems.class_shares()).sum(1)
        self.memory, self.known = Memory(self.weights), []
        self.root, self.n_steps = None, 0

    def minimum(self, costs):
        """The `Minimum` at the next C, or how far float32 or `max_iterations` got."""
        release_freed_memory()
        problems, ridge = self.problems, self.problems.ridge(costs)
        self.memory.add_ridge(ridge - self.ridge)
        hint = _forecast(self.known, costs.log()) - self.weights if self.known else None
        logits = problems.relative_logits(self.weights)
        point = Point.of(problems, ridge, self.weights, logits)
        n_iterations = torch.zeros(len(costs), dtype=torch.long, device=costs.device)
        converged = torch.zeros_like(n_iterations, dtype=torch.bool)
        least, waited = torch.full_like(costs, np.inf), torch.zeros_like(n_iterations)
        for iteration in range(self.max_iterations + 1):
            self.n_steps += iteration > FEW
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
        weights, gradient = point.weights, point.gradient
        if (self.gain(point) < SMALL_GAIN * point.objective).any():
            weights = problems.with_exact_bias(weights)
            gradient = problems.exact_gradient(weights, ridge)
        release_freed_memory()
        reached = weights, point.objective, gradient
        return Minimum(*reached, converged, stalled, n_iterations)

    def curvature(self, point, ridge):
        """The Hessian that L-BFGS starts from: the root of a true one near by, or the product."""
        far = self.root is not None and self.root.is_far(ridge)
        if far or self.problems.hessian_is_due(self.n_steps):
            self.root, self.n_steps = None, 0
            root = HessianRoot(self.problems.hessian(point.logits, ridge), ridge)
            if root.definite:
                self.root = root
                self.memory.forget()
        return self.root or KroneckerHessian(self.problems, point.covariance, ridge)

    def scale(self, point):
        """What `tolerance` is a share of, (B,): the objective, or the gain where that is less."""
        gain = torch.maximum(self.gain(point), LEAST_GAIN * point.objective)
        return torch.minimum(point.objective, gain)

    def gain(self, point):
        """By how much the objective is below that of a fit without features, (B,).

        At least by the penalty, by convexity; that is without the rounding of a difference.
        """
        return torch.maximum(self.without_features - point.objective, point.objective - point.loss)


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
    terms = ((factors_of(factors[:, place], w), w) for place, (_, w) in enumerate(points))
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
    step = step * factors_of(size, step)
    logits = add_scaled(point.logits, size, change)
    del change
    return step, Point.of(problems, ridge, point.weights + step, logits)


class KroneckerHessian:
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


class HessianRoot:
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


class Memory:
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
            add_scaled(out, -sizes[place], self.changes[place])
        out = curvature.solve(out)
        if self.order:
            # The scale that makes the guess right along the last step.
            last = self.changes[self.order[-1]]
            scale = self.products[self.order[-1]] / _dot(last, curvature.solve(last))
            out *= factors_of(torch.where(scale > 0, scale, 1), out)
        for place in self.order:
            size = sizes[place] - weights[place] * _dot(self.changes[place], out)
            add_scaled(out, size, self.steps[place])
        return out


def _dot(x, y):
    """Inner products (B,) of two (B, K, r + 1), float64."""
    return torch.linalg.vecdot(x.flatten(1), y.flatten(1)).double()
