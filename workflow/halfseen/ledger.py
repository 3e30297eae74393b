"""The ledger of claims, read and checked: a file of rows, never code."""

from pathlib import Path

import yaml

from halfseen.claims import KINDS, named_models
from halfseen.config import raise_problems, schema_problems
from halfseen.spelling import did_you_mean

# What `$name` in a ledger may stand for: the study's own choice.
CHOICES = ("protocol", "k", "metric")
MEASURE_KINDS = ("mean_squared_cca", "adjusted_cca", "linear_cka", "debiased_cka")


def read_ledger(path, schema_path, tables):
    """The ledger at `path`, checked by the schema and against the names that it may use.

    `tables` are the names of the tables that a study can have. Defaults are filled in, `elsewhere`
    and `figure` of the claims too. Raises ConfigError with one line per problem, which names the
    nearest valid name.
    """
    name = Path(path).name
    ledger = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    raise_problems(name, schema_problems(ledger, schema_path, name))
    raise_problems(name, list(dict.fromkeys(_problems(ledger, tables))))
    for claim in ledger["claims"]:
        estimand = ledger["estimands"][_expressions(claim)[0][1]["of"]]
        claim.setdefault("figure", estimand["figure"])
        of_all = claim["models"] == "every" or isinstance(claim["models"], dict)
        claim.setdefault("elsewhere", "everything" if of_all else "datasets")
    return ledger


def tables_of(ledger):
    """The names of the tables that a ledger reads, each once."""
    names = []
    for estimand in ledger["estimands"].values():
        names += [
            estimand["table"],
            *([estimand["paired"]["table"]] if "paired" in estimand else []),
        ]
    return list(dict.fromkeys(names))


def _problems(ledger, tables):
    for name, estimand in ledger["estimands"].items():
        for part in (estimand, estimand.get("paired", {})):
            if "table" in part and part["table"] not in tables:
                yield _unknown(f"estimands.{name}", part["table"], "a table", tables)
            for value in part.get("where", {}).values():
                choices = [f"${choice}" for choice in (*CHOICES, *MEASURE_KINDS)]
                if str(value).startswith("$") and value not in choices:
                    yield _unknown(f"estimands.{name}.where", value, "a choice of a study", choices)
    ids = [claim["id"] for claim in ledger["claims"]]
    for claim in ledger["claims"]:
        where = f"claim {claim['id']}"
        if ids.count(claim["id"]) > 1:
            yield f"{where}: there are {ids.count(claim['id'])} of this id"
        yield from _name_problems(claim, ledger["paper"], where)
        for part in claim.get("all_of", [claim]):
            found = [kind for kind in KINDS if kind in part]
            if len(found) != 1:
                told = " and ".join(found) or "none"
                yield f"{where}: needs one expression, {', '.join(KINDS)}; it has {told}"
        if "all_of" in claim and any(kind in claim for kind in (*KINDS, "each")):
            yield f"{where}: has all_of and an expression beside it; move it into all_of"


def _name_problems(claim, paper, where):
    """Names of data sets, models and variants that the ledger's own list lacks."""
    for kind in claim["datasets"]:
        if kind not in paper["datasets"]:
            yield _unknown(f"{where}: datasets", kind, "a data set of the paper", paper["datasets"])
    models = claim["models"]
    if isinstance(models, str) and models != "every":
        yield f"{where}: models: {models!r} is neither 'every' nor a list of models"
        return
    if isinstance(models, dict) and list(models) != ["every_but"]:
        yield f"{where}: models: the one key there is is 'every_but', not {list(models)}"
        return
    for name in models["every_but"] if isinstance(models, dict) else named_models(claim, paper):
        if name not in paper["models"]:
            yield _unknown(f"{where}: models", name, "a model of the paper", paper["models"])
    known = [*paper["datasets"], *paper["models"], *paper["variants"]]
    for kind, spec, each in _expressions(claim):
        for key, value in _coordinates(spec, each):
            for name in value if isinstance(value, list) else [value]:
                if name not in known:
                    yield _unknown(f"{where}: {kind}: {key}", name, "a name of the paper", known)


def _expressions(claim):
    """(kind, its settings, its `each`) of every expression of a claim."""
    return [
        (kind, part[kind], part.get("each", {}))
        for part in claim.get("all_of", [claim])
        for kind in KINDS
        if kind in part
    ]


def _coordinates(spec, each):
    """Every (key, value) that an expression names."""
    for place in ("at", "than"):
        yield from spec.get(place, {}).items()
    for lists in (each, spec.get("among", {})):
        for key, values in lists.items():
            for value in values:
                yield key, value


def _unknown(where, word, what, known):
    return f"{where}: {word!r} is not {what}{did_you_mean(word, known) or ': ' + ', '.join(known)}"
