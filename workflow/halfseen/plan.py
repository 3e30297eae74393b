"""The plan of a study: how many jobs of each kind, and what they will take, before any starts."""

import csv
import io
import math
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import pandas as pd
import yaml

from halfseen.costs import FORMULAS, Size
from halfseen.datasets.layout import class_counts

WILDCARD = re.compile(r"\{(\w+)(?:,\s*([^{}]*))?\}")
# A benchmark's CPU time is that of its last sample: twice a second for 15.5 s, then every 30 s.
DENSE_S, SPARSE_S = 15.5, 30
# No core is so much faster than that of the default rates: such a job ran on a GPU.
GPU_PACE = 1 / 8
# A job that takes no longer than so many starts tells of no network: it kept what was there.
LEAST_STARTS = 2
# A job should ask for so many times what it is reckoned to take, and for Snakemake beside it.
MARGIN, RUNNER_MB = 1.3, 300
# Suggested requests are multiples of this many MB and minutes.
STEPS = {"mem_mb": 100, "runtime": 10}
NETWORKS = "build_shard", "extract_features", "extract_part"
COLUMNS = [
    "rule", "subject", "jobs", "jobs_to_run", "core_hours", "core_hours_to_run", "gpu_hours_to_run",
    "core_hours_with_gpu_to_run", "longest_s", "disk_gb_to_run", "memory_gb", "rate",
]  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A job of a rule: its wildcards {name: value}, and whether it is still to run.

    `asked` is what it asks for at its first attempt: threads, mem_mb, runtime in minutes and gpu,
    of which any may be missing.
    """

    rule: str
    wildcards: dict
    to_run: bool
    asked: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Pace:
    """What jobs took, as a multiple of what the default rates say, and MB of memory beyond them."""

    factor: float
    memory_mb: float
    n_jobs: int
    on_gpu: bool


def listed_jobs(listing, patterns, requests):
    """The jobs of a listing of outputs: tab-separated, with output_file, rule and plan.

    `patterns` {rule: [paths with wildcards]} tell a job's wildcards, `requests` {output: ...} what
    it asks for. Raises ValueError for a listing without these columns and an output that no pattern
    of its rule explains.
    """
    rows = list(csv.DictReader(io.StringIO(listing), delimiter="\t", quoting=csv.QUOTE_NONE))
    if not rows or not {"output_file", "rule", "plan"} <= rows[0].keys():
        raise ValueError(f"no listing of a study's outputs: {listing[:200]!r}")
    regexes = {rule: [pattern_regex(path) for path in paths] for rule, paths in patterns.items()}
    jobs = {}
    for row in rows:
        path, rule = row["output_file"], row["rule"]
        matches = [match for regex in regexes[rule] if (match := regex.fullmatch(path))]
        if not matches:
            raise ValueError(f"no output of rule {rule} has the path {path}")
        wildcards = _names(matches[0])
        key = rule, tuple(wildcards.items())
        pending = row["plan"] != "no update" or (key in jobs and jobs[key].to_run)
        jobs[key] = Job(rule, wildcards, pending, requests.get(path, {}))
    return list(jobs.values())


def pattern_regex(pattern):
    """A path with wildcards as a regular expression; names of rows have no dot and no slash."""
    text, end, seen = "", 0, set()
    for match in WILDCARD.finditer(pattern):
        name, constraint = match.groups()
        text += re.escape(pattern[end : match.start()])
        constraint = constraint or r"\w+"
        text += f"(?P={name})" if name in seen else f"(?P<{name}>{constraint})"
        end = match.end()
        seen.add(name)
    return re.compile(text + re.escape(pattern[end:]))


def dataset_size(row, manifest, defaults):
    """The Size of a data set by its manifest, its row, its folder of class/image or `defaults`."""
    if Path(manifest).is_file():
        labels = pd.read_csv(manifest, usecols=["label"]).label
        return Size(len(labels), labels.nunique(), "manifest")
    n, n_classes = row.get("n_images"), row.get("n_classes")
    source = "config"
    if not n and row["kind"] == "folder":
        counts = class_counts(os.path.expandvars(row["root"]))
        n, n_classes = sum(counts.values()), len(counts) or None
        source = "folder"
    if not n:
        n, source = defaults["images"]["value"], "default"
    n_classes = n_classes or defaults["classes"]["value"]
    if row.get("images_per_class"):
        n = min(n, n_classes * row["images_per_class"])
    return Size(int(n), int(n_classes), source)


def measured_paces(folder, patterns, costs):
    """{(rule, subject): Pace} of the benchmarks in `folder`; subject "" stands for all of a rule.

    `patterns` {rule: path of its benchmark}. It is the median over a rule's jobs; of networks the
    slowest, since a job that kept some of the variants was quicker. What is of rows that are gone
    counts for nothing, and neither does fetching: the next file comes from elsewhere.
    """
    found = {}
    for rule, pattern in patterns.items():
        if rule.startswith("fetch_"):
            continue
        regex = pattern_regex(pattern)
        parent = Path(folder) / rule
        for wildcards, path in _newest(parent, rule, regex).items():
            if told := _told(path, rule, dict(wildcards), costs):
                for subject in dict.fromkeys([told[0], ""]):
                    found.setdefault((rule, subject), []).append(told[1])
    return {key: _summary(key[0], paces) for key, paces in found.items()}


def _newest(parent, rule, regex):
    """{wildcards: path} of a rule's benchmarks; of jobs that differ in their key alone the last."""
    paths = [*parent.parent.glob(f"{rule}.tsv"), *parent.rglob("*.tsv")]
    return {
        tuple(_names(match).items()): path
        for path in sorted(paths, key=lambda path: (path.stat().st_mtime, path))
        if (match := regex.fullmatch(str(path)))
    }


