"""How Snakemake's part grows: listing jobs, starting them here and on Slurm, splitting a data set.

- the dry run of a made-up study of 10 data sets x 10 variants with 10, 25 and 50 models, on one
  core; at 50 at least 1,500 jobs;
- a job that does nothing, beyond the first one, one after the other: a `shell` and a `script` here,
  a `shell` on a Slurm of one node where its packages are installed and the user is root;
- the study of a minute's masks and representations with its images in 1, 2 and 4 shards, on two
  cores: what more jobs cost, and that they leave the same bytes.

Goals: 60 s for the dry run; no more than 1 s a job here and 3 s on Slurm. What splitting costs is
printed: it buys that a killed job is repeated alone and that a cluster works on all of them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import yaml
from show import COLUMNS, write_rows

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import slurm_cluster  # noqa: E402
from workflow_copy import Study  # noqa: E402

N_MODELS, LEAST_JOBS = (10, 25, 50), 1500
SHARDS = (1, 2, 4)
JOBS_HERE, JOBS_ON_SLURM = 20, 8
NOTHING = """
rule all:
    input: expand("out/{k}.{kind}", k=range(config["count"]), kind=config["kind"])

rule by_shell:
    output: "out/{k}.shell"
    shell: "touch {output}"

rule by_script:
    output: "out/{k}.script"
    script: "touch.py"
"""
TOUCH = "open(snakemake.output[0], 'w').close()\n"


def snakemake(folder, *arguments, snakefile=ROOT / "Snakefile", environment=None, one_core=False):
    """Wall time in seconds of a run of Snakemake in `folder`, and what it printed."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--directory", folder]
    command = list(map(str, [*command, *arguments]))
    core = {min(os.sched_getaffinity(0))}
    started = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | (environment or {}),
        preexec_fn=(lambda: os.sched_setaffinity(0, core)) if one_core else None,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return time.monotonic() - started, done.stdout + done.stderr


def minute(folder, change):
    """The study of a minute in `folder`, its configuration changed by `change`."""
    config = yaml.safe_load((ROOT / "tests/study/config.yaml").read_text())
    change(config)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def made_up(n_models):
    """A change of the study of a minute to 10 data sets, `n_models` models and 10 variants."""

    def change(config):
        rows = {"datasets": 10, "models": n_models}
        for table, n in rows.items():
            (row,) = config[table].values()
            config[table] = {f"{table}_{k}": row for k in range(n)}
        circles = {f"circle_{k}": 0.1 + 0.04 * k for k in range(9)}
        config["variants"] = {"original": {"label": "Original", "keep": "everything"}} | {
            name: {"label": name, "keep": "center", "radius": r} for name, r in circles.items()
        }
        for table in (*rows, "variants"):
            config["studies"]["minute"][table] = list(config[table])

    return change


def dry_runs(folder):
    """A row for each number of models: seconds and jobs of a dry run on one core."""
    rows = []
    for n_models in N_MODELS:
        minute(folder, made_up(n_models))
        arguments = ("--cores", "1", "--dry-run", "--quiet", "rules")
        seconds, output = snakemake(folder, *arguments, one_core=True)
        n_jobs = int(
            next(line for line in output.splitlines() if line.startswith("total")).split()[1]
        )
        rows.append({"models": n_models, "jobs": n_jobs, "seconds": seconds})
    return rows


def seconds_a_job(folder, kind, n, *arguments, environment=None):
    """Seconds of a job that does nothing: of n more jobs, a share."""
    (folder / "Snakefile").write_text(NOTHING)
    (folder / "touch.py").write_text(TOUCH)
    walls = []
    # The first one warms the caches.
    for count in (1, 1, 1 + n):
        shutil.rmtree(folder / "out", ignore_errors=True)
        config = ("--config", f"count={count}", f"kind={kind}")
        given = (*arguments, *config, "--workflow-profile", "none")
        wall, _ = snakemake(folder, *given, snakefile=folder / "Snakefile", environment=environment)
        walls.append(wall)
    return (walls[2] - walls[1]) / n


def on_slurm():
    """Seconds of a job that does nothing on a Slurm of one node; None where there is none."""
    if reason := slurm_cluster.why_not():
        print(f"Not measured on Slurm: {reason}")
        return None
    cluster = Path(tempfile.mkdtemp(prefix="slurm_"))
    try:
        slurm_cluster.start(cluster)
        with tempfile.TemporaryDirectory() as folder:
            arguments = ("--executor", "slurm", "--jobs", "100", "--latency-wait", "10")
            arguments += ("--slurm-init-seconds-before-status-checks", "1")
            arguments += ("--slurm-status-command", "squeue", "--default-resources", "runtime=5")
            environment = slurm_cluster.environment(cluster)
            return seconds_a_job(
                Path(folder), "shell", JOBS_ON_SLURM, *arguments, environment=environment
            )
    finally:
        slurm_cluster.stop(cluster)


def splits(folder):
    """A row for each number of shards: wall time of masks and representations, same bytes."""
    rows, first = [], None
    (folder / "weights").mkdir()
    (folder / "weights/mobile_sam.pt").symlink_to(ROOT / "results/weights/mobile_sam.ckpt")
    for n in SHARDS:

        def split(config, n=n):
            config["datasets"]["emoji_scenes"] |= {"shards": n, "extraction_shards": n}
            config["models"]["image_statistics"]["batch_size"] = 6

        minute(folder, split)
        shutil.rmtree(folder / "results", ignore_errors=True)
        study, names = Study(ROOT, folder), {"dataset": "emoji_scenes"}
        manifest = study.path("manifests", "manifest", **names)
        features = study.path("features", "features", **names, model="image_statistics")
        snakemake(folder, "--cores", "2", "fetch_all_weights", manifest)
        wall, _ = snakemake(folder, "--cores", "2", features)
        with h5py.File(folder / features) as file:
            found = {name: file[name]["features"][:].tobytes() for name in file}
        first = first or found
        rows.append({"shards": n, "seconds": wall, "same_bytes": found == first})
    return rows


def row(case, peer, ours_s, peer_s, holds=True):
    """One row of the benchmark: our seconds against the peer's, a ratio of at most 1."""
    ratio = ours_s / peer_s
    values = ("scale", case, peer, ours_s, peer_s, ratio, "<= 1", ratio <= 1 and holds)
    return dict(zip(COLUMNS, values, strict=True))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        growth = dry_runs(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        here = {
            kind: seconds_a_job(Path(folder), kind, JOBS_HERE, "--cores", "1")
            for kind in ("shell", "script")
        }
    with tempfile.TemporaryDirectory() as folder:
        split = splits(Path(folder))
    slurm = on_slurm()

    largest = growth[-1]
    rows = [
        row(
            f"dry run of {largest['jobs']} jobs of {largest['models']} models",
            "goal of 60 s",
            largest["seconds"],
            60,
            largest["jobs"] >= LEAST_JOBS,
        )
    ]
    rows += [
        row(f"a {kind} that does nothing, here", "goal of 1 s", here[kind], 1) for kind in here
    ]
    if slurm is not None:
        rows.append(row("a shell that does nothing, on Slurm", "goal of 3 s", slurm, 3))
    for more in split[1:]:
        case = f"masks and representations in {more['shards']} shards"
        seconds = {"ours_s": more["seconds"], "peer_s": split[0]["seconds"]}
        told = {"goal": "same bytes", "holds": more["same_bytes"]}
        rows.append(row(case, "in one", **seconds) | told)
    write_rows("scale", rows)
    write_rows("scale_growth", growth)
