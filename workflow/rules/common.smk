"""What the rules look up: a row or the files of a wildcard. Named for what they return."""

import csv
import io
import json
import re
import subprocess
import tempfile
from functools import cache
from types import SimpleNamespace

import yaml
from snakemake.iocontainers import InputFiles, Wildcards

# The keys of a data set's row that say how its images are screened, what is done with them, and
# where they are brought from; the others say what they are.
SCREENING_KEYS = {
    "on_bad_image": "on_bad_image",
    "near_duplicates": "duplicates",
    "crops_of": "crops_of",
}
USE_KEYS = (
    "segmenter",
    "prompt",
    "second_prompt",
    "segment_on",
    "mask_note",
    "shards",
    "extraction_shards",
    "archives",
)
# Data sets whose representations are extracted by one job a model, and by several.
AT_ONCE = [name for name, row in config["datasets"].items() if row["extraction_shards"] == 1]
IN_PARTS = [name for name in config["datasets"] if name not in AT_ONCE]
NEVER = "(?!)"
# What a job needs beside 4 GB for the images and MobileSAM: weights, and activations at 1024 px.
NETWORK_MB = {"sam_vit_h": 12000, "sam_vit_l": 8000, "sam_vit_b": 4000}
DETECTOR_MB = 4000
# The headline protocol is asked about other variants only where its row says so.
CENTERINGS = ["raw", "recentred"] if config["probes"][PROTOCOLS[0]].get("transfer") else []
# A variant keeps its colour, whatever the study: that of its place in the table.
PLACES = {name: list(config["variants"]).index(name) for name in VARIANTS}
# What the costs of jobs depend on.
PLANNED = (
    "study",
    "studies",
    "folds",
    "datasets",
    "segmenters",
    "prompts",
    "models",
    "probes",
    "similarity",
    "neighbors",
    "umap",
    "weights",
    "archives",
)
# The tables that a study selects from.
SELECTED = ("datasets", "models", "variants", "measures", "probes")
FIGURE_KINDS = {"figure2_cca": "mean_squared_cca", "figure3_cka": "linear_cka"}


def code(script):
    """Digest of a script and of all it imports: a parameter of its rule, so that an edit reruns it."""
    return code_digest(ROOT / "workflow/scripts" / script)


def digest_of(*names):
    """Digest of files in workflow/: a parameter, because as inputs they would be newer in every clone."""
    return content_digest([(ROOT / "workflow" / name).read_text("utf-8") for name in names])


def growing(amount):
    """A function of a job's attempt: tried again, it gets `amount` more of a resource every time.

    `amount` is a number or a function of the wildcards.
    """

    def grown(wildcards, attempt):
        return (amount(wildcards) if callable(amount) else amount) * attempt

    return grown


def rows_of(table, study=STUDY):
    """{name: row} of what a study selects from a table, in its order."""
    return {name: config[table][name] for name in config["studies"][study][table]}


def column_of(table, key):
    """{name: value of a key} of the rows that the study selects from a table."""
    return {name: row[key] for name, row in rows_of(table).items()}


def dose_curves(study):
    """The figures of dose and response that a study has: one, or none."""
    return ["dose_response"] if has_doses(rows_of("variants", study)) else []


def masking_labels():
    """How the masks of each of the study's data sets are made: {name: {"segmenter", "prompt"}}."""
    return {
        name: {key: LABELS[f"{key}s"][row[key]] for key in ("segmenter", "prompt")}
        for name, row in rows_of("datasets").items()
    }


def labels_of(*tables):
    """{table: {name: label}} of what the study selects, so that other rows redraw nothing."""
    return {
        table: {name: LABELS[table][name] for name in config["studies"][STUDY][table]}
        for table in tables
    }


def promise_of(table):
    """A function of a wildcard, the name of a row of `table`, that gives the hashes of its file."""

    def promise(wildcards):
        row = config[table][wildcards[0]]
        return {key: row.get(key) for key in ("sha256", "md5")}

    return promise


def way_of(table):
    """A function of a wildcard that gives all that says how the file of that row is brought.

    It is a namespace, because Snakemake compares plain values only: what is there already was held
    to its hash, and nothing is asked for again because of another mirror, folder or licence.
    """

    def way(wildcards):
        row = config[table][wildcards[0]]
        arguments = {key: row[key] for key in row if key not in ("into", "nested")}
        return SimpleNamespace(
            **arguments, local_folder=config["local_folder"], offline=config["offline"]
        )

    return way


