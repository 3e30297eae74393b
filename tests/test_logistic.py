import warnings
from functools import cache, partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from halfseen import logistic, logistic_path, logistic_problems
from halfseen.logistic import fit_paths, logits
from halfseen.logistic_path import HessianRoot, Point
from halfseen.logistic_problems import Problems

CLASSES = 4
COSTS = [1e-6, 1e-3, 1.0, 30.0, 1e5]


@pytest.fixture
def rng():
    return np.random.default_rng(2)


def drawn(n, d, shares, rng):
    """Features (n, d) of overlapping classes, their offsets and scales unlike; labels (n,)."""
    shares = np.array(shares)
    labels = np.append(np.arange(len(shares)), rng.choice(len(shares), n - len(shares), p=shares))
    return features_of(labels, d, rng), labels


def features_of(labels, d, rng):
    centres = np.random.default_rng(0).normal(size=(labels.max() + 1, d))
    features = 0.6 * centres[labels] + rng.normal(size=(len(labels), d)) * np.linspace(0.5, 2, d)
    return features + np.linspace(-3, 3, d)


def tall(rng):
    """More rows than columns. Each case: features, labels and how many rows, the first, to fit."""
    return *drawn(1500, 10, [0.25] * 4, rng), 300


def wide(rng):
    return *drawn(1500, 120, [0.25] * 4, rng), 80


def imbalanced(rng):
    return *drawn(1500, 10, [0.9, 0.06, 0.03, 0.01], rng), 300


def collinear(rng):
    """Two columns are sums of others, one repeats another, two are constant."""
    x, labels = drawn(1500, 10, [0.25] * 4, rng)
    sums = x[:, :1] + x[:, 1:2], x[:, 2:3] - 3 * x[:, 3:4]
    same = x[:, 4:5], np.full((1500, 1), 0.1), np.zeros((1500, 1))
    return np.hstack([x, *sums, *same]), labels, 300


def trained_on(n, n_train):
    """One training part, the first `n_train` of n rows."""
    return np.arange(n)[None] < n_train


def z_scored(features, train):
    """Features in the coordinates of the fit, what they were divided by, and their means."""
    mean, scale = features[train].mean(0), features[train].std(0)
    scale = np.where(scale < 1e-12, 1, scale)
    return (features - mean) / scale, scale, mean


def objective_and_gradient(x, labels, weight, bias, cost):
    """Mean CE plus penalty and the 2-norm of its gradient, by automatic differentiation."""
    weight, bias = (torch.tensor(np.array(v), requires_grad=True) for v in (weight, bias))
    scores = torch.from_numpy(x) @ weight + bias
    loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(labels))
    loss = loss + (weight**2).sum() / (2 * cost * len(x))
    loss.backward()
    return loss.item(), torch.cat([weight.grad, bias.grad[None]]).norm().item()


def fits_of(features, labels, trains, costs=COSTS, n_classes=CLASSES, **options):
    """{(problem, C): fit}."""
    fits = fit_paths(features, labels, trains, costs, n_classes, **options)
    return {(fit.problem, fit.cost): fit for fit in fits}


def require_same(one, other, features, rel=1e-6):
    """The same keys, objectives within `rel`, and predictions equal on 99.9 % of the rows."""
    assert one.keys() == other.keys()
    for key in one:
        assert one[key].objective == pytest.approx(other[key].objective, rel=rel, abs=0)
        pair = [logits(features, fits[key]).argmax(1) for fits in (one, other)]
        assert (pair[0] == pair[1]).mean() >= 0.999


# Against scikit-learn


