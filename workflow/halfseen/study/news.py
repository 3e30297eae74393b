"""What a run makes anew and why, in the words of the configuration."""

from collections import defaultdict

from halfseen.study.artifacts import Artifact
from halfseen.study.records import records_below
from halfseen.study.results import left_out
from halfseen.study.study import Study

# Of each stage, what it is called and what a change of one of its parameters is called.
STAGES = {
    "manifests": "lists of images",
    "shards": "masks",
    "features": "representations",
    "probes": "probes",
    "similarity": "similarities",
    "neighbors": "neighbors",
    "umap": "UMAP",
    "probe_comparisons": "comparisons of probes",
    "model_comparisons": "comparisons of models",
}
WORDS = {
    "model.name": "other network",
    "model.loader": "other loader",
    "model.sha256": "other weights",
    "model.pooling": "other pooling",
    "model.mean": "other normalization",
    "model.std": "other normalization",
    "model.recipe": "other view",
    "model.precision": "other precision",
    "images.files": "files changed in its folder",
    "images.fetched": "other archives",
    "images.source": "other images",
    "images.seed": "other seed",
    "seed": "other seed",
    "folds": "other folds",
    "screening": "other screening",
    "masking.segmenter": "other segmenter",
    "masking.prompts": "other prompts",
    "masking.files": "files changed in the folder of masks",
    "masking.segment_on": "other masks",
    "n_shards": "other number of shards",
    "variants": "other variants",
    "measures": "other measures",
    "protocols": "other protocols",
    "models": "other models",
    "roles": "other roles",
}


def news_text(study: Study) -> str:
    """What of the study is still to be made, a line for each stage and reason; "" for nothing.

    Nothing is said of what only follows from other news. Figures that the selection leaves out are
    named first.
    """
    lines = [f"Left out: {figure}, since {why}" for figure, why in _unexpected(study).items()]
    missing = [made for made in study.artifacts() if made.stage in STAGES and not made.exists]
    records = list(records_below(study.results).values()) if missing else []
    earlier = {_identity(record["stage"], record["names"]): record for record in records}
    known = {
        key
        for record in records
        if record["stage"] == "features"
        for key in record["parameters"]["keys"].values()
    }
    groups = defaultdict(list)
    for made in missing:
        groups[made.stage, made.names.get("model"), reason(made, earlier)].append(made)
    lines += [_line(*key, group, known) for key, group in groups.items() if key[2]]
    return "".join(f"{line}\n" for line in lines)


def reason(made: Artifact, earlier: dict) -> str:
    """Why an artifact is made anew: what differs from the last one of its names; "" if only inputs.

    `earlier` is {(stage, names): record} of the last that was made.
    """
    record = earlier.get(_identity(made.stage, made.names))
    if record is None:
        return "new"
    before, now = _flat(record["parameters"]), _flat(made.parameters)
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if made.stage == "features":
        keys = [key for key in keys if not key.startswith("keys.")]
    words = list(dict.fromkeys(_word(key, before, now) for key in keys))
    edited = sorted(
        name
        for name in {**record["code"], **made.code}
        if record["code"].get(name) != made.code.get(name)
    )
    if edited:
        more = f" and {len(edited) - 1} more" if len(edited) > 1 else ""
        words.append(f"edited code ({edited[0].removeprefix('halfseen.')}{more})")
    return ", ".join(words)


def _word(key, before, now):
    """What a change of a parameter is called, with the values where they are short."""
    part = key
    while part and part not in WORDS:
        part = part.rpartition(".")[0]
    word = WORDS.get(part, f"other {key.replace('.', ' ')}")
    old, new = before.get(key), now.get(key)
    if part == "variants":
        name = key.split(".")[1] if "." in key else ""
        if name and not any(each.startswith(f"variants.{name}.") for each in before):
            return f"new variant {name}"
        if name and not any(each.startswith(f"variants.{name}.") for each in now):
            return f"without variant {name}"
    short = all(isinstance(each, str | int | float) and len(str(each)) < 40 for each in (old, new))
    hashed = key.endswith(("sha256", "files", "fetched"))
    return f"{word} ({old} before, {new} now)" if short and not hashed else word


def _line(stage, model, why, group, known):
    names = list(dict.fromkeys(made.names["dataset"] for made in group))
    datasets = names[0] if len(names) == 1 else f"{len(names)} data sets"
    if model is None:
        return f"{datasets}: {why}; {STAGES[stage]}"
    what = STAGES[stage]
    if stage == "features":
        n = max(len(set(made.parameters["keys"].values()) - known) for made in group)
        what = f"{n or 'no'} variant{'' if n == 1 else 's'}"
    return f"{model}: {why}; {what} of {datasets}"


def _unexpected(study):
    """The figures that are left out and that one would look for: not those of a choice."""
    expected = ("transfer_raw", "transfer_recentred", "dose_response")
    return {name: why for name, why in left_out(study).items() if name not in expected}


def _identity(stage, names):
    return stage, tuple(sorted((key, str(value)) for key, value in names.items()))


def _flat(value, prefix=""):
    """Nested dicts as {path with dots: value}; lists are values."""
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    flat = {}
    for key, part in value.items():
        flat |= _flat(part, f"{prefix}.{key}" if prefix else str(key))
    return flat
