"""The study of a minute on a real Slurm of one node: it meets one fault after the other.

In the end its results are those of a local run, byte for byte.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import slurm_cluster
from workflow_copy import Study, copy_workflow, started_jobs

SECONDS = 400  # for the whole of a run of Snakemake
WRITTEN_BY_THE_RUN = {"logs", "benchmarks", "report.html", "artifacts.csv"}
# Long enough for Slurm, which looks every second, to see it; logs are in no key.
HOLD_500_MB = """

if sys.argv[0].endswith(".write_manifest.py"):
    import time

    held = b"x" * (500 * 2**20)
    time.sleep(4)
"""
COUNT_THREADS = """

rule count_threads:
    output:
        "threads/{n}.json",
    threads: lambda wildcards: int(wildcards.n)
    script:
        "workflow/scripts/count_threads.py"
"""
COUNT_THREADS_SCRIPT = """
import json, os
import numpy, sklearn, torch
from threadpoolctl import threadpool_info
from halfseen.devices import use_threads

use_threads(snakemake.threads)
counts = {
    "scheduler": int(os.environ["SLURM_CPUS_PER_TASK"]),
    "torch": torch.get_num_threads(),
    "openmp": int(os.environ["OMP_NUM_THREADS"]),
    "pools": sorted({pool["num_threads"] for pool in threadpool_info()}),
}
with open(snakemake.output[0], "w") as file:
    json.dump(counts, file)
