"""What the rules look up: a row or the files of a wildcard. Named for what they return."""

# The keys of a data set's row that say what is done with its images; the others say what they are.
USE_KEYS = ("segmenter", "prompt", "second_prompt", "segment_on", "shards")
FIGURE_KINDS = {"figure2_cca": "mean_squared_cca", "figure3_cka": "linear_cka"}


def code(script):
    """Digest of a script and of all it imports: a parameter of its rule, so that an edit reruns it."""
    return code_digest(ROOT / "workflow/scripts" / script)


def labels_of(*tables):
    """{table: {name: label}} of what the study selects, so that other rows redraw nothing."""
    return {
        table: {name: LABELS[table][name] for name in config["studies"][STUDY][table]}
        for table in tables
    }


def weight_files(name):
    """The file and the record of the weights `name`; nothing for None."""
    return [path.format(weights=name) for path in rules.fetch_weights.output] if name else []


def source_row(wildcards):
    """The part of a data set's row that says what its images are, without what is done with them."""
    row = config["datasets"][wildcards.dataset]
    return {key: row[key] for key in row if key not in USE_KEYS}


def segmenter_row(wildcards):
    """The row of the segmenter that a data set uses, with the hash that its weights must have."""
    row = config["segmenters"][config["datasets"][wildcards.dataset]["segmenter"]]
    name = row.get("weights")
    return row | {"sha256": config["weights"][name]["sha256"] if name else None}


def masking_row(wildcards):
    """What the segmenter is asked about the images of a data set: the arguments of `SamMasks`."""
    row = config["datasets"][wildcards.dataset]
    second = row["second_prompt"]
    return {
        "prompt": config["prompts"][row["prompt"]],
        "second_prompt": config["prompts"][second] if second else None,
        "segment_on": row["segment_on"],
    }


def segmenter_weights(wildcards):
    """The weight file of the segmenter that a data set uses, and its record; nothing if given."""
    return weight_files(segmenter_row(wildcards).get("weights"))


def shards_of(wildcards):
    """All shards of a data set."""
    count = config["datasets"][wildcards.dataset]["shards"]
    return collect(rules.build_shard.output.shard, shard=range(count), allow_missing=True)


def model_row(wildcards):
    """The row of a model, with the hash that its weights must have."""
    row = config["models"][wildcards.model]
    name = row.get("weights")
    return row | {"sha256": config["weights"][name]["sha256"] if name else None}


def model_weights(wildcards):
    """The weight file of a model and its record; nothing for a model without weights."""
    return weight_files(config["models"][wildcards.model].get("weights"))


def figure_labels(wildcards):
    """How the report lists a figure of similarities."""
    shows = LABELS["measures"][figure_measure(wildcards)]
    number = wildcards.figure.removeprefix("figure").split("_")[0]
    return {"result": f"Figure {number}", "shows": shows}


def figure_measure(wildcards):
    """The first of the study's measures that is of the kind that a figure shows."""
    kind = FIGURE_KINDS[wildcards.figure]
    for name in MEASURES:
        if config["measures"][name]["kind"] == kind:
            return name
    raise WorkflowError(
        f"study {STUDY!r} selects no measure of kind {kind!r}, which {wildcards.figure} shows"
    )