def held(paths, row):
    """The paths of a fetched file and its record, in that order, for a consumer's input.

    They are ancient, so that fetching or verifying the same bytes again reruns nothing, as long as
    the row gives the hashes that they were fetched for. A job that runs while what it made is there
    hides from Snakemake all that depends on it: what is ancient would wait for the next run.
    """
    return [ancient(path) for path in paths] if is_of_row(paths[1], row) else list(paths)


def weight_files(name):
    """The file and the record of the weights `name`; nothing for None."""
    if not name:
        return []
    paths = [path.format(weights=name) for path in rules.fetch_weights.output]
    return held(paths, config["weights"][name])


def weights_of_study():
    """The names of the weights of the study's models and of its data sets' segmenters and detectors."""
    selected = config["studies"][STUDY]
    datasets = [config["datasets"][name] for name in selected["datasets"]]
    rows = [config["models"][name] for name in selected["models"]]
    rows += [config["segmenters"][row["segmenter"]] for row in datasets]
    names = [row["weights"] for row in rows if row.get("weights")]
    names += [
        name
        for row in datasets
        for files in detector_files(row).values()
        for name in files.values()
    ]
    return list(dict.fromkeys(names))


def weight_records(wildcards):
    """The record of each of the study's weights: what was fetched, from where, and its hash."""
    return [weight_files(name)[1] for name in weights_of_study()]


def archive_names(wildcards):
    """The names of the archives of a data set; none where torchvision brings it."""
    row = config["datasets"][wildcards.dataset]
    if not row.get("archives") and row["kind"] != "torchvision":
        raise WorkflowError(f"the row of data set {wildcards.dataset!r} names no archives")
    return row.get("archives", [])


def archives_of(wildcards):
    """Each archive of a data set and its record, one after the other."""
    return [
        path
        for name in archive_names(wildcards)
        for path in held(
            [path.format(archive=name) for path in rules.fetch_archive.output],
            config["archives"][name],
        )
    ]


def unpackings_of(wildcards):
    """How each archive of a data set is unpacked, and its hashes, so that another one is."""
    keys = ("into", "nested", "sha256", "md5")
    rows = [config["archives"][name] for name in archive_names(wildcards)]
    return [{key: row[key] for key in keys} for row in rows]


def fetched_row(wildcards):
    """The part of a data set's row that says what is fetched."""
    row = config["datasets"][wildcards.dataset]
    return {key: row[key] for key in ("kind", "name", "parts") if key in row}


def files_of_run():
    """(path, row) of each weight file and archive that the jobs of this run are to fetch."""
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "fetch_weights":
            yield job.output.weights, config["weights"][job.wildcards.weights]
        elif job.rule.name == "fetch_archive":
            yield job.output.archive, config["archives"][job.wildcards.archive]


def source_row(wildcards):
    """The part of a data set's row that says what its images are, without what is done with them."""
    row = config["datasets"][wildcards.dataset]
    return {key: row[key] for key in row if key not in (*USE_KEYS, *SCREENING_KEYS)}


def screening_row(wildcards):
    """How the images of a data set are screened: the arguments of `halfseen.screening.screen`."""
    row = config["datasets"][wildcards.dataset]
    return {SCREENING_KEYS[key]: row[key] for key in row if key in SCREENING_KEYS}


def dataset_folder(wildcards):
    """The folder that a data set is fetched to; nothing where it needs none or has one."""
    row = config["datasets"][wildcards.dataset]
    fetched = row.get("archives") or row["kind"] == "torchvision"
    return rules.fetch_dataset.output.folder if fetched and not row.get("root") else []


def with_hash(row):
    """A row with the hash that its weights must have; None for a row without weights."""
    name = row.get("weights")
    return row | {"sha256": config["weights"][name]["sha256"] if name else None}


def segmenter_row(wildcards):
    """The row of the segmenter that a data set uses, with the hash of its weights."""
    return with_hash(config["segmenters"][config["datasets"][wildcards.dataset]["segmenter"]])


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


def detector_files(row):
    """{detector: {file's name: name of its weights}} of those that the prompts of a row ask."""
    if "weights" not in config["segmenters"][row["segmenter"]]:
        return {}
    prompts = [config["prompts"][row[key]] for key in ("prompt", "second_prompt") if row[key]]
    names = [prompt["detector"] for prompt in prompts if prompt["kind"] == "text"]
    return {name: config["detectors"][name]["weights"] for name in names}


def detector_hashes(wildcards):
    """The hashes that a data set's detectors' files must have: the argument of `load_detectors`."""
    found = detector_files(config["datasets"][wildcards.dataset])
    return {
        name: {file: config["weights"][weights]["sha256"] for file, weights in files.items()}
        for name, files in found.items()
    }


