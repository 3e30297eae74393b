"""CKA, CCA and Procrustes of five variants together, against the straightforward way, pair by pair.

One run, two threads, the same float32 features, which share a part and have a spectrum that falls
like a power, as a network's last layer gives them.
- ours: from the raw features to the table of all pairs, median of several runs;
- the straightforward way, as the common public notebook does it: per pair, in float64, QR of both
  centred matrices, both Gram matrices, the cross-product and that of the orthonormal bases, and the
  singular values of the cross-product; in numpy or torch, whichever is faster here;
- the bare products: X'X of every variant and X'Y of every pair, in float64 and already centred, and
  nothing else; and with the d x d products that whiten the cross-products for CCA;
- the intervals: what they add to the point estimates.

Values of both ways agree to 1e-6. Growth with n, from files beyond the memory limit of the process
that reads them, with d and with the number of representations is printed.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from show import COLUMNS, write_rows
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow"))

from halfseen.devices import use_threads  # noqa: E402
from halfseen.intervals import N_GROUPS, jackknife_groups  # noqa: E402
from halfseen.representations import Representation  # noqa: E402
from halfseen.similarity import similarity_of_all  # noqa: E402

N, D, VARIANTS, CLASSES, REPEATS, THREADS = 6000, 1280, 5, 60, 3, 2
MEASURES = {
    kind: {"kind": kind} for kind in ("linear_cka", "mean_squared_cca", "angular_procrustes")
}
# Bytes that the process of the growth with n may allocate beyond what it starts with.
MEMORY_LIMIT = 800 * 2**20
BLOCK = 2000


def drawn_block(n, mixings, spread, rng):
    """n rows of every variant: a part that they share and one of their own, (V, n, d) float32."""
    d = len(spread)
    shared = rng.standard_normal((n, d), dtype=np.float32)
    for number, mixing in enumerate(mixings):
        own = rng.standard_normal((n, d), dtype=np.float32)
        share = np.float32(1 - number / len(mixings) / 2)
        yield np.maximum(((share * shared + (1 - share) * own) * spread) @ mixing + 0.1, 0)


def mixing_of(d, n_variants, rng):
    """How the directions of each variant mix, (V, d, d) float32, and how their strength falls."""
    spread = (np.arange(1, d + 1) ** -0.6).astype(np.float32)
    return rng.normal(size=(n_variants, d, d)).astype(np.float32) / np.float32(np.sqrt(d)), spread


def drawn(n, d, n_variants):
    """{variant: features (n, d) float32}."""
    rng = np.random.default_rng(20230601)
    mixings, spread = mixing_of(d, n_variants, rng)
    blocks = [
        list(drawn_block(min(BLOCK, n - start), mixings, spread, rng))
        for start in range(0, n, BLOCK)
    ]
    return {
        f"v{number}": np.concatenate(parts)
        for number, parts in enumerate(zip(*blocks, strict=True))
    }


def ours(features, groups=None, measures=MEASURES):
    """Seconds, and the table of all pairs."""
    start = time.perf_counter()
    parts = {name: Representation(rows, name, groups=groups) for name, rows in features.items()}
    table = similarity_of_all(parts, measures).table
    return time.perf_counter() - start, table


def numpy_pair(x, y):
    """CKA, CCA and the angle of two float64 arrays, everything from the start."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    cross = x.T @ y
    lengths = [np.linalg.norm(a.T @ a) for a in (x, y)]
    q_x, q_y = (np.linalg.qr(a)[0] for a in (x, y))
    cca = np.linalg.norm(q_x.T @ q_y) ** 2 / min(x.shape[1], y.shape[1])
    nuclear = np.linalg.svd(cross, compute_uv=False).sum()
    angle = np.arccos(nuclear / np.linalg.norm(x) / np.linalg.norm(y))
    return np.linalg.norm(cross) ** 2 / lengths[0] / lengths[1], cca, angle


def torch_pair(x, y):
    """The same in torch."""
    x, y = (torch.from_numpy(a) for a in (x, y))
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    cross = x.T @ y
    lengths = [(a.T @ a).norm() for a in (x, y)]
    q_x, q_y = (torch.linalg.qr(a).Q for a in (x, y))
    cca = (q_x.T @ q_y).norm() ** 2 / min(x.shape[1], y.shape[1])
    angle = torch.arccos(torch.linalg.svdvals(cross).sum() / x.norm() / y.norm())
    return [value.item() for value in (cross.norm() ** 2 / lengths[0] / lengths[1], cca, angle)]


def straightforward(features, measure):
    """Seconds, and {pair: values}."""
    start = time.perf_counter()
    wide = {name: rows.astype(np.float64) for name, rows in features.items()}
    values = {(x, y): measure(wide[x], wide[y]) for x, y in combinations(features, 2)}
    return time.perf_counter() - start, values


