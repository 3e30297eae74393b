"""What the rules look up: the files of the study and what its jobs are given. `halfseen.study` knows it all."""

from types import SimpleNamespace


def files(stage):
    """The paths of the files of a stage by name, which its rule writes."""
    return {name: f"results/{path}" for name, path in FILES[stage].items()}


def artifact(stage, wildcards):
    """The study's artifact that a job is to make; an error where it asks for another key."""
    say_news_in_a_dry_run()
    made = study.artifact(stage, dict(wildcards))
    if made.key != wildcards.key:
        raise WorkflowError(
            f"{stage} of {made.names} under the key {wildcards.key} came from other parameters; now it is "
            f"{made.path('record').removesuffix('.json')}.*"
        )
    return made


def inputs(stage):
    """The input function of a rule that makes a stage.

    What is fetched is held to its hash where it is used, so its time tells nothing: only what is still to be made asks
    for it. Where Snakemake compares the sets of inputs, all are named at any time.
    """

    def paths(wildcards):
        made = artifact(stage, wildcards)
        is_kept = made.exists and RerunTrigger.INPUT not in workflow.rerun_triggers
        return made.input_paths | ({} if is_kept else made.fetched)

    return paths


def job(stage):
    """What a job is given beside its files. A namespace, which Snakemake never compares: the path has its key."""

    def given(wildcards):
        return SimpleNamespace(**artifact(stage, wildcards).given(COMMIT))

    return given


def every(stage, file):
    """The input function of a rule that reads one kind of file of a stage, of all the study."""

    def paths(wildcards):
        return study.paths(stage, file)

    return paths


def memory(rule):
    """A function of a job's attempt: tried again, it gets as much memory once more."""

    def memory_mb(wildcards, attempt):
        return study.memory_mb(rule, wildcards.dataset) * attempt

    return memory_mb


def minutes(rule):
    """The same of its minutes."""

    def runtime(wildcards, attempt):
        return study.minutes(rule) * attempt

    return runtime
