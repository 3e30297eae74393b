"""What `make bench` says of a run's overhead."""

import importlib
import os
import sys

import pytest

LISTING = """
rule read:
    output: out/a
    benchmark: bench/a.tsv
    jobid: 2

localrule draw:
    input: out/a, given
    output: out/b, out/c
    benchmark: bench/b.tsv
    threads: 2

rule all:
    input: out/b, out/c

Job stats:
"""


@pytest.fixture(scope="module")
def packing(root):
    sys.path.insert(0, str(root / "tests/bench"))
    yield importlib.import_module("packing")
    sys.path.remove(str(root / "tests/bench"))


@pytest.fixture
def jobs(packing):
    def make(**rows):
        """name: (seconds, names that it waits for[, threads])"""
        return {
            name: packing.Done("rule", row[0], 0.0, row[2] if len(row) > 2 else 1, tuple(row[1]))
            for name, row in rows.items()
        }

    return make


def test_independent_jobs_share_the_cores(packing, jobs):
    four = jobs(a=(3, ""), b=(3, ""), c=(2, ""), d=(2, ""))
    assert packing.packed_seconds(four, 2) == 5
    assert packing.packed_seconds(four, 1) == 10
    assert packing.packed_seconds(four, 4) == 3


def test_a_chain_is_followed_first_and_is_never_shortened(packing, jobs):
    # b and c are as long as a, but d waits for a
    chained = jobs(b=(2, ""), c=(2, ""), a=(2, ""), d=(4, "a"))
    assert max(packing.chains(chained).values()) == 6
    assert packing.packed_seconds(chained, 2) == 6
    assert packing.packed_seconds(chained, 8) == 6


def test_a_job_of_two_threads_takes_both_cores_and_on_one_core_that_one(packing, jobs):
    wide = jobs(a=(3, "", 2), b=(1, ""), c=(1, ""))
    assert packing.packed_seconds(wide, 2) == 4
    assert packing.packed_seconds(wide, 1) == 5


def test_jobs_are_read_off_a_dry_run_and_the_benchmarks(packing, tmp_path):
    (tmp_path / "bench").mkdir()
    for name, seconds, end in (("a", 4, 104), ("b", 6, 112)):
        path = tmp_path / f"bench/{name}.tsv"
        path.write_text(f"s\tmax_rss\n{seconds}\t100\n")
        os.utime(path, (end, end))
    jobs = packing.done_jobs(LISTING, tmp_path)
    assert jobs == {
        0: packing.Done("read", 4, 104, 1, ()),
        1: packing.Done("draw", 6, 112, 2, (0,)),
    }
    # the first begins at 100 and the last ends at 112; two seconds lie between them
    assert packing.wall_seconds(jobs) == 12
    (row,), _ = packing.overhead_rows(jobs)
    assert (row["ours_s"], row["peer_s"]) == (2, 12)
    assert row["ratio"] == pytest.approx(1 / 6)
    assert not row["holds"]


def test_a_run_that_is_not_finished_is_told_from_one_that_is(packing, tmp_path):
    with pytest.raises(ValueError, match="read has left no .*a.tsv; finish the study"):
        packing.done_jobs(LISTING, tmp_path)
