"""Our exact neighbours against scikit-learn's brute force, and against faiss where it is installed.

One run, two threads, the same rows: 5 variants of 4000 images whose spectrum falls like a power,
without negative values, as a network's last layer gives them; the 50 nearest of every row.
- ours: `nearest_others`, all of it, median of several runs;
- NearestNeighbors(algorithm="brute"): the fastest of float32 and float64 with one and two jobs, by
  a pilot of fewer rows; it finds them once;
- faiss.IndexFlatL2 and, of rows of length 1, IndexFlatIP: `pip install faiss-cpu` adds its rows.

Goal: a third of scikit-learn's time at equal neighbours. Where a peer's differ, which happens where
its products round, all distances are taken in float64: ours must be the nearest. Peak memory is
printed: beside the rows and their copy no more than the blocks may take.
"""

import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from show import COLUMNS, write_rows
from sklearn.neighbors import NearestNeighbors

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow"))

from halfseen.devices import use_threads  # noqa: E402
from halfseen.neighbor_search import METRICS, nearest_others  # noqa: E402

VARIANTS, N, D, K, THREADS, REPEATS, PILOT = 5, 4000, 1280, 50, 2, 3, 6000
MEMORY_MB = 100


def drawn(n, d):
    """Rows (VARIANTS n, d) float32: images seen in variants that shift and disturb them."""
    rng = np.random.default_rng(20230601)
    spread = (np.arange(1, d + 1) ** -0.6).astype(np.float32)
    mixing = rng.normal(size=(d, d)).astype(np.float32) / np.float32(np.sqrt(d))
    images = rng.standard_normal((n, d), dtype=np.float32)
    rows = []
    for _ in range(VARIANTS):
        seen = images + 0.7 * rng.standard_normal((n, d), dtype=np.float32)
        shift = 0.5 * rng.standard_normal(d, dtype=np.float32)
        rows.append(np.maximum(((seen + shift) * spread) @ mixing, 0))
    return np.concatenate(rows)


def timed(function, *arguments):
    """Seconds, and what the function gives."""
    start = time.perf_counter()
    found = function(*arguments)
    return time.perf_counter() - start, found


def by_scikit_learn(rows, metric, dtype, jobs):
    """The K nearest others of each row."""
    peer = NearestNeighbors(n_neighbors=K, metric=metric, algorithm="brute", n_jobs=jobs)
    return peer.fit(rows.astype(dtype)).kneighbors(return_distance=False)


def fastest_setting(rows, metric):
    """(dtype, jobs) of scikit-learn's least time on the first rows."""
    seconds = {}
    for dtype in ("float32", "float64"):
        for jobs in (1, THREADS):
            seconds[dtype, jobs], _ = timed(by_scikit_learn, rows[:PILOT], metric, dtype, jobs)
            print(f"pilot {metric}, {dtype}, {jobs} job(s): {seconds[dtype, jobs]:.1f} s")
    return min(seconds, key=seconds.get)


def by_faiss(rows, metric):
    """The K nearest others of each row, itself left out where it is found."""
    import faiss

    faiss.omp_set_num_threads(THREADS)
    if metric == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    index = (faiss.IndexFlatIP if metric == "cosine" else faiss.IndexFlatL2)(rows.shape[1])
    index.add(rows)
    found = index.search(rows, K + 1)[1]
    other = found != np.arange(len(rows))[:, None]
    other[other.all(axis=1), -1] = False
    return found[other].reshape(len(rows), K)


def wrong(rows, metric, found, ours):
    """Queries of which `found` has other neighbours, and of which ours are not the nearest."""
    differ = np.flatnonzero((np.sort(found, axis=1) != np.sort(ours, axis=1)).any(axis=1))
    exact = rows.astype(np.float64)
    if metric == "cosine":
        exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    not_ours = 0
    for query in differ:
        distance = ((exact - exact[query]) ** 2).sum(axis=1)
        distance[query] = np.inf
        nearest = np.lexsort((np.arange(len(rows)), distance))[:K]
        not_ours += not np.array_equal(nearest, ours[query])
    return len(differ), not_ours


def against_peers(rows, metric):
    """A row per peer."""
    nearest_others(rows[:1000], K, metric)
    runs = [timed(nearest_others, rows, K, metric)]
    dtype, jobs = fastest_setting(rows, metric)
    peers = {
        f"NearestNeighbors, {dtype}, {jobs} job(s)": timed(
            by_scikit_learn, rows, metric, dtype, jobs
        )
    }
    runs += [timed(nearest_others, rows, K, metric) for _ in range(REPEATS - 1)]
    try:
        peers["faiss.IndexFlat"] = timed(by_faiss, rows, metric)
    except ImportError:
        print("faiss is not installed")
    print("ours: " + ", ".join(f"{seconds:.2f} s" for seconds, _ in runs))
    ours_s, ours = float(np.median([seconds for seconds, _ in runs])), runs[0][1]
    for peer, (peer_s, found) in peers.items():
        differing, not_ours = wrong(rows, metric, found, ours)
        goal = ours_s / peer_s <= 1 / 3 if "faiss" not in peer else True
        row = (
            "neighbors", f"{VARIANTS} x {N} rows, d={D}, k={K}, {metric}", peer, ours_s, peer_s,
            ours_s / peer_s, "none" if "faiss" in peer else "<= 0.3333",
            bool(goal and not not_ours),
        )  # fmt: skip
        told = {"queries_that_differ": differing, "of_these_wrong_in_ours": not_ours}
        yield dict(zip(COLUMNS, row, strict=True)) | told


def resident(field):
    """Bytes that /proc says this process holds (VmRSS) or held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def peak_of(path, metric):
    """Bytes that the search takes at most in this process, a fresh one, beside the rows."""
    use_threads(THREADS)
    nearest_others(np.random.default_rng(0).normal(size=(500, 20)), K, metric)
    rows = np.load(path)
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to VmRSS
    before = resident("VmRSS")
    nearest_others(rows, K, metric, memory_mb=MEMORY_MB)
    return resident("VmHWM") - before


def memory():
    """Peak memory beside the rows, each size in a process of its own."""
    for n in (N // 4, N // 2, N):
        with tempfile.TemporaryDirectory() as folder:
            rows = drawn(n, D)
            np.save(f"{folder}/rows.npy", rows)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                peak = pool.apply(peak_of, (f"{folder}/rows.npy", "cosine"))
        # Scores and numbers of what is held of every row, and the answer.
        held = len(rows) * (K + 16) * 12 * 4
        beside = (peak - rows.nbytes - held) / 1e6
        yield {
            "n": len(rows), "d": D, "rows_mb": rows.nbytes / 1e6, "peak_mb": peak / 1e6,
            "beside_copy_and_held_mb": beside, "goal": f"<= {MEMORY_MB}",
            "holds": beside <= MEMORY_MB,
        }  # fmt: skip


if __name__ == "__main__":
    use_threads(THREADS)
    rows = drawn(N, D)
    write_rows("neighbors", [row for metric in METRICS for row in against_peers(rows, metric)])
    write_rows("neighbors_memory", list(memory()))