@pytest.fixture(scope="module")
def oracle():
    """A function of a case, z-scored or raw, and C: scikit-learn's objective and its predictions.

    By Newton's method, asked once. Its L-BFGS with the same tol=1e-12 stops a share of up to 4e-5
    above the minimum here. How far an answer may be from it is checked: the penalty bends the
    objective by 1 / (C n) at least.
    """

    @cache
    def answer(draw, standardize, cost):
        features, labels, n_train = draw(np.random.default_rng(2))
        x = z_scored(features, slice(n_train))[0] if standardize else features
        train = x[:n_train], labels[:n_train]
        probe = LogisticRegression(C=cost, tol=1e-12, max_iter=3000, solver="newton-cholesky")
        probe.fit(*train)
        found = objective_and_gradient(*train, probe.coef_.T, probe.intercept_, cost)
        objective, gradient_norm = found
        assert gradient_norm**2 * cost * n_train / 2 <= 1e-6 * objective
        return objective, probe.predict(x)

    return answer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("factor", [1e-3, 1, 1e3])
@pytest.mark.parametrize("standardize", [True, False], ids=["z-scored", "raw"])
@pytest.mark.parametrize("draw", [tall, wide, imbalanced, collinear])
def test_agrees_with_scikit_learn_along_the_path(draw, standardize, factor, dtype, oracle):
    features, labels, n_train = draw(np.random.default_rng(2))
    features = factor * features
    train = np.arange(len(labels)) < n_train
    # On features 1000 times as large, C does what a million times C does: at C = 1e11 objectives
    # are 5e-12, which scikit-learn's tolerance takes for 0, and past 1e6 float32 sees too little.
    stretch = 1 if standardize else factor**2
    costs = [cost for cost in COSTS if cost * stretch < {"float32": 1e7, "float64": 1e8}[dtype]]
    fits = fits_of(features, labels, train[None], costs, standardize=standardize, dtype=dtype)
    x, scale, mean = z_scored(features, train) if standardize else (features, 1, 0)
    for (_, cost), fit in fits.items():
        best, predicted = oracle(draw, standardize, cost * stretch)
        weight = fit.weight.numpy() * np.reshape(scale, (-1, 1))
        bias = fit.bias.numpy() + mean * np.ones(features.shape[1]) @ fit.weight.numpy()
        found, _ = objective_and_gradient(x[train], labels[train], weight, bias, cost)
        assert found == pytest.approx(best, rel=1e-6, abs=0)
        assert fit.objective == pytest.approx(best, rel=1e-6, abs=0)
        assert (logits(features, fit).argmax(1) == predicted).mean() >= 0.999


@pytest.mark.parametrize("factor", [1e-3, 0.03, 1])
def test_small_features_tell_classes_of_the_same_size_apart(factor, rng):
    # Nothing else does where C is small, so that rounding of the bias must not outweigh them.
    labels = np.arange(1600) % 20
    features = features_of(labels, 16, rng)
    features -= features.mean(0)
    train, costs = trained_on(1600, 800), [1e-6, 1e-4, 1e-2]
    for fit in fit_paths(factor * features, labels, train, costs, 20, standardize=False):
        same = LogisticRegression(C=fit.cost * factor**2, tol=1e-12, solver="newton-cholesky")
        predicted = same.fit(features[:800], labels[:800]).predict(features)
        assert (logits(factor * features, fit).argmax(1) == predicted).mean() >= 0.999


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_two_classes_agree_with_scikit_learn_at_twice_the_c(dtype, rng):
    features, labels = drawn(400, 6, [0.7, 0.3], rng)
    (fit,) = fit_paths(features, labels, trained_on(400, 400), [0.1], 2, dtype=dtype)
    x, scale, mean = z_scored(features, slice(None))
    probe = LogisticRegression(C=0.2, tol=1e-12, max_iter=3000).fit(x, labels)
    assert logits(features, fit) @ [-1, 1] == pytest.approx(probe.decision_function(x), abs=1e-3)
    weight = fit.weight.numpy() * scale[:, None]
    assert weight @ [-1, 1] == pytest.approx(probe.coef_[0], abs=1e-3)
    assert weight.sum(1) == pytest.approx(np.zeros(6), abs=1e-6)


# What is known without a solver


