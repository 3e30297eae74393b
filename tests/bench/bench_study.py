"""The default study from nothing on two cores: wall time, where it goes, a run with nothing to do.

Goals: 6 minutes, of which at most 25 % is neither SAM nor encoder nor probe; 10 s, and 10 s to list
the jobs of the paper's study; at most 15 % of the wall time beyond what the jobs would take packed
on two cores (packing.py). The weights are fetched before, so that no download is timed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from packing import measured_jobs, overhead_rows, start_rows
from show import COLUMNS, write_rows

ROOT = Path(__file__).resolve().parents[2]
STAGES = {
    "build_shard": "SAM",
    "extract_features": "encoders",
    "fit_probes": "probes",
    "compare_probes": "probes",
}


def run_study(folder, *arguments):
    """Wall time in seconds of `snakemake --cores 2` in `folder`, and what it printed."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--cores", "2", *arguments]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return time.monotonic() - start, done.stdout + done.stderr


def job_seconds(folder):
    """Seconds of every job from Snakemake's benchmark files: a table of rule and s."""
    base = folder / "results/benchmarks"
    rows = []
    for path in sorted(base.rglob("*.tsv")):
        rule = path.relative_to(base).parts[0]
        rows.append({"rule": rule, "s": pd.read_csv(path, sep="\t").s.iloc[0]})
    return pd.DataFrame(rows)


def row(case, peer, ours_s, peer_s, goal):
    """One row of the benchmark: our seconds against the peer's, a ratio of at most `goal`."""
    ratio = ours_s / peer_s
    return "study", case, peer, ours_s, peer_s, ratio, f"<= {goal}", ratio <= goal


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    shutil.copy(ROOT / "config.yaml", folder)
    shutil.copytree(ROOT / "results/weights", folder / "results/weights")
    wall, _ = run_study(folder)
    again = []
    for _ in range(3):
        seconds, output = run_study(folder)
        if "Nothing to be done" not in output:
            raise RuntimeError(f"the second run did something:\n{output}")
        again.append(seconds)
    jobs, done = job_seconds(folder), measured_jobs(folder)
    listing = [run_study(folder, "--dry-run", "--config", "study=paper")[0] for _ in range(3)]

stages = jobs.rule.map(STAGES).fillna("other")
total, other = jobs.s.sum(), jobs.s[stages == "other"].sum()
again_s, listing_s = sorted(again)[1], sorted(listing)[1]
measured = [
    ("default study, two cores", "goal of 6 minutes", wall, 360, 1),
    ("neither SAM nor encoder nor probe", "all job seconds", other, total, 0.25),
    ("nothing to be done, median of 3", "goal of 10 s", again_s, 10, 1),
    ("dry run of study=paper, median of 3", "goal of 10 s", listing_s, 10, 1),
]
overhead, parts = overhead_rows(done, wall)
rows = [dict(zip(COLUMNS, row(*values), strict=True)) for values in measured]
write_rows("study", rows + overhead)
write_rows("study_overhead", parts)
write_rows("study_starts", start_rows(done))
split = jobs.assign(stage=stages).groupby(["stage", "rule"]).s.agg(["count", "sum"]).reset_index()
split = split.rename(columns={"count": "jobs", "sum": "seconds"})
split["share"] = split.seconds / total
write_rows("study_split", split.sort_values("seconds", ascending=False).to_dict("records"))
