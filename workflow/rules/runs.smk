"""What is asked of this run of Snakemake, and of others that it starts with the same configuration."""

import csv
import io
import json
import subprocess
import tempfile
from functools import cache

from snakemake.iocontainers import InputFiles, Wildcards

# As the profiles have them.
TRIGGERS = ("mtime", "params", "software-env")


def files_of_run():
    """(path, row) of each weight file and archive that the jobs of this run are to fetch."""
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "fetch_weights":
            yield job.output.weights, config["weights"][job.wildcards.weights]
        elif job.rule.name == "fetch_archive":
            yield job.output.archive, config["archives"][job.wildcards.archive]


def refuse_unknown_hashes(jobs):
    """Stop before a job whose key would hold no hash of a file that it reads."""
    unknown = study.without_hash()
    paths = {study.weight_path(name) for name in unknown["weights"]}
    paths |= {study.archive_path(name) for name in unknown["archives"]}
    readers = [job for job in jobs if job.rule.name != "fetch_all_weights"]
    wanted = sorted({path for job in readers for path in map(str, job.input) if path in paths})
    if wanted:
        raise WorkflowError(
            f"No hash is known of {len(wanted)} file(s), so nothing can be named after what it was made from. Fetch "
            "them first; that records their hashes in workflow/resources:\n"
            f"snakemake --cores 1 --config study={STUDY} -- {' '.join(wanted)}"
        )


def snakemake_again(arguments, log=None):
    """What a Snakemake of its own prints that has this run's configuration, whatever file or option gave it."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(GIVEN, file)
        file.flush()
        command = [
            sys.executable,
            "-m",
            "snakemake",
            *arguments,
            "--snakefile",
            str(ROOT / "Snakefile"),
        ]
        command += ["--configfile", file.name, "--workflow-profile", "none"]
        command += ["--rerun-triggers", *TRIGGERS]
        done = subprocess.run(command, capture_output=True, text=True)
    if log:
        Path(log).write_text(done.stdout + done.stderr)
    if done.returncode:
        raise WorkflowError(
            f"snakemake {' '.join(map(str, arguments))}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout


@cache
def study_listing():
    """Every output of the study with its rule and whether it is to be made, as --summary lists them.

    A Snakemake of its own builds the DAG, since that of this run holds nothing but the plan.
    """
    return snakemake_again(["all", "--summary", "--nolock"])


def listing_of_study(wildcards):
    """What `study_listing` gives."""
    return study_listing()


def requests_of_jobs(wildcards):
    """{output: what its job asks for at its first attempt}, of all that a cluster would run.

    It is what the rules say, and the profile of this run; no job's input is looked at.
    """
    requests = {}
    for row in csv.DictReader(io.StringIO(study_listing()), delimiter="\t"):
        maker, path = workflow.get_rule(row["rule"]), row["output_file"]
        if maker.name not in workflow._localrules:
            of_job = Wildcards(fromdict=maker.get_wildcards(path))
            asked = dict(maker.expand_resources(of_job, InputFiles(), attempt=1).items())
            on_gpu = bool(asked.get("gpu")) or "gpu" in asked.get("gres", "")
            known = {
                key: asked[key] for key in ("mem_mb", "runtime") if type(asked.get(key)) is int
            }
            requests[path] = known | {"threads": asked["_cores"], "gpu": on_gpu}
    return requests


def resources_of_profile(wildcards):
    """{rule: {resource: value}} that the profile of this run sets."""
    rows = workflow.resource_settings._parsed_overwrite_resources
    return {rule: {name: value.raw for name, value in row.items()} for rule, row in rows.items()}


def manifests_of_datasets(wildcards):
    """{data set: the path of its manifest}"""
    return {name: study.manifest(name).path("manifest") for name in study.datasets}


def outputs_of_rules(wildcards):
    """{rule: the paths that it writes}"""
    return {rule.name: list(map(str, rule.output)) for rule in workflow.rules if rule.output}


def benchmarks_of_rules(wildcards):
    """{rule: the path of its benchmark}"""
    return {rule.name: str(rule.benchmark) for rule in workflow.rules if rule.benchmark}


def cores_of_run(wildcards):
    """How many cores this run may use."""
    return workflow.cores or 1


def unneeded(wildcards):
    """What no study of the configuration needs, and its size."""
    return unneeded_files(config)


@cache
def say_news_in_a_dry_run():
    """Say once what would be made anew and why; a run says it as it starts."""
    if workflow.is_main_process and workflow.dryrun:
        print(news_text(study), end="", file=sys.stderr)
