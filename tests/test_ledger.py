import copy

import pytest
import yaml

from halfseen.config import ConfigError
from halfseen.ledger import read_ledger, tables_of

TABLES = ["cells", "differences"]
LEDGER = {
    "paper": {
        "datasets": {"cifar100": "CIFAR-100"},
        "models": {"swav": "SwAV", "mae": "MAE"},
        "variants": ["original", "foreground"],
    },
    "estimands": {
        "score": {
            "label": "score", "table": "cells", "where": {"protocol": "$protocol"},
            "value": "balanced_accuracy", "figure": "table1.html",
            "paired": {"table": "differences", "interval": "paired"},
        }
    },
    "claims": [
        {
            "id": "1", "statement": "A.", "section": "5.1", "datasets": ["cifar100"],
            "models": "every",
            "greater": {
                "of": "score", "at": {"variant": "original"}, "than": {"variant": "foreground"},
            },
        },
        {
            "id": "2", "statement": "B.", "section": "5.1", "datasets": ["cifar100"],
            "models": ["mae"], "each": {"variant": ["original", "foreground"]},
            "highest": {"of": "score", "among": {"model": ["swav", "mae"]}},
        },
    ],
}  # fmt: skip


@pytest.fixture
def read(root, tmp_path):
    """A function that reads the ledger above with a change."""

    def read(change=None):
        ledger = copy.deepcopy(LEDGER)
        if change:
            change(ledger)
        (tmp_path / "claims.yaml").write_text(yaml.safe_dump(ledger, sort_keys=False))
        schema = root / "workflow/schemas/claims.schema.yaml"
        return read_ledger(tmp_path / "claims.yaml", schema, TABLES)

    return read


def test_defaults_are_filled_in(read):
    first, second = read()["claims"]
    assert (first["kind"], first["figure"], first["note"]) == ("claim", "table1.html", "")
    assert (first["elsewhere"], second["elsewhere"]) == ("everything", "datasets")
    assert second["highest"]["rank"] == 1
    assert second["highest"]["at"] == {}


def test_the_tables_that_are_read_are_named_once(read):
    assert tables_of(read()) == ["cells", "differences"]


def first(ledger):
    return ledger["claims"][0]


PROBLEMS = {
    "a table": (
        lambda x: x["estimands"]["score"].update(table="cels"),
        "estimands.score: 'cels' is not a table; did you mean 'cells'",
    ),
    "a paired table": (
        lambda x: x["estimands"]["score"]["paired"].update(table="difference"),
        "'difference' is not a table; did you mean 'differences'",
    ),
    "a choice of the study": (
        lambda x: x["estimands"]["score"]["where"].update(protocol="$protocoll"),
        r"'\$protocoll' is not a choice of a study; did you mean '\$protocol'",
    ),
    "an estimand": (
        lambda x: first(x)["greater"].update(of="scores"),
        "'scores' is no row of estimands, which has 'score'; did you mean 'score'",
    ),
    "a kind of expression": (
        lambda x: first(x).update(graeter=first(x).pop("greater")),
        "unknown key 'graeter'.*did you mean 'greater'",
    ),
    "a key of an expression": (
        lambda x: first(x)["greater"].update(then={}),
        "unknown key 'then'.*did you mean 'than'",
    ),
    "a variant": (
        lambda x: first(x)["greater"]["at"].update(variant="orignal"),
        "claim 1: greater: variant: 'orignal' is not a name of the paper; did you mean 'original'",
    ),
    "a model": (
        lambda x: first(x).update(models={"every_but": ["mea"]}),
        "claim 1: models: 'mea' is not a model of the paper; did you mean 'mae'",
    ),
    "a rival": (
        lambda x: x["claims"][1]["highest"]["among"].update(model=["swaw", "mae"]),
        "claim 2: highest: model: 'swaw' is not a name of the paper; did you mean 'swav'",
    ),
    "what each lists": (
        lambda x: x["claims"][1]["each"].update(variant=["forground"]),
        "'forground' is not a name of the paper; did you mean 'foreground'",
    ),
    "a data set": (
        lambda x: first(x).update(datasets=["cifar10"]),
        "'cifar10' is not a data set of the paper; did you mean 'cifar100'",
    ),
    "every": (lambda x: first(x).update(models="evry"), "'evry' is neither 'every' nor a list"),
    "every_but": (
        lambda x: first(x).update(models={"all_but": ["mae"]}),
        r"the one key there is is 'every_but', not \['all_but'\]",
    ),
    "no expression": (lambda x: first(x).pop("greater"), "claim 1: needs one expression.*has none"),
    "two expressions": (
        lambda x: first(x).update(above={"of": "score", "limit": 1}),
        "claim 1: needs one expression.*it has above and greater",
    ),
    "an expression beside all_of": (
        lambda x: first(x).update(all_of=2 * [{"above": {"of": "score", "limit": 1}}]),
        "claim 1: has all_of and an expression beside it",
    ),
    "an id": (lambda x: first(x).update(id="2"), "claim 2: there are 2 of this id"),
    "an interval with one end": (
        lambda x: x["estimands"]["score"].update(low="low"),
        "'high' is a dependency of 'low'",
    ),
}


@pytest.mark.parametrize("wrong", PROBLEMS)
def test_what_is_wrong_is_named_with_the_nearest_valid_name(read, wrong):
    change, message = PROBLEMS[wrong]
    with pytest.raises(ConfigError, match=message):
        read(change)


def test_nothing_in_a_ledger_is_run(read):
    def call(ledger):
        first(ledger)["greater"]["at"]["variant"] = "__import__('os').getcwd()"

    with pytest.raises(ConfigError, match="is not a name of the paper"):
        read(call)
