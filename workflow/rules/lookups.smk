"""What rules of files, parts and results look up of the study, its labels and its code."""


def promised(table):
    """The hashes that the file of a row of `table` must have: another one is fetched anew."""

    def hashes(wildcards):
        row = config[table][wildcards[0]]
        return {key: row.get(key) for key in ("sha256", "md5")}

    return hashes


def download_settings(table):
    """All that says how the file of a row of `table` is brought.

    A namespace, because Snakemake compares plain values only: what is there already was held to its hash, and nothing
    is asked for again because of another mirror, folder or license.
    """

    def settings(wildcards):
        row = config[table][wildcards[0]]
        arguments = {key: row[key] for key in row if key not in ("into", "nested")}
        return SimpleNamespace(
            **arguments, local_folder=config["local_folder"], offline=config["offline"]
        )

    return settings


def parts_of(wildcards):
    """The input of a job that gathers parts: them and the manifest."""
    made = artifact("features", wildcards)
    parts = study.parts(wildcards.dataset, wildcards.model)
    return {"manifest": made.input_paths["manifest"], "parts": parts}


def labels_of(*tables):
    """{table: {name: label}} of what the study selects, so that other rows redraw nothing."""
    return {
        table: {name: LABELS[table][name] for name in study.selected[table]} for table in tables
    }


def listed_artifacts(wildcards):
    """The rows of the list of artifacts. A namespace, since `made_from` says when it is made anew."""
    return SimpleNamespace(rows=artifact_rows(study))


def masks_and_shards(wildcards):
    """The input of what shows the masks of a data set."""
    shards = [shard.path("shard") for shard in study.shards(wildcards.dataset)]
    return {"masks": study.masks(wildcards.dataset).path("table"), "shards": shards}


def mask_keys(wildcards):
    """The keys of these."""
    made = [study.masks(wildcards.dataset), *study.shards(wildcards.dataset)]
    return [each.key for each in made]


def dataset_label(wildcards):
    """The name of a data set in tables and figures."""
    return LABELS["datasets"][wildcards.dataset]


def mask_example_labels(wildcards):
    """How the report lists the contact sheet of a data set's masks."""
    return {"result": "Masks", "shows": f"best to worst: {dataset_label(wildcards)}"}


def figure_measure(wildcards):
    """The measure that a figure of similarities shows."""
    return study.first_measure(FIGURE_MEASURES[wildcards.figure])


def figure_labels(wildcards):
    """How the report lists a figure of similarities."""
    shows = LABELS["measures"][figure_measure(wildcards)]
    number = wildcards.figure.removeprefix("figure").split("_")[0]
    return {"result": f"Figure {number}", "shows": shows}


def weight_records(wildcards):
    """The record of each of the study's weights: what was fetched, from where, and its hash."""
    return collect(rules.fetch_weights.output.record, weights=study.weights())


def rows_for_atlas(wildcards):
    """How the images, the masks and the representations were made."""
    return made_rows(study)


def digest_of(*names):
    """Digest of files in workflow/: a parameter, because as inputs they would be newer in every clone."""
    return digest([(ROOT / "workflow" / name).read_text("utf-8") for name in names])


def code(script):
    """Digest of the code that a script runs: a parameter, since editing an imported module reruns nothing."""
    return CODE.digest(ROOT / "workflow/scripts" / script)


def keys_of(*stages):
    """A parameter of such a rule: other keys make it anew, whatever the times of the files."""

    def keys(wildcards):
        return [made.key for stage in stages for made in study.of_stage(stage)]

    return keys