def core_seconds(benchmark):
    """Core seconds of a job from its benchmark {column: text}: the last sample's, up to its end."""
    seconds = float(benchmark["s"])
    if benchmark["cpu_time"] in ("NA", "-") or float(benchmark["cpu_time"]) == 0:
        return seconds
    sampled = seconds
    if seconds > DENSE_S:
        sampled = DENSE_S + SPARSE_S * math.floor((seconds - DENSE_S) / SPARSE_S)
    return float(benchmark["cpu_time"]) * seconds / sampled


def plan_table(jobs, costs, paces):
    """The plan (COLUMNS): a row for each rule and, of networks, for each subject.

    Hours on one core, of all jobs and of those to run; with a GPU for the networks; the longest job
    to run on one core; disk that the jobs to run will fill; the largest job's memory; and whether
    the rate is measured here or a default, and what the defaults do not know either.
    """
    groups, places = {}, {rule: place for place, rule in enumerate(FORMULAS)}
    for job in sorted(jobs, key=lambda job: places.get(job.rule, len(places))):
        cost = costs.of(job.rule, job.wildcards)
        subject = cost.subject if job.rule in NETWORKS else ""
        groups.setdefault((job.rule, subject), []).append((job, cost))
    rows = [_row(*key, group, paces) for key, group in groups.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def short_requests(jobs, costs, paces):
    """{rule: {"mem_mb" and "runtime"}} that a rule should ask for at first where it asks for less.

    It is what the largest of the jobs to run takes, times `MARGIN`, and no less than any of them
    asks for now. Minutes are those on the threads, or on the GPU, that a job asks for.
    """
    found = {}
    for job in jobs:
        for name, needed in _needed(job, costs, paces).items() if job.to_run else ():
            if name in job.asked:
                found.setdefault((job.rule, name), []).append((needed, job.asked[name]))
    short = {}
    for (rule, name), amounts in found.items():
        if any(needed > asked for needed, asked in amounts):
            step = STEPS[name]
            short.setdefault(rule, {})[name] = step * math.ceil(max(map(max, amounts)) / step)
    return short


def requests_text(short, of_profile):
    """What `short_requests` says, as text for people and lines for a profile of Snakemake.

    They hold what `of_profile` {rule: {resource: value}} sets there already.
    """
    if not short:
        return f"Asked:   every job asks for {MARGIN} times what it takes, or more\n"
    rows = {rule: dict(row) for rule, row in of_profile.items()}
    for rule, row in short.items():
        grown = {name: f"{amount} * attempt" for name, amount in row.items()}
        rows[rule] = rows.get(rule, {}) | grown
    lines = yaml.safe_dump({"set-resources": rows}, sort_keys=False)
    return (
        f"Asked:   {', '.join(short)} ask a cluster for less than {MARGIN} times what their largest"
        f" jobs take. In the profile, this takes the place of its set-resources:\n\n{lines}"
    )


def described(table, sizes, cores):
    """The plan as text for people: the table, totals and the sizes of the data sets."""
    totals = table.select_dtypes("number").sum()
    shown = pd.DataFrame({heading: form(table) for heading, form in SHOWN.items()})
    lines = [shown.to_markdown(index=False, disable_numparse=True), ""]
    hours, on_gpu = totals.core_hours_to_run, totals.gpu_hours_to_run
    wall = max(hours / cores, table.longest_s.max() / 3600) if len(table) else 0
    lines += [
        f"Jobs:    {totals.jobs_to_run:.0f} to run, of {totals.jobs:.0f}",
        f"Time:    {_time(hours)} on one core, {_time(wall)} on {cores} cores without a GPU"
        f" (the whole study: {_time(totals.core_hours)} on one core)",
        f"GPU:     {_time(on_gpu)} on one GPU for the networks, and"
        f" {_time(totals.core_hours_with_gpu_to_run)} on one core for the rest",
        f"Disk:    {totals.disk_gb_to_run:.3g} GB",
        f"Memory:  {table.memory_gb.max():.3g} GB for the largest job",
    ]
    lines += [
        f"Images:  {size.n:,} of {size.n_classes} classes in {name} ({size.source})"
        for name, size in sizes.items()
    ]
    return "\n".join(lines) + "\n"


def _time(hours):
    if hours < 0.1:
        return f"{3600 * hours:.0f} s"
    if hours < 3:
        return f"{60 * hours:.0f} min"
    return f"{hours:,.1f} h" if hours < 100 else f"{hours:,.0f} h"


SHOWN = {
    "rule": lambda table: table.rule,
    "of": lambda table: table.subject,
    "jobs": lambda table: table.jobs,
    "to run": lambda table: table.jobs_to_run,
    "one core, all": lambda table: table.core_hours.map(_time),
    "one core": lambda table: table.core_hours_to_run.map(_time),
    "one GPU": lambda table: [_time(hours) if hours else "" for hours in table.gpu_hours_to_run],
    "disk, GB": lambda table: table.disk_gb_to_run.map("{:.3g}".format),
    "memory, GB": lambda table: table.memory_gb.map("{:.2g}".format),
    "rate": lambda table: table.rate,
}


def _names(match):
    """The wildcards of a path, but for its key, which says nothing of what a job costs."""
    return {name: value for name, value in match.groupdict().items() if name != "key"}


def _told(path, rule, wildcards, costs):
    """The subject and the Pace of one benchmark; None if it tells nothing of this config."""
    try:
        cost = costs.of(rule, wildcards)
    except KeyError:
        return None
    with open(path, encoding="utf-8") as file:
        benchmark = list(csv.DictReader(file, delimiter="\t"))[-1]
    factor, on_gpu = core_seconds(benchmark) / cost.core_s, False
    if rule in NETWORKS and factor < GPU_PACE:
        if float(benchmark["s"]) < LEAST_STARTS * costs.rates["start_network"]:
            return None
        factor, on_gpu = float(benchmark["s"]) / cost.gpu_s, True
    memory = 0 if benchmark["max_rss"] in ("NA", "-") else float(benchmark["max_rss"])
    return cost.subject, Pace(factor, memory - cost.memory_mb if memory else 0, 1, on_gpu)


def _summary(rule, paces):
    on_gpu = any(pace.on_gpu for pace in paces)
    paces = [pace for pace in paces if pace.on_gpu == on_gpu]
    factors = [pace.factor for pace in paces]
    factor = max(factors) if rule in NETWORKS else median(factors)
    return Pace(factor, max(pace.memory_mb for pace in paces), len(paces), on_gpu)


def _pace(rule, cost, paces):
    """The measured pace of a job; None where no job of its kind was measured."""
    pace = paces.get((rule, cost.subject))
    # One network tells nothing of another.
    return pace if pace or rule in NETWORKS else paces.get((rule, ""))


def _paced(cost, pace):
    """The Cost of a job at a measured pace; as it is where there is none."""
    if not pace:
        return cost
    return replace(
        cost,
        core_s=cost.core_s * (1 if pace.on_gpu else pace.factor),
        gpu_s=cost.gpu_s * (pace.factor if pace.on_gpu else 1),
        memory_mb=cost.memory_mb + pace.memory_mb,
    )


def _needed(job, costs, paces):
    """MB and minutes that a job should ask for."""
    cost = costs.of(job.rule, job.wildcards)
    cost = _paced(cost, _pace(job.rule, cost, paces))
    on_gpu = job.asked.get("gpu") and cost.gpu_s
    seconds = cost.gpu_s if on_gpu else cost.core_s / job.asked.get("threads", 1)
    return {
        "mem_mb": MARGIN * cost.memory_mb + RUNNER_MB,
        "runtime": MARGIN * seconds / 60,
    }


def _row(rule, subject, group, paces):
    core, core_to_run, gpu, beside, disk, longest, memory = 0, 0, 0, 0, 0, 0, 0
    measured, unknown, n_default = {}, {}, 0
    for job, cost in group:
        pace = _pace(rule, cost, paces)
        cost = _paced(cost, pace)
        core += cost.core_s
        memory = max(memory, cost.memory_mb)
        if job.to_run:
            core_to_run, gpu = core_to_run + cost.core_s, gpu + cost.gpu_s
            disk, longest = disk + cost.disk_mb, max(longest, cost.core_s)
            # A job on a GPU holds one core as long.
            beside += cost.gpu_s or cost.core_s
        if pace:
            measured[rule, cost.subject] = pace
        else:
            n_default += 1
            unknown |= {cost.assumed: None} if cost.assumed else {}
    return (
        rule, subject, len(group), sum(job.to_run for job, _ in group), core / 3600,
        core_to_run / 3600, gpu / 3600, beside / 3600, longest, disk / 1000, memory / 1000,
        _basis(measured, n_default, unknown),
    )  # fmt: skip


def _basis(measured, n_default, unknown):
    """Where a row's rates are from, in words."""
    words = []
    if measured:
        where = " on a GPU" if any(pace.on_gpu for pace in measured.values()) else ""
        n_jobs = sum({id(pace): pace.n_jobs for pace in measured.values()}.values())
        words.append(f"measured{where} ({n_jobs} jobs)")
    if n_default:
        words.append("default" + (f", not known: {', '.join(unknown)}" if unknown else ""))
    return "; ".join(words)
