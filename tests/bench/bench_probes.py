"""Our paths of logistic regressions against scikit-learn's LogisticRegression, fit by fit.

One run, two threads or processes, the same features, folds and values of C. Features have a
spectrum that falls like a power and no negative values, as a network's last layer gives them, and
take their class from the first directions as much as from the last.
- ours: from the raw features to the weights for raw features, float32, median of several runs;
- LogisticRegression(solver="lbfgs"): z-scored once a fold, then fitted cold, since its `warm_start`
  would hand a fold's values of C to one process. Some of the fits say which of float32 and float64,
  and of two BLAS threads and two processes, is the fastest; that one does them all, once. It may
  stop earlier than ours: at TOL its gradients must be no smaller, by median and maximum.

Goals: a fifth of the time, balanced accuracy within 0.002 of each other; a peak of at most three
times the feature matrix, itself included. Growth with n, d, classes and values is printed.
"""

import multiprocessing
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from show import COLUMNS, write_rows
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow"))

from halfseen.devices import use_threads  # noqa: E402
from halfseen.logistic import fit_paths, logits  # noqa: E402
from halfseen.probes import balanced_accuracy  # noqa: E402

N, D, CLASSES, FOLDS, REPEATS, THREADS = 6000, 1280, 60, 5, 3, 2
COSTS = np.logspace(-4, 4, 15)
# The fits that choose the peer's setting, as (fold, place in COSTS).
PILOT = [(0, 2), (0, 7), (1, 12), (1, 4)]
TOL = 1e-4
LARGEST = {"n": 60_000, "d": 2048, "n_classes": 100}
VARIANTS = 5


