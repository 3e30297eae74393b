"""What a finished run of the study took beside its work: `python tests/bench/packing.py [FOLDER]`.

Every job's seconds, end and rule are in the benchmark that it left, what it waits for in a dry run.
- wall: from the first job's start to the last one's end;
- longest chain: the jobs that must follow one another and take longest;
- packed: all jobs on two cores, the one with the longest chain behind it first, none waiting for
  Snakemake. No run is shorter than the chain or half of the sum, and this is close to the shortest.
The overhead is the share of the wall time beyond `packed`. It says nothing of a run that was
continued, or shared the machine with others: jobs that take turns last longer, and count as work.
"""

import ast
import heapq
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from show import COLUMNS, write_rows

ROOT = Path(__file__).resolve().parents[2]
GOAL = 0.15


@dataclass(frozen=True)
class Done:
    """A job that is done: its seconds, its end (Unix time), threads and what it waited for."""

    rule: str
    seconds: float
    end: float
    threads: int
    after: tuple


def done_jobs(listing, folder):
    """{number: Done} of a dry run of all jobs as it is printed.

    What has no benchmark is left out, and so is fetching, which may have been done long before.
    Raises ValueError that names a job which is not done.
    """
    blocks = re.split(r"^(?=(?:local)?rule \w+:$)", listing, flags=re.MULTILINE)[1:]
    told, maker = {}, {}
    for number, block in enumerate(blocks):
        block = block.split("\n\n")[0]
        fields = dict(re.findall(r"^    (\w+): (.*)$", block, flags=re.MULTILINE))
        told[number] = re.match(r"(?:local)?rule (\w+)", block).group(1), fields
        maker |= dict.fromkeys(_paths(fields, "output"), number)
    jobs = {}
    for number, (rule, fields) in told.items():
        if "benchmark" in fields and not rule.startswith("fetch_"):
            path = Path(folder) / fields["benchmark"]
            if not path.is_file():
                raise ValueError(f"{rule} has left no {path}; finish the study in {folder} first")
            seconds = float(pd.read_csv(path, sep="\t").s.iloc[-1])
            after = {maker[path] for path in _paths(fields, "input") if path in maker}
            after = {other for other in after if not told[other][0].startswith("fetch_")}
            threads = int(fields.get("threads", 1))
            jobs[number] = Done(rule, seconds, path.stat().st_mtime, threads, tuple(sorted(after)))
    return jobs


def chains(jobs):
    """{number: seconds of the longest chain that begins with this job}."""
    behind, found = {number: [] for number in jobs}, {}
    for number, job in jobs.items():
        for before in job.after:
            behind[before].append(number)

    def longest(number):
        if number not in found:
            found[number] = jobs[number].seconds + max(map(longest, behind[number]), default=0)
        return found[number]

    return {number: longest(number) for number in jobs}


def packed_seconds(jobs, cores):
    """Seconds of all jobs on so many cores, the one with the longest chain behind it first."""
    chain, waiting = chains(jobs), {number: set(job.after) for number, job in jobs.items()}
    ready = [(-chain[number], number) for number, before in waiting.items() if not before]
    heapq.heapify(ready)
    running, free, now = [], cores, 0.0
    while ready or running:
        while ready and min(jobs[ready[0][1]].threads, cores) <= free:
            _, number = heapq.heappop(ready)
            free -= min(jobs[number].threads, cores)
            heapq.heappush(running, (now + jobs[number].seconds, number))
        now, number = heapq.heappop(running)
        free += min(jobs[number].threads, cores)
        for other, before in waiting.items():
            if number in before:
                before.remove(number)
                if not before:
                    heapq.heappush(ready, (-chain[other], other))
    return now


def wall_seconds(jobs):
    """From the start of the first job to the end of the last one."""
    begun = min(job.end - job.seconds for job in jobs.values())
    return max(job.end for job in jobs.values()) - begun


def measured_jobs(folder, *arguments):
    """The `Done` jobs of the study in `folder`."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--cores", "2", "--dry-run", "--forceall", "--nolock"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return done_jobs(done.stdout + done.stderr, folder)


def overhead_rows(jobs, wall=None, cores=2):
    """The rows of the benchmark, and what the wall time consists of; by default it is the jobs'."""
    wall, packed = wall or wall_seconds(jobs), packed_seconds(jobs, cores)
    overhead = (wall - packed) / wall
    row = (
        "study",
        f"beyond the work, on {cores} cores",
        "wall time",
        wall - packed,
        wall,
        overhead,
    )
    parts = {
        "wall": wall,
        "packed": packed,
        "longest chain": max(chains(jobs).values()),
        "sum of the jobs": sum(job.seconds for job in jobs.values()),
    }
    told = dict(zip(COLUMNS, (*row, f"<= {GOAL}", overhead <= GOAL), strict=True))
    return [told], [{"wall time": name, "seconds": seconds} for name, seconds in parts.items()]


def start_rows(jobs):
    """How long the imports of every rule's script take, alone, and of all its jobs together."""
    total, rows = sum(job.seconds for job in jobs.values()), []
    for rule in sorted({job.rule for job in jobs.values()}):
        script = ROOT / f"workflow/scripts/{rule}.py"
        if not script.is_file():
            continue
        body = [node for node in ast.parse(script.read_text()).body if _is_import(node)]
        lines = f"import sys; sys.path.insert(0, {str(ROOT / 'workflow')!r})\n"
        lines += ast.unparse(ast.Module(body, []))
        begun = time.monotonic()
        subprocess.run([sys.executable, "-c", lines], check=True)
        seconds, n = time.monotonic() - begun, sum(job.rule == rule for job in jobs.values())
        rows.append(
            {"rule": rule, "jobs": n, "start_s": seconds, "starts_s": n * seconds,
             "share_of_all_jobs": n * seconds / total}
        )  # fmt: skip
    return sorted(rows, key=lambda row: -row["starts_s"])


def _is_import(node):
    return isinstance(node, ast.Import | ast.ImportFrom)


def _paths(fields, name):
    return [path for path in fields.get(name, "").split(", ") if path]


if __name__ == "__main__":
    jobs = measured_jobs(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
    rows, parts = overhead_rows(jobs)
    write_rows("overhead", rows)
    write_rows("overhead_parts", parts)
    starts = start_rows(jobs)
    write_rows("starts", starts)
    for table in (rows, parts, starts):
        print(pd.DataFrame(table).to_markdown(index=False), end="\n\n")