def detector_weights(wildcards):
    """Each file of a data set's detectors and its record, in turn; nothing where none is asked."""
    found = detector_files(config["datasets"][wildcards.dataset])
    return [
        path for files in found.values() for name in files.values() for path in weight_files(name)
    ]


def shard_memory_mb(wildcards, attempt):
    """Memory of a job that segments: a network's weights and its activations; grows like `growing`."""
    row = config["datasets"][wildcards.dataset]
    network = NETWORK_MB.get(config["segmenters"][row["segmenter"]]["kind"], 0)
    return (4000 + network + DETECTOR_MB * len(detector_files(row))) * attempt


def shards_of(wildcards):
    """All shards of a data set."""
    count = config["datasets"][wildcards.dataset]["shards"]
    return collect(rules.build_shard.output.shard, shard=range(count), allow_missing=True)


def parts_of(wildcards):
    """The parts of a data set's representations by a model."""
    count = config["datasets"][wildcards.dataset]["extraction_shards"]
    return collect(rules.extract_part.output.features, part=range(count), allow_missing=True)


def neighbor_memory_mb(wildcards):
    """Memory of a job that looks for neighbours: three times what 2048 numbers an image take."""
    n_images = config["datasets"][wildcards.dataset].get("n_images") or 10_000
    return 2000 + int(3 * n_images * len(VARIANTS) * 2048 * 4 / 1e6)


def model_row(wildcards):
    """The row of a model, with the hash of its weights."""
    return with_hash(config["models"][wildcards.model])


def model_weights(wildcards):
    """The weight file of a model and its record; nothing for a model without weights."""
    return weight_files(config["models"][wildcards.model].get("weights"))


def dataset_label(wildcards):
    """The name of a data set in tables and figures."""
    return LABELS["datasets"][wildcards.dataset]


def mask_example_labels(wildcards):
    """How the report lists the contact sheet of a data set's masks."""
    return {"result": "Masks", "shows": f"best to worst: {dataset_label(wildcards)}"}


def figure_labels(wildcards):
    """How the report lists a figure of similarities."""
    shows = LABELS["measures"][figure_measure(wildcards)]
    number = wildcards.figure.removeprefix("figure").split("_")[0]
    return {"result": f"Figure {number}", "shows": shows}


def patterns_of_rules(wildcards):
    """What jobs leave and what tells of them, by rule: the `patterns` of `halfseen.orphans.orphans`."""
    made = {rule.name: list(rule.output) for rule in workflow.rules}
    made["plan"] = [rules.plan.params.table]
    told = {rule.name: [*rule.log, *filter(None, [rule.benchmark])] for rule in workflow.rules}
    return {
        name: {"makes": with_study(made[name]), "tells": with_study(told[name])} for name in made
    }


def with_study(paths):
    """Paths with {study} for the name of this one."""
    ours = re.compile(rf"^(results/|results/(?:logs|benchmarks)/\w+/){STUDY}(?=[/.])")
    return [ours.sub(r"\1{study}", str(path)) for path in paths]


def rows_that_are_there(wildcards):
    """What a path may name: the argument `rows` of `halfseen.orphans.orphans`."""
    return {
        "dataset": list(config["datasets"]),
        "model": list(config["models"]),
        "weights": list(config["weights"]),
        "archive": list(config["archives"]),
        "studies": {
            name: {"dataset": row["datasets"], "curve": dose_curves(name)}
            for name, row in config["studies"].items()
        },
        "shards": {name: row["shards"] for name, row in config["datasets"].items()},
        "parts": {name: config["datasets"][name]["extraction_shards"] for name in IN_PARTS},
    }


def features_that_are_there(wildcards):
    """The path of each file of representations, gathered or a part, of rows that are there."""
    models = list(config["models"])
    paths = collect(rules.extract_features.output, dataset=config["datasets"], model=models)
    for name in IN_PARTS:
        parts = range(config["datasets"][name]["extraction_shards"])
        paths += collect(rules.extract_part.output, dataset=name, model=models, part=parts)
    return [path for path in paths if Path(path).exists()]


def tables_of_plan(wildcards):
    """The part of the configuration that the costs of jobs depend on."""
    return {key: config[key] for key in PLANNED}