def bare_products(features):
    """Seconds of X'X and X'Y of all, and of two d x d products a pair, by torch."""
    rows = [torch.from_numpy(part).double() for part in features.values()]
    rows = [part - part.mean(dim=0) for part in rows]
    start = time.perf_counter()
    for part in rows:
        square = part.T @ part
    for x, y in combinations(rows, 2):
        cross = x.T @ y
    large = time.perf_counter() - start
    for _ in combinations(rows, 2):
        _ = square @ cross @ square
    return large, time.perf_counter() - start


def largest_difference(table, values):
    """The largest distance of ours from the straightforward way, over pairs and measures."""
    cells = table.set_index(["measure", "x", "y"]).similarity
    return max(
        abs(cells[(kind, *pair)] - value)
        for pair, found in values.items()
        for kind, value in zip(MEASURES, found, strict=True)
    )


def speed():
    """The rows with goals."""
    features = drawn(N, D, VARIANTS)
    groups = jackknife_groups(np.arange(N) % CLASSES, np.random.default_rng(0))
    two = dict(list(features.items())[:2])
    ours(two), bare_products(two)
    pilot = {peer: straightforward(two, peer)[0] for peer in (numpy_pair, torch_pair)}
    peer = min(pilot, key=pilot.get)
    runs = {"ours": [], "bare": [], "whitened": [], "intervals": []}
    for _ in range(REPEATS):
        seconds, table = ours(features)
        runs["ours"].append(seconds)
        large, whitened = bare_products(features)
        runs["bare"].append(large)
        runs["whitened"].append(whitened)
    runs["intervals"] = [ours(features, groups)[0]]
    peer_s, values = straightforward(features, peer)
    apart = largest_difference(table, values)
    median = {name: float(np.median(found)) for name, found in runs.items()}
    print({name: [round(value, 2) for value in found] for name, found in runs.items()}, flush=True)
    point, added = median["ours"], median["intervals"] - median["ours"]
    case = f"n={N}, d={D}, {VARIANTS} variants: CKA, CCA, angle"
    library = peer.__name__.split("_")[0]
    rows = [
        (case, f"per pair QR, Grams, cross-product ({library})", point, peer_s, 0.25),
        (case, "the n x d x d products alone", point, median["bare"], 1.6),
        (case, "these and the d x d products of CCA", point, median["whitened"], 1.6),
        (f"{case}: intervals of {N_GROUPS} groups", "the point estimates", added, point, 4),
    ]
    return [
        dict(zip(COLUMNS, ("similarity", *row[:4], row[2] / row[3], f"<= {row[4]}",
                           bool(row[2] / row[3] <= row[4] and apart < 1e-6)), strict=True))
        | {"values_apart": f"{apart:.1g}"}
        for row in rows
    ]  # fmt: skip


def growth():
    """Seconds as d or the number of representations grow."""
    rows = []
    for n, d, n_variants in [(N, 320, 5), (N, 640, 5), (N, D, 2), (N, D, 8), (N, 2048, 2)]:
        seconds, _ = ours(drawn(n, d, n_variants))
        rows.append({"n": n, "d": d, "representations": n_variants, "seconds": seconds})
        print(rows[-1], flush=True)
    return rows


def status(field):
    """Bytes of a field of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def from_file(path):
    """Seconds, and bytes at most beyond the start, of a file's pairs in this fresh process."""
    use_threads(THREADS)
    rng = np.random.default_rng(0)  # what is loaded or allocated once must not count
    ours({name: rng.normal(size=(900, 300)) for name in "ab"})
    resource.setrlimit(resource.RLIMIT_DATA, (status("VmData") + MEMORY_LIMIT,) * 2)
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to VmRSS
    before = status("VmRSS")
    with h5py.File(path) as file:
        seconds, _ = ours(dict(file.items()))
    return seconds, status("VmHWM") - before


def growth_from_files(d=2048, n_variants=2):
    """Seconds and peak memory as n grows to 60,000, read from a file."""
    rows = []
    for n in (6000, 15_000, 60_000):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "features.h5"
            rng = np.random.default_rng(20230601)
            mixings, spread = mixing_of(d, n_variants, rng)
            with h5py.File(path, "w") as file:
                stored = [file.create_dataset(f"v{i}", (n, d), "f4") for i in range(n_variants)]
                for start in range(0, n, BLOCK):
                    size = min(BLOCK, n - start)
                    for part, block in zip(
                        stored, drawn_block(size, mixings, spread, rng), strict=True
                    ):
                        part[start : start + size] = block
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, peak = pool.apply(from_file, (path,))
            rows.append(
                {
                    "n": n, "d": d, "representations": n_variants, "seconds": seconds,
                    "file_mb": path.stat().st_size / 2**20, "peak_mb": peak / 2**20,
                    "limit_mb": MEMORY_LIMIT / 2**20,
                }
            )  # fmt: skip
            print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    use_threads(THREADS)
    with threadpool_limits(THREADS):
        write_rows("similarity", speed())
        if "--speed" not in sys.argv:
            grown = growth()
    if "--speed" not in sys.argv:
        write_rows("similarity_growth", grown + growth_from_files())
    print(pd.read_csv(ROOT / "results/bench/similarity.csv").to_markdown(index=False))