def drawn(n, d, n_classes):
    """Features (n, d) float32 of n images, their labels and training parts (FOLDS, n)."""
    rng = np.random.default_rng(20230601)
    spread = (np.arange(1, d + 1) ** -0.6).astype(np.float32)
    mixing = rng.normal(size=(d, d)).astype(np.float32) / np.float32(np.sqrt(d))
    labels = rng.permutation(np.arange(n) % n_classes)
    centres = 0.6 * rng.normal(size=(n_classes, d)).astype(np.float32)
    features = np.empty((n, d), dtype=np.float32)
    for rows in np.array_split(np.arange(n), max(1, n // 2000)):
        noise = rng.standard_normal((len(rows), d), dtype=np.float32)
        features[rows] = np.maximum(((centres[labels[rows]] + noise) * spread) @ mixing, 0)
    folds = np.empty(n, dtype=int)
    for label in range(n_classes):
        own = labels == label
        folds[own] = rng.permutation(np.arange(own.sum()) % FOLDS)
    return features, labels, folds != np.arange(FOLDS)[:, None]


def fit_ours(features, labels, trains, costs=COSTS, n_classes=CLASSES):
    """Seconds, and the fits."""
    start = time.perf_counter()
    fits = list(fit_paths(features, labels, trains, costs, n_classes))
    return time.perf_counter() - start, fits


def z_scored(features, train, dtype):
    """The training rows in the coordinates of the fit."""
    x = features[train].astype(dtype)
    x -= x.mean(axis=0)
    x /= x.std(axis=0)
    return x


def fit_peer(x, labels, cost):
    """One fit of scikit-learn: (d, K) weights, bias, iterations."""
    probe = LogisticRegression(C=cost, solver="lbfgs", tol=TOL, max_iter=10_000).fit(x, labels)
    return probe.coef_.T.astype(float), probe.intercept_.astype(float), int(probe.n_iter_[0])


def fit_peers(features, labels, trains, fits, dtype, processes):
    """Seconds, and {(fold, place in COSTS): what `fit_peer` gives}, for `fits` of these keys."""
    start = time.perf_counter()
    parts = {fold: z_scored(features, trains[fold], dtype) for fold in {fold for fold, _ in fits}}
    with threadpool_limits(THREADS // processes):
        found = Parallel(n_jobs=processes)(
            delayed(fit_peer)(parts[fold], labels[trains[fold]], COSTS[place])
            for fold, place in fits
        )
    return time.perf_counter() - start, dict(zip(fits, found, strict=True))


def fastest_setting(features, labels, trains):
    """(dtype, processes) of the peer's least time over the pilot's fits, and all of them."""
    small = np.eye(200, 4), np.arange(200) % 2, 1.0  # processes start before the clock does
    Parallel(n_jobs=2)(delayed(fit_peer)(*small) for _ in range(8))
    seconds = {}
    for dtype in ("float32", "float64"):
        for processes in (1, 2):
            fit = partial(fit_peers, features, labels, trains, PILOT)
            seconds[dtype, processes], _ = fit(dtype, processes)
            print(f"pilot {dtype}, {processes} process(es): {seconds[dtype, processes]:.1f} s")
    return min(seconds, key=seconds.get), seconds


def quality(x, labels, weight, bias, cost):
    """2-norm of the gradient by weights and bias in the coordinates of z-scored x, in float64."""
    scores = torch.from_numpy(x @ weight + bias)
    residual = torch.softmax(scores, 1).numpy()
    residual[np.arange(len(x)), labels] -= 1
    by_weight = x.T @ residual / len(x) + weight / (cost * len(x))
    return np.sqrt((by_weight**2).sum() + (residual.mean(axis=0) ** 2).sum())


def compared(features, labels, trains, ours, peers):
    """One row a fit: gradients, balanced accuracies on the held-out fold and iterations of both."""
    rows = []
    for fold, train in enumerate(trains):
        x, x_test = z_scored(features, train, float), features[~train]
        mean, scale = features[train].astype(float).mean(0), features[train].astype(float).std(0)
        for place, cost in enumerate(COSTS):
            fit = ours[fold * len(COSTS) + place]
            weight, bias, n_iterations = peers[fold, place]
            own = fit.weight.numpy() * scale[:, None]
            own_bias = fit.bias.numpy() + mean @ fit.weight.numpy()
            scores = {"ours": logits(x_test, fit), "peer": (x_test - mean) / scale @ weight + bias}
            rows.append(
                {
                    "fold": fold, "cost": cost,
                    "ours_gradient": quality(x, labels[train], own, own_bias, cost),
                    "peer_gradient": quality(x, labels[train], weight, bias, cost),
                    "ours_iterations": fit.n_iterations, "peer_iterations": n_iterations,
                }
                | {
                    f"{side}_accuracy": balanced_accuracy(labels[~train], of.argmax(1), CLASSES)
                    for side, of in scores.items()
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def against_scikit_learn():
    """The row of the benchmark, and one a C of what both sides reached."""
    features, labels, trains = drawn(N, D, CLASSES)
    fit_ours(features, labels, trains[:1], COSTS[:1])
    runs = [fit_ours(features, labels, trains)]
    setting, _ = fastest_setting(features, labels, trains)
    runs.append(fit_ours(features, labels, trains))
    every = [(fold, place) for place in range(len(COSTS)) for fold in range(FOLDS)]
    peer_s, peers = fit_peers(features, labels, trains, every, *setting)
    runs += [fit_ours(features, labels, trains) for _ in range(REPEATS - 2)]
    print("ours: " + ", ".join(f"{seconds:.1f} s" for seconds, _ in runs))
    ours_s = float(np.median([seconds for seconds, _ in runs]))
    table = compared(features, labels, trains, runs[-1][1], peers)
    by_cost = table.groupby("cost").mean().drop(columns="fold").reset_index()
    apart = (by_cost.ours_accuracy - by_cost.peer_accuracy).abs().max()
    gradients = table[["ours_gradient", "peer_gradient"]].agg(["median", "max"])
    fair = (gradients.ours_gradient <= gradients.peer_gradient).all()
    dtype, processes = setting
    row = dict(
        zip(
            COLUMNS,
            (
                "probes",
                f"n={N}, d={D}, {CLASSES} classes, {FOLDS} folds x {len(COSTS)} values of C",
                f"LogisticRegression, {dtype}, {processes} process(es)",
                ours_s, peer_s, ours_s / peer_s, "<= 0.2",
                bool(ours_s / peer_s <= 0.2 and apart < 0.002 and fair),
            ),
            strict=True,
        )
    )  # fmt: skip
    row |= {"accuracy_apart": apart}
    row |= {
        f"{side}_gradient_{of}": f"{gradients.loc[of, f'{side}_gradient']:.2g}"
        for side in ("ours", "peer")
        for of in ("median", "max")
    }
    gradients = {name: by_cost[name].map("{:.2g}".format) for name in gradients}
    return row, by_cost.assign(**gradients)


def growth():
    """Seconds of one fold as n, d, classes or values of C grow, then of the largest study."""
    base = {"n": N, "d": D, "n_classes": CLASSES, "values": 5}
    steps = {"n": [1500, 3000], "d": [320, 640], "n_classes": [15, 30], "values": [1, 15]}
    cases = [base, *(base | {key: value} for key, of in steps.items() for value in of)]
    cases.append(LARGEST | {"values": 1})
    rows = []
    for case in cases:
        n, d, n_classes, values = case.values()
        features, labels, trains = drawn(n, d, n_classes)
        costs = [1.0] if values == 1 else np.logspace(-2, 2, values)
        seconds, fits = fit_ours(features, labels, trains[:1], costs, n_classes)
        iterations = sum(fit.n_iterations for fit in fits)
        rows.append(case | {"seconds": seconds, "iterations": iterations})
        print(rows[-1], flush=True)
    # Every fit as slow as the one timed, which bore the set-up of its fold and began cold.
    whole = rows[-1]["seconds"] * VARIANTS * FOLDS * len(COSTS)
    rows.append(LARGEST | {"values": len(COSTS), "seconds": whole, "case": EXTRAPOLATED})
    return rows


EXTRAPOLATED = f"{VARIANTS} variants x {FOLDS} folds x {len(COSTS)} values, at most"


def resident(field):
    """Bytes that /proc says this process holds (VmRSS) or held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def peak_of(path, labels, trains, n_classes):
    """Bytes that the features and one fold's path take at most in this process, a fresh one."""
    use_threads(THREADS)
    rng = np.random.default_rng(0)  # what is loaded or allocated once must not count
    warm = rng.normal(size=(200, 50)), np.arange(200) % 2, np.ones((1, 200), bool)
    fit_ours(*warm, [1.0], 2)
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to VmRSS
    before = resident("VmRSS")
    features = np.load(path)
    fit_ours(features, labels, trains[:1], COSTS[:3], n_classes)
    return resident("VmHWM") - before, features.nbytes


def memory():
    """Peak memory as a multiple of the features, each size in a process of its own."""
    rows = []
    for n, d, n_classes in [(N, D, CLASSES), (2 * N, D, CLASSES), (N, 2048, 100)]:
        with tempfile.TemporaryDirectory() as folder:
            features, labels, trains = drawn(n, d, n_classes)
            np.save(f"{folder}/features.npy", features)
            del features
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                given = f"{folder}/features.npy", labels, trains, n_classes
                peak, size = pool.apply(peak_of, given)
        rows.append(
            {
                "n": n, "d": d, "n_classes": n_classes, "features_mb": size / 1e6,
                "peak_mb": peak / 1e6, "multiple": peak / size, "goal": "<= 3",
                "holds": peak / size <= 3,
            }
        )  # fmt: skip
    return rows


if __name__ == "__main__":
    use_threads(THREADS)
    row, by_cost = against_scikit_learn()
    write_rows("probes", [row])
    write_rows("probes_quality", by_cost)
    write_rows("probes_growth", growth())
    write_rows("probes_memory", memory())
