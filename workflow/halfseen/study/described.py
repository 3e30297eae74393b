"""What a study's tables and pages are told of it: its choices, its masks, its settings."""

from pathlib import Path

import yaml

from halfseen.study.artifacts import digest
from halfseen.study.study import SELECTED, Study

SETTINGS = (
    "seed", "folds", "solver", "bootstrap", "similarity", "neighbors", "umap", "passing_masks",
)  # fmt: skip


def masking_labels(study: Study, labels: dict) -> dict[str, dict[str, str]]:
    """How the masks of each of the study's data sets are made: {name: {"segmenter", "prompt"}}."""
    return {
        name: {key: labels[f"{key}s"][row[key]] for key in ("segmenter", "prompt")}
        for name, row in study.rows("datasets").items()
    }


def choices_for_claims(study: Study, measure_kinds) -> dict:
    """What `$name` stands for in the ledger of claims: what this study chose, where it did."""
    measures = {kind: study.first_measure(kind) for kind in measure_kinds}
    return {
        "protocol": study.protocols[0],
        "k": study.config["neighbors"]["k"][0],
        "metric": study.config["neighbors"]["metrics"][0],
    } | {kind: name for kind, name in measures.items() if name}


def settings_for_choices(study: Study, labels: dict) -> dict:
    """What the study chose, for the list of choices: keys, and of each table the rows it uses."""
    rows, masking = study.rows("datasets"), masking_labels(study, labels)
    prompts = [row["prompt"] for row in rows.values()]
    return {
        "selected": {name: study.selected[name] for name in ("datasets", "models", "variants")},
        "datasets": {name: row | masking[name] for name, row in rows.items()},
        **{table: study.rows(table) for table in ("models", "variants", "probes")},
        "prompts": {name: study.config["prompts"][name] for name in dict.fromkeys(prompts)},
        **{key: study.config[key] for key in ("folds", "neighbors", "umap")},
    }


def trained_models(study: Study) -> list[str]:
    """The models with trained weights; an entry of a repository may bring its own."""
    return [
        name
        for name, row in study.rows("models").items()
        if row.get("weights") or row["loader"] == "torch_hub"
    ]


def places(study: Study) -> dict[str, int]:
    """{variant: its place in the table}: a variant keeps its color, whatever the study."""
    return {name: list(study.config["variants"]).index(name) for name in study.variants}


def atlas_settings(study: Study, labels: dict) -> dict:
    """What the atlas tells of the study, apart from its tables and images."""
    return {
        "name": study.name,
        "title": study.selected["title"],
        "seed": study.config["seed"],
        "max_mb": study.config["atlas"]["max_mb"],
        "labels": {
            table: {name: labels[table][name] for name in study.selected[table]}
            for table in SELECTED
        },
        "datasets": study.datasets,
        "models": study.models,
        "variants": study.rows("variants"),
        "measures": study.rows("measures"),
        "places": places(study),
        "reference": study.whole,
        "level": f"{100 * study.config['bootstrap']['level']:g} %",
        "masking": masking_labels(study, labels),
        "passing": study.config["passing_masks"],
    }


def config_used(study: Study) -> dict:
    """The rows that the study selects and the settings of its analyses, defaults filled in.

    Without what changes no number: labels, and how files are brought.
    """
    rows = study.rows("datasets").values()
    prompts = {row[key] for row in rows for key in ("prompt", "second_prompt") if row[key]}
    config = study.config
    return {
        "study": study.name,
        **{table: study.rows(table) for table in SELECTED},
        "segmenters": {row["segmenter"]: config["segmenters"][row["segmenter"]] for row in rows},
        "prompts": {name: config["prompts"][name] for name in sorted(prompts)},
        **{name: config[name] for name in SETTINGS},
    }


def pinned_packages(envs: str | Path) -> list[str]:
    """The names of all packages that the environments in a folder pin."""
    names = set()
    for path in sorted(Path(envs).glob("*.yaml")):
        *conda, last = yaml.safe_load(path.read_text("utf-8"))["dependencies"]
        names |= {pin.partition("=")[0] for pin in [*conda, *last["pip"]]}
    return sorted(names - {"python", "pip"})


def made_rows(study: Study) -> list[dict]:
    """How images with masks and representations were made: what, dataset, model, key, code, sha256.

    `sha256` is of the weights, None without any.
    """
    rows = []
    for name in study.datasets:
        shard = study.shard(name, 0)
        sha256 = shard.parameters["masking"]["segmenter"].get("sha256")
        rows.append(_made("images and masks", shard, sha256))
    for made in study.of_stage("features"):
        rows.append(_made("representations", made, made.parameters["model"].get("sha256")))
    return rows


def _made(what, artifact, sha256):
    return {
        "what": what,
        "dataset": artifact.names["dataset"],
        "model": artifact.names.get("model"),
        "key": artifact.key,
        "code": digest(artifact.code),
        "sha256": sha256,
    }