"""


@pytest.fixture(scope="module")
def cluster():
    """The folder of a running Slurm."""
    if reason := slurm_cluster.why_not():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="slurm_"))
    try:
        slurm_cluster.start(folder)
        yield folder
    finally:
        slurm_cluster.stop(folder)


@pytest.fixture(scope="module")
def new_study(root, mobile_sam, tmp_path_factory):
    """A function that makes a study of a minute with a copy of the workflow."""

    def make():
        folder = tmp_path_factory.mktemp("study")
        shutil.copy(root / "tests/study/config.yaml", folder)
        (folder / "weights").mkdir()
        (folder / "weights/mobile_sam.pt").symlink_to(mobile_sam)
        return Study(copy_workflow(root, tmp_path_factory.mktemp("workflow")), folder)

    return make


class Submitted:
    """A run of Snakemake that submits to the Slurm of a folder, by one of the shipped profiles."""

    def __init__(self, study, cluster, profile, *arguments):
        self.cluster, self.log = cluster, study.folder / f"{profile}.log"
        # Polls sooner than a real cluster wants it. What is in OMP_NUM_THREADS must not count.
        arguments += ("--workflow-profile", study.workflow / "workflow/profiles" / profile)
        arguments += ("--slurm-init-seconds-before-status-checks", 1, "--latency-wait", 10)
        env = os.environ | slurm_cluster.environment(cluster) | {"OMP_NUM_THREADS": "7"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                study.command(*arguments), env=env, stdout=log, stderr=subprocess.STDOUT
            )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.kill()

    def job(self, name, state):
        """The id of a job whose comment begins with `name`, as soon as one is in this state."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            for row in jobs_of(self.cluster):
                if row.comment.startswith(name) and row.state == state:
                    return row.id
            time.sleep(0.2)
        raise AssertionError(f"no job {name} was ever {state}:\n{self.log.read_text()}")

    def finish(self):
        """What the run has printed, once it has ended well."""
        try:
            code = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            code = f"none after {SECONDS} s"
        assert code == 0, f"exit code {code}:\n{self.log.read_text()}"
        return self.log.read_text()

    def kill(self):
        """End Snakemake so that it can do nothing about it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def jobs_of(cluster):
    """Every job that Slurm has seen, oldest first."""
    fields = {"id": "%A", "state": "%T", "memory": "%m", "partition": "%P", "comment": "%k"}
    command = ["squeue", "--noheader", "--states=all", "--sort=i"]
    lines = slurm_cluster.call(cluster, *command, "--format=" + "|".join(fields.values()))
    rows = [dict(zip(fields, line.split("|"), strict=True)) for line in lines.splitlines()]
    return [SimpleNamespace(**row | {"id": int(row["id"])}) for row in rows]


def results_of(study):
    """The bytes of every result of a study, by its path."""
    folder = study.folder / "results"
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = [path.relative_to(folder) for path in paths]
    return {
        str(name): path.read_bytes()
        for name, path in zip(names, paths, strict=True)
        if not WRITTEN_BY_THE_RUN & set(name.parts) and name.suffix != ".json"
    }


@pytest.fixture(scope="module")
def told(cluster, new_study, root):
    """What happened to a study whose node was drained, whose job was cancelled and had too little
    memory, and whose Snakemake was killed and started again with another profile."""
    study = new_study()
    study.append("../Snakefile", COUNT_THREADS)
    (study.workflow / "workflow/scripts/count_threads.py").write_text(COUNT_THREADS_SCRIPT)
    asked = '"write_manifest": (4000, ', '"write_manifest": (600, '
    study.replace("halfseen/study/study.py", *asked)
    study.append("halfseen/logs.py", HOLD_500_MB)
    node = slurm_cluster.call(cluster, "sinfo", "--noheader", "--format=%n").split()[0]
    told = SimpleNamespace(study=study, cluster=cluster)

    slurm_cluster.call(
        cluster, "scontrol", "update", f"nodename={node}", "state=drain", "reason=a test"
    )
    targets = ["all", "threads/1.json", "threads/2.json"]
    with Submitted(study, cluster, "slurm", *targets) as first:
        first.job("rule_manifests", "PENDING")
        time.sleep(5)
        told.while_drained = jobs_of(cluster)
        slurm_cluster.call(cluster, "scontrol", "update", f"nodename={node}", "state=resume")

        told.cancelled = first.job("rule_build_shard", "RUNNING")
        slurm_cluster.call(cluster, "scancel", str(told.cancelled))
        told.orphan = first.job("rule_extract_features", "RUNNING")
        first.kill()
    told.before = jobs_of(cluster)
    env = os.environ | slurm_cluster.environment(cluster)
    command = ["make", "-C", root, "cancel_slurm", f"FOLDER={study.folder}"]
    subprocess.run(command, env=env, check=True, timeout=60)
    told.left = [row for row in jobs_of(cluster) if row.state in ("RUNNING", "PENDING")]
    study.run("--unlock")
    with Submitted(study, cluster, "slurm-gpu", *targets) as second:
        told.output = second.finish()
    told.after = jobs_of(cluster)
    return told


def named(rows, name):
    return [row for row in rows if row.comment.startswith(f"rule_{name}")]


def test_a_drained_node_delays_and_loses_nothing(told):
    assert {row.state for row in told.while_drained} == {"PENDING"}
    assert {row.id for row in told.while_drained} <= {row.id for row in told.after}


def test_a_job_above_its_memory_is_tried_again_with_more(told):
    attempts = named(told.after, "manifests")
    assert len(attempts) > 1
    assert [row.memory for row in attempts] == ["600M", "1200M", "1800M"][: len(attempts)]
    assert attempts[-1].state == "COMPLETED"
    assert {row.state for row in attempts[:-1]} <= {"FAILED", "OUT_OF_MEMORY"}


def test_a_cancelled_job_is_noticed_and_tried_again(told):
    shards = named(told.after, "build_shard")
    assert [row.id for row in shards if row.state == "CANCELLED"] == [told.cancelled]
    assert [row.memory for row in shards if row.id == told.cancelled] == ["4000M"]
    again = [row for row in shards if row.id > told.cancelled and row.memory == "8000M"]
    assert [row.state for row in again] == ["COMPLETED"]


def test_what_a_killed_snakemake_left_in_the_queue_is_ended_on_request(told):
    assert told.orphan in {row.id for row in told.before if row.state == "RUNNING"}
    assert told.left == []
    assert [row.state for row in told.after if row.id == told.orphan] == ["CANCELLED"]


def test_started_again_it_repeats_no_finished_job(told):
    jobs = started_jobs(told.output)
    assert not jobs.keys() & {"fetch_weights", "write_manifest", "build_shard", "count_threads"}
    assert jobs["extract_features"] == 1
    assert "Nothing to be done" in told.study.run()


def test_with_gpus_the_networks_ask_for_one(told):
    last = named(told.after, "extract_features")[-1]
    assert (last.partition, last.state) == ("gpu", "COMPLETED")
    shown = slurm_cluster.call(told.cluster, "scontrol", "show", "job", str(last.id))
    assert re.search(r"TresPerJob=gres[:/]gpu:1\b", shown)
    assert {row.partition for row in named(told.after, "fit_probes")} == {"cpu"}


def test_jobs_of_seconds_share_a_submission(told):
    for group, rules, count in (("figures", "plot_", 11), ("analyses", "measure_|count_n", 2)):
        assert [row.state for row in named(told.after, group)] == ["COMPLETED"]
        assert len(re.findall(rf"Finished jobid: \d+ \(Rule: (?:{rules})", told.output)) == count


@pytest.mark.parametrize("n", [1, 2])
def test_a_job_uses_as_many_threads_as_it_has_cpus(told, n):
    counts = json.loads((told.study.folder / f"threads/{n}.json").read_text())
    assert counts == {"scheduler": n, "torch": n, "openmp": n, "pools": [n]}


def test_the_results_are_those_of_a_local_run_byte_for_byte(told, new_study):
    local = new_study()
    local.run()
    expected, found = results_of(local), results_of(told.study)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    assert len(expected) > 50
