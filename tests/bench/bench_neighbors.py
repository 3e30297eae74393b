"""Our exact neighbours against scikit-learn's brute force, and against faiss where it is installed.

One run, two threads, the same rows: 5 variants of 4000 images whose spectrum falls like a power,
without negative values, as a network's last layer gives them; the 50 nearest of every row.
- ours: `nearest_others`, all of it, median of several runs;
- NearestNeighbors(algorithm="brute"): float32 and float64, each with one or two jobs, whichever a
  pilot of fewer rows finds faster; each finds the neighbours once;
- faiss.IndexFlatL2 and, of rows of length 1, IndexFlatIP: `pip install faiss-cpu` adds its rows.

Goal: a third of the time of the fastest that scikit-learn has at equal neighbours. Products in
float32 give some queries others than distances in float64 do: these queries are counted, and of
some of them all distances are taken, of which ours must be the smallest. Peak memory is printed:
beside the rows and their copy no more than the blocks may take.
"""

import multiprocessing
import os
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

VARIANTS, N, D, K, THREADS, PILOT, CHECKED = 5, 4000, 1280, 50, 2, 6000, 20
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


def faster_jobs(rows, metric, dtype):
    """The number of jobs of scikit-learn's least time on the first rows."""
    seconds = {
        jobs: timed(by_scikit_learn, rows[:PILOT], metric, dtype, jobs)[0] for jobs in (1, THREADS)
    }
    print(f"pilot {metric}, {dtype}: {seconds}")
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


def differing(rows, metric, found, ours):
    """How many queries have others in `found`, and of CHECKED of these, where ours are wrong."""
    differ = np.flatnonzero((np.sort(found, axis=1) != np.sort(ours, axis=1)).any(axis=1))
    exact = rows.astype(np.float64)
    if metric == "cosine":
        exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    n_wrong = 0
    for query in differ[:CHECKED]:
        distance = ((exact - exact[query]) ** 2).sum(axis=1)
        distance[query] = np.inf
        nearest = np.lexsort((np.arange(len(rows)), distance))[:K]
        n_wrong += not np.array_equal(nearest, ours[query])
    return len(differ), n_wrong


def against_peers(rows, metric):
    """A row per peer; the goal is that of the fastest of scikit-learn's with equal neighbours."""
    nearest_others(rows[:1000], K, metric)
    runs, peers = [timed(nearest_others, rows, K, metric)], {}
    for dtype in ("float32", "float64"):
        jobs = faster_jobs(rows, metric, dtype)
        name = f"NearestNeighbors, {dtype}, {jobs} job(s)"
        peers[name] = timed(by_scikit_learn, rows, metric, dtype, jobs)
        runs += [timed(nearest_others, rows, K, metric) for _ in range(2)]
    try:
        peers["faiss.IndexFlat"] = timed(by_faiss, rows, metric)
    except ImportError:
        print("faiss is not installed")
    print("ours: " + ", ".join(f"{seconds:.2f} s" for seconds, _ in runs))
    ours_s, ours = float(np.median([seconds for seconds, _ in runs])), runs[0][1]
    told = {peer: differing(rows, metric, found, ours) for peer, (_, found) in peers.items()}
    equal = [peer for peer in peers if "faiss" not in peer and told[peer][0] == 0]
    judge = min(equal, key=lambda peer: peers[peer][0])
    for peer, (peer_s, _) in peers.items():
        ratio, (n_differing, n_wrong) = ours_s / peer_s, told[peer]
        row = (
            "neighbors", f"{VARIANTS} x {N} rows, d={D}, k={K}, {metric}", peer, ours_s, peer_s,
            ratio, "<= 0.3333" if peer == judge else "none",
            bool(n_wrong == 0 and (peer != judge or ratio <= 1 / 3)),
        )  # fmt: skip
        counts = {"queries_that_differ": n_differing, "of_these_wrong_in_ours": n_wrong}
        yield dict(zip(COLUMNS, row, strict=True)) | counts


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
    """Peak memory beside the rows, each size in a process of its own.

    glibc is told to hand large pieces back at once; else what it keeps for later counts, too.
    """
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "1000000"
    for n in (N // 4, N // 2, N):
        with tempfile.TemporaryDirectory() as folder:
            rows = drawn(n, D)
            np.save(f"{folder}/rows.npy", rows)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                peak = pool.apply(peak_of, (f"{folder}/rows.npy", "cosine"))
        held = len(rows) * (K + 16) * 48  # what is held and put aside, and the answer
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