@pytest.mark.parametrize("standardize", [True, False])
def test_without_information_the_probabilities_are_the_shares_of_the_classes(standardize):
    labels = np.repeat([0, 1, 2], [1, 2, 5])
    features = np.full((8, 4), 0.1)
    for fit in fit_paths(
        features, labels, trained_on(8, 8), [1e-3, 1.0, 1e3], 3, standardize=standardize
    ):
        shares = np.array([1, 2, 5]) / 8
        assert fit.objective == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-6)
        assert not fit.weight.any()
        assert torch.softmax(fit.bias, 0).numpy() == pytest.approx(shares, rel=1e-6)


def test_two_points_by_hand():
    # x = -1 and 1, weights (-w, w): CE = log(1 + exp(-2 w)), penalty 2 w^2 / (2 C 2); the slope
    # vanishes where 2 / (1 + exp(2 w)) = w / C, for w = 1 at C = (1 + e^2) / 2.
    features, labels = np.array([[-1.0], [1.0]]), np.array([0, 1])
    given = features, labels, trained_on(2, 2), [(1 + np.e**2) / 2], 2
    (fit,) = fit_paths(*given, dtype="float64", tolerance=1e-14)
    assert fit.weight.numpy() == pytest.approx(np.array([[-1, 1]]), rel=1e-6)
    assert fit.bias.numpy() == pytest.approx(np.zeros(2), abs=1e-9)
    expected = np.log(1 + np.exp(-2)) + 1 / (1 + np.e**2)
    assert fit.objective == pytest.approx(expected, rel=1e-12)


def test_every_row_twice_at_half_the_c_is_the_same_fit(rng):
    features, labels, n = tall(rng)
    once = fits_of(features[:n], labels[:n], trained_on(n, n), [1.0], tolerance=1e-12)[0, 1.0]
    double = np.tile(features[:n], (2, 1)), np.tile(labels[:n], 2), trained_on(2 * n, 2 * n)
    twice = fits_of(*double, [0.5], tolerance=1e-12)[0, 0.5]
    assert twice.weight.numpy() == pytest.approx(once.weight.numpy(), rel=1e-3, abs=1e-4)
    assert twice.objective == pytest.approx(once.objective, rel=1e-6)


def test_z_scored_fits_ignore_the_scale_and_shift_of_every_column_and_raw_ones_do_not(rng):
    features, labels, n = tall(rng)
    moved = features * 10.0 ** rng.integers(-3, 4, 10) + rng.normal(size=10)
    train = trained_on(1500, n)
    for standardize in (True, False):
        one = fits_of(features, labels, train, [0.01], standardize=standardize)[0, 0.01]
        other = fits_of(moved, labels, train, [0.01], standardize=standardize)[0, 0.01]
        same = logits(moved, other) == pytest.approx(logits(features, one), abs=1e-3)
        assert same == standardize


@pytest.mark.parametrize("standardize", [True, False])
def test_a_column_that_is_constant_in_training_has_no_say_elsewhere(standardize, rng):
    features, labels, n = tall(rng)
    train = trained_on(1500, n)
    for value in (0.1, 0.0, 1e6):
        column = np.where(train[0], value, rng.normal(size=1500) * 1e6)[:, None]
        fits = fits_of(np.hstack([features, column]), labels, train, standardize=standardize)
        assert all(not fit.weight[-1].any() for fit in fits.values())


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("draw", [tall, wide, collinear])
def test_reports_the_objective_and_gradient_of_what_it_returns(draw, standardize, rng):
    features, labels, n = draw(rng)
    train = trained_on(1500, n)
    fits = fits_of(features, labels, train, dtype="float64", standardize=standardize)
    x, scale, mean = z_scored(features, train[0]) if standardize else (features, 1, 0)
    for (_, cost), fit in fits.items():
        weight = fit.weight.numpy() * np.reshape(scale, (-1, 1))
        bias = fit.bias.numpy() + mean * np.ones(features.shape[1]) @ fit.weight.numpy()
        expected = objective_and_gradient(x[:n], labels[:n], weight, bias, cost)
        assert fit.objective == pytest.approx(expected[0], rel=1e-12)
        assert fit.gradient_norm == pytest.approx(expected[1], rel=1e-6, abs=1e-12)