@cache
def study_listing():
    """Every output of the study with its rule and whether it is to be made, as --summary lists them.

    A Snakemake of its own builds the DAG, since that of this run holds nothing but the plan.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(GIVEN, file)
        file.flush()
        command = [sys.executable, "-m", "snakemake", "all", "--summary", "--nolock"]
        command += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", file.name]
        command += ["--workflow-profile", "none", "--rerun-triggers"]
        command += ["mtime", "params", "input", "software-env"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise WorkflowError(f"the jobs of study {STUDY} cannot be listed:\n{done.stderr}")
    return done.stdout


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
    names = list(config["datasets"])
    return dict(
        zip(names, collect(rules.write_manifest.output.manifest, dataset=names), strict=True)
    )


def outputs_of_rules(wildcards):
    """{rule: the paths that it writes}"""
    return {rule.name: list(map(str, rule.output)) for rule in workflow.rules if rule.output}


def benchmarks_of_rules(wildcards):
    """{rule: the path of its benchmark}"""
    return {rule.name: str(rule.benchmark) for rule in workflow.rules if rule.benchmark}


def cores_of_run(wildcards):
    """How many cores this run may use."""
    return workflow.cores or 1


def figure_measure(wildcards):
    """The first of the study's measures that is of the kind that a figure shows."""
    kind = FIGURE_KINDS[wildcards.figure]
    name = first_measure(kind)
    if name is None:
        raise WorkflowError(
            f"study {STUDY!r} selects no measure of kind {kind!r}, which {wildcards.figure} shows"
        )
    return name


def first_measure(kind):
    """The first of the study's measures that is of a kind; None where it selects none."""
    found = (name for name, row in rows_of("measures").items() if row["kind"] == kind)
    return next(found, None)


def choices_of_study():
    """What `$name` stands for in the ledger of claims: what this study chose, where it did."""
    measures = {kind: first_measure(kind) for kind in MEASURE_KINDS}
    return {
        "protocol": PROTOCOLS[0],
        "k": config["neighbors"]["k"][0],
        "metric": config["neighbors"]["metrics"][0],
    } | {kind: name for kind, name in measures.items() if name}


def settings_of_study():
    """What the study chose, for the list of choices: keys, and of each table the rows it uses."""
    rows, masking = rows_of("datasets"), masking_labels()
    prompts = [row["prompt"] for row in rows.values()]
    return {
        "selected": {"datasets": DATASETS, "models": MODELS, "variants": VARIANTS},
        "datasets": {name: row | masking[name] for name, row in rows.items()},
        **{table: rows_of(table) for table in ("models", "variants", "probes")},
        "prompts": {name: config["prompts"][name] for name in dict.fromkeys(prompts)},
        **{key: config[key] for key in ("folds", "neighbors", "umap")},
    }


def trained_models():
    """The study's models with trained weights; an entry of a repository may bring its own."""
    return [
        name
        for name, row in rows_of("models").items()
        if row.get("weights") or row["loader"] == "torch_hub"
    ]


def atlas_study(wildcards):
    """What the atlas tells of the study, apart from its tables and images."""
    variants = rows_of("variants")
    whole = (name for name, row in variants.items() if row["keep"] == "everything")
    return {
        "name": STUDY,
        "title": config["studies"][STUDY]["title"],
        "seed": config["seed"],
        "max_mb": config["atlas"]["max_mb"],
        "labels": labels_of(*SELECTED),
        "datasets": DATASETS,
        "models": MODELS,
        "variants": variants,
        "measures": rows_of("measures"),
        "places": PLACES,
        "reference": next(whole, None),
        "masking": masking_labels(),
        "passing": config["passing_masks"],
    }


def config_of_study(wildcards):
    """The rows that the study selects and the settings of its analyses, defaults filled in.

    Without what changes no number: labels, and how files are brought.
    """
    selected = {table: rows_of(table) for table in SELECTED}
    rows = selected["datasets"].values()
    prompts = {row[key] for row in rows for key in ("prompt", "second_prompt") if row[key]}
    settings = ("seed", "folds", "solver", "bootstrap", "similarity", "neighbors", "umap")
    return {
        "study": STUDY,
        **selected,
        "segmenters": {row["segmenter"]: config["segmenters"][row["segmenter"]] for row in rows},
        "prompts": {name: config["prompts"][name] for name in sorted(prompts)},
        **{name: config[name] for name in (*settings, "passing_masks")},
    }


def packages_of_environments(wildcards):
    """The names of all packages that the environments of the rules pin."""
    names = set()
    for path in sorted((ROOT / "envs").glob("*.yaml")):
        *conda, last = yaml.safe_load(path.read_text("utf-8"))["dependencies"]
        names |= {re.split("=+", pin)[0] for pin in [*conda, *last["pip"]]}
    return sorted(names - {"python", "pip"})


def commit_of_workflow(wildcards):
    """The commit that runs: a namespace, because Snakemake compares plain values only (see `way_of`)."""
    return SimpleNamespace(commit=commit_of(ROOT))