# What the result does not depend on


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("draw", [tall, wide, imbalanced, collinear])
@pytest.mark.parametrize("numbers", [0, logistic_problems.HESSIAN_NUMBERS], ids=["product", "root"])
def test_a_tolerance_100_times_tighter_changes_no_result(numbers, draw, dtype, rng, monkeypatch):
    monkeypatch.setattr(logistic_problems, "HESSIAN_NUMBERS", numbers)
    features, labels, n = draw(rng)
    train = trained_on(1500, n)
    loose, found, tight = (
        fits_of(features, labels, train, dtype=dtype, tolerance=tolerance)
        for tolerance in (1e-5, 1e-10, 1e-12)
    )
    n_loose, n_found, n_tight = (
        sum(fit.n_iterations for fit in fits.values()) for fits in (loose, found, tight)
    )
    if dtype == "float64":  # where float32 is left, only the steps after it are counted
        assert n_loose < n_found <= n_tight
    if dtype == "float64" and not numbers:  # with a true Hessian a step may pass both tight ones
        assert n_found < n_tight
    require_same(found, tight, features, rel=2e-7)


def test_float64_finishes_what_float32_cannot(rng, monkeypatch):
    features, labels, _ = tall(rng)
    given = features, labels, np.arange(1500) < [[300], [250]], [1.0, 30.0]
    options = {"tolerance": 1e-20, "memory_mb": 100}
    found = fits_of(*given, **options)
    double = fits_of(*given, **options, dtype="float64")
    assert found.keys() == double.keys()
    for key, fit in double.items():
        assert found[key].objective == pytest.approx(fit.objective, rel=1e-13, abs=0)
    with monkeypatch.context() as patched:
        patched.setattr(Problems, "in_own_coordinates", lambda self, found: self.start())
        cold = fits_of(*given, **options)
    for problem in range(2):  # float64 goes on where float32 got to
        assert found[problem, 1.0].n_iterations < cold[problem, 1.0].n_iterations
    monkeypatch.setattr(logistic_path, "PATIENCE", np.inf)
    with pytest.raises(ValueError, match="^problem 0, C = 1: the fit has not converged after 99"):
        fits_of(*given, **options, max_iterations=99)


@pytest.mark.parametrize("standardize", [True, False], ids=["z-scored", "raw"])
@pytest.mark.parametrize("draw", [tall, wide, imbalanced, collinear])
def test_weights_for_raw_features_are_the_same_logits_in_a_problem_s_own(draw, standardize, rng):
    features, labels, n_train = draw(rng)
    trains = np.array([np.arange(len(labels)) < n for n in (n_train, n_train - 40)])
    problems = Problems(features, labels, trains, CLASSES, standardize, torch.float64, "cpu")
    weights = torch.from_numpy(rng.normal(size=problems.start().shape))
    found = [problems.in_raw_coordinates(place, weights) for place in range(2)]
    again = problems.in_own_coordinates(found)
    torch.testing.assert_close(
        problems.relative_logits(again), problems.relative_logits(weights), rtol=1e-7, atol=1e-7
    )


@pytest.mark.parametrize("at_once", [1024, 50])
def test_a_hessian_is_autograd_s_and_its_root_solves_with_it(at_once, rng, monkeypatch):
    monkeypatch.setattr(logistic_problems, "HESSIAN_ROWS", at_once)
    monkeypatch.setattr(logistic_problems, "HESSIAN_COLUMNS", at_once)
    features, labels, n_train = tall(rng)
    trains = np.array([np.arange(len(labels)) < n for n in (n_train, n_train - 40)])
    problems = Problems(features, labels, trains, CLASSES, True, torch.float64, "cpu")
    weights = torch.from_numpy(rng.normal(size=problems.start().shape))
    ridge = problems.ridge(torch.tensor([0.1, 2.0], dtype=torch.float64))

    def objective(flat, place):
        w = flat.reshape(weights.shape[1:])
        own = slice(int(trains[place].sum()))
        logits = w[:, :-1] @ problems.x[place, own].T + w[:, -1:]
        target = problems.labels[place, 0, own]
        loss = torch.nn.functional.cross_entropy(logits.T, target)
        return loss + (ridge[place] * w * w).sum() / 2

    point = Point.of(problems, ridge, weights, problems.relative_logits(weights))
    root = HessianRoot(problems.hessian(point.logits, ridge), ridge)
    assert root.definite
    steps = root.solve(point.gradient)
    for place in range(2):
        flat = weights[place].flatten()
        own = partial(objective, place=place)
        gradient = torch.autograd.functional.jacobian(own, flat)
        hessian = torch.autograd.functional.hessian(own, flat)
        torch.testing.assert_close(point.gradient[place].flatten(), gradient)
        step = steps[place].flatten()
        torch.testing.assert_close(hessian @ step, gradient, rtol=1e-8, atol=1e-10)
        assert steps[place, :, -1].sum().abs() < 1e-9  # the biases are not shifted together


def nearly_collinear(rng):
    """300 rows in 4 classes, of directions whose spreads differ a thousand times."""
    features, labels = drawn(300, 40, [0.25] * 4, rng)
    rotation = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    return features * np.geomspace(1, 1e-3, 40) @ rotation, labels


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_root_ends_what_the_product_takes_long_for(dtype, rng, monkeypatch):
    given = *nearly_collinear(rng), trained_on(300, 200), [1e6], CLASSES
    (soon,) = fit_paths(*given, standardize=False, dtype=dtype)
    monkeypatch.setattr(logistic_problems, "HESSIAN_NUMBERS", 0)
    (late,) = fit_paths(*given, standardize=False, dtype=dtype)
    assert soon.n_iterations < 20 + logistic_path.FEW
    assert late.n_iterations > 3 * soon.n_iterations
    require_same({0: soon}, {0: late}, features=given[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_root_is_kept_for_the_next_values_of_c_and_renewed_when_far(dtype, rng, monkeypatch):
    features, labels = nearly_collinear(rng)
    costs = np.geomspace(1, 1e6, 25)
    given = features, labels, trained_on(300, 200), costs
    made_at, made = [], HessianRoot.__init__

    def remember(root, hessian, ridge):
        made_at.append(1 / (200 * ridge[0, 0, 0].item()))
        made(root, hessian, ridge)

    monkeypatch.setattr(HessianRoot, "__init__", remember)
    monkeypatch.setattr(logistic_path, "FEW", 0)
    monkeypatch.setattr(Problems, "hessian_is_due", lambda self, n_steps: n_steps > 40)
    found = fits_of(*given, standardize=False, dtype=dtype)
    apart = np.divide(made_at[1:], made_at[:-1])
    assert len(made_at) < len(costs) / 2
    assert (apart <= 18).all()  # the first C of the grid that is more than ten times the last
    assert made_at[-1] >= 1e6 / 18
    monkeypatch.undo()
    monkeypatch.setattr(logistic_problems, "HESSIAN_NUMBERS", 0)
    expected = fits_of(*given, standardize=False, dtype=dtype)
    require_same(found, expected, features)


def test_a_hessian_that_rounding_leaves_indefinite_is_not_used(rng, monkeypatch):
    given = *nearly_collinear(rng), trained_on(300, 200), [1e6], CLASSES
    (expected,) = fit_paths(*given, standardize=False)
    negative = -torch.eye(CLASSES * 41, dtype=torch.float64)[None]
    monkeypatch.setattr(Problems, "hessian", lambda *_: negative.clone())
    (found,) = fit_paths(*given, standardize=False)
    assert found.n_iterations > 2 * expected.n_iterations
    require_same({0: found}, {0: expected}, features=given[0])


@pytest.fixture
def folds(rng):
    """Features, labels and five training parts of unlike sizes, two of fewer rows than columns."""
    features, labels = drawn(400, 60, [0.25] * 4, rng)
    sizes = np.array([320, 300, 200, 50, 40])
    trains = np.array([rng.permutation(400) < size for size in sizes])
    trains[:, :4] = True  # one row of each class
    return features, labels, trains


def test_problems_side_by_side_are_fitted_as_one_at_a_time(folds):
    features, labels, trains = folds
    one, side = (
        list(fit_paths(features, labels, trains, COSTS, CLASSES, memory_mb=megabytes))
        for megabytes in (None, 100)
    )
    assert [fit.problem for fit in one] == np.repeat(range(5), 5).tolist()
    assert [fit.problem for fit in side] == np.tile(range(5), 5).tolist()
    assert [fit.cost for fit in one[:5]] == [fit.cost for fit in side[::5]] == COSTS
    one, side = ({(fit.problem, fit.cost): fit for fit in fits} for fits in (one, side))
    require_same(one, side, features)


def test_the_order_of_rows_and_of_problems_does_not_matter(folds, rng):
    features, labels, trains = folds
    rows, problems = rng.permutation(400), rng.permutation(5)
    found = fits_of(features, labels, trains)
    mixed = fits_of(features[rows], labels[rows], trains[problems][:, rows])
    mixed = {(problems[problem], cost): fit for (problem, cost), fit in mixed.items()}
    require_same(found, mixed, features)


def test_a_fit_on_the_path_is_the_fit_from_a_cold_start(folds, monkeypatch):
    monkeypatch.setattr(
        logistic_problems, "HESSIAN_NUMBERS", 0
    )  # with a root no start need be near
    features, labels, trains = folds
    path = fits_of(features, labels, trains, np.logspace(-3, 3, 7))
    cold = {}
    for cost in np.logspace(-3, 3, 7):
        cold |= fits_of(features, labels, trains, [cost])
    require_same(path, cold, features)
    iterations = [sum(fit.n_iterations for fit in fits.values()) for fits in (path, cold)]
    assert iterations[0] < 0.8 * iterations[1]


@pytest.mark.parametrize("memory_mb", [None, 100])
def test_each_problem_may_have_its_own_path(memory_mb, folds):
    features, labels, trains = folds
    costs = np.array([[0.01, 1.0], [0.1, 0.2], [1e-4, 100.0], [3.0, 5.0], [0.5, 0.6]])
    own = fits_of(features, labels, trains, costs, memory_mb=memory_mb)
    expected = {}
    for problem, path in enumerate(costs):
        for (_, cost), fit in fits_of(features, labels, trains[[problem]], path).items():
            expected[problem, cost] = fit
    require_same(own, expected, features)


def test_training_rows_alone_decide(folds):
    features, labels, trains = folds
    held_out = ~trains[0]
    other, others = features.copy(), labels.copy()
    other[held_out], others[held_out] = 7, 0
    found, same = (
        fits_of(x, y, trains[:1], [1.0])[0, 1.0] for x, y in [folds[:2], (other, others)]
    )
    assert (found.weight == same.weight).all()
    assert (found.bias == same.bias).all()


def test_memory_decides_how_many_problems_run_side_by_side():
    trains = np.ones((5, 1000), dtype=bool)

    def sizes(memory_mb):
        given = trains, 64, 10, torch.float32, memory_mb
        return [len(batch) for batch in logistic._batches(*given)]

    assert sizes(None) == sizes(1) == [1] * 5
    assert sizes(1000) == [5]
    assert all(len(sizes(more)) <= len(sizes(less)) for less, more in [(1, 2), (2, 4), (4, 8)])
    assert {len(sizes(megabytes)) for megabytes in np.linspace(1, 10, 50)} >= {1, 2, 3, 5}


def test_a_hessian_takes_a_quarter_of_the_memory_at_most(rng):
    features, labels, _ = tall(rng)
    given = features, labels, trained_on(1500, 300), CLASSES, True, torch.float64, "cpu"
    numbers = (CLASSES * (10 + 1)) ** 2
    for share, due in [(0.9, False), (1.1, True)]:
        problems = Problems(*given, memory_mb=share * 4 * 8 * numbers / 1e6)
        assert problems.hessian_is_due(10**9) is due


# The start of a fit


def test_the_forecast_continues_a_parabola_in_log_c_exactly(rng):
    points = [torch.tensor([at, at + 1.0]).double() for at in (-2, -1, 0.5, 1)]
    coefficients = torch.from_numpy(rng.normal(size=(3, 2, 4, 3)))

    def parabola(at):
        return sum(c * at[:, None, None] ** power for power, c in enumerate(coefficients))

    known = [(at, parabola(at)) for at in points[:3]]
    torch.testing.assert_close(logistic_path._forecast(known, points[3]), parabola(points[3]))


def test_the_forecast_takes_fewer_points_rather_than_magnify_their_errors():
    at = [torch.tensor([value]).double() for value in (0.0, 1.0, 1.001, 5.0)]
    known = [
        (at[0], torch.zeros(1, 1, 1)),
        (at[1], torch.ones(1, 1, 1)),
        (at[2], torch.ones(1, 1, 1)),
    ]
    assert logistic_path._forecast(known, at[3]).item() == 1
    assert logistic_path._forecast(known[:2], at[2]).item() == pytest.approx(1.001)
    assert logistic_path._forecast(known[:2], at[3]).item() == 1


# Errors


def test_a_fit_that_has_not_converged_is_an_error_that_names_problem_and_c(folds):
    features, labels, trains = folds
    names = ["fold 0", "fold 1", "fold 2", "fold 3", "fold 4"]
    message = (
        r"^fold 0, C = 10: the fit has not converged after 5 iterations; raise max_iterations$"
    )
    for memory_mb in (None, 100):
        fits = fit_paths(
            features, labels, trains, [1e-6, 10.0], CLASSES,
            max_iterations=5, names=names, memory_mb=memory_mb,
        )  # fmt: skip
        assert next(fits).cost == 1e-6
        with warnings.catch_warnings(action="error"), pytest.raises(ValueError, match=message):
            list(fits)


def test_non_finite_features_are_an_error_that_counts_the_rows(folds):
    features, labels, trains = folds
    features[3, :2], features[399, 1] = np.nan, np.inf
    with pytest.raises(ValueError, match="^2 rows of the features are not finite"):
        fits_of(features, labels, trains)


@pytest.mark.parametrize(("label", "shown"), [(4, "4"), (-1, "-1")])
def test_a_label_that_is_no_class_is_an_error_that_names_its_row(label, shown, folds):
    features, labels, trains = folds
    labels[7] = label
    with pytest.raises(ValueError, match=f"label {shown} of row 7 is none of the 4 classes 0 to 3"):
        fits_of(features, labels, trains)


def test_labels_that_do_not_fit_the_features_are_an_error(folds):
    features, labels, trains = folds
    with pytest.raises(ValueError, match=r"400 rows of features need 400 integer labels"):
        fits_of(features, labels[:-1], trains[:, :-1])
    with pytest.raises(ValueError, match=r"these are float64 of shape \(400,\)"):
        fits_of(features, labels.astype(float), trains)
    with pytest.raises(ValueError, match=r"training parts of shape \(5, 399\) do not fit 400 rows"):
        fits_of(features, labels, trains[:, :-1])


def test_a_class_that_a_training_part_lacks_is_an_error_that_names_both(folds):
    features, labels, trains = folds
    trains[3, labels == 2] = False
    with pytest.raises(ValueError, match="^fold c: no training row is of class 2 of 4"):
        fits_of(features, labels, trains, names=["fold a", "fold b", "d", "fold c", "e"])


def test_a_training_part_of_one_class_is_an_error_that_names_it(folds):
    features, labels, trains = folds
    trains[1] = labels == 3
    with pytest.raises(ValueError, match="^problem 1: all training rows are of class 3"):
        fits_of(features, labels, trains)


@pytest.mark.parametrize("costs", [[1.0, 0.1], [0.0, 1.0], [1.0, np.inf], [1.0, 1.0], [-1.0]])
def test_values_of_c_that_are_not_positive_and_increasing_are_an_error(costs, folds):
    with pytest.raises(ValueError, match="C must be positive and increasing, not"):
        fits_of(*folds, costs)
