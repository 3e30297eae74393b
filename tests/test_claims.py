import re

import pandas as pd
import pytest

from halfseen.claims import (
    FAILS,
    HOLDS,
    NOT_TESTED,
    UNDECIDED,
    Cell,
    ClaimError,
    Estimate,
    Evidence,
    Untested,
    asks,
    claim_cells,
    claim_verdict,
    decisive_cell,
    difference,
    estimate,
)

PAPER = {
    "datasets": {"cifar100": "CIFAR-100", "caltech101": "Caltech-101"},
    "models": {"swav": "SwAV", "mae": "MAE", "dinov2": "DINOv2"},
    "variants": ["original", "foreground", "center"],
}
# Values by hand: (data set, model, variant): value, low, high.
SCORES = {
    ("cifar100", "swav", "original"): (0.65, 0.63, 0.67),
    ("cifar100", "swav", "foreground"): (0.57, 0.55, 0.59),
    ("cifar100", "swav", "center"): (0.64, 0.62, 0.66),
    ("cifar100", "mae", "original"): (0.46, 0.44, 0.48),
    ("cifar100", "mae", "foreground"): (0.36, 0.34, 0.38),
    ("cifar100", "mae", "center"): (0.32, 0.30, 0.34),
    ("caltech101", "swav", "original"): (0.91, 0.90, 0.92),
    ("caltech101", "swav", "foreground"): (0.87, 0.85, 0.89),
    ("caltech101", "swav", "center"): (0.88, 0.86, 0.90),
    ("caltech101", "mae", "original"): (0.69, 0.67, 0.71),
    ("caltech101", "mae", "foreground"): (0.75, 0.73, 0.77),
    ("caltech101", "mae", "center"): (0.69, 0.67, 0.71),
}
ESTIMANDS = {
    "score": {
        "label": "score", "table": "cells", "where": {"control": "none", "protocol": "$protocol"},
        "keys": {"variant": ["train_variant", "test_variant"]}, "value": "balanced_accuracy",
        "low": "low", "high": "high", "interval": "bootstrap",
    },
    "bare": {
        "label": "bare score", "table": "cells", "keys": {"variant": ["train_variant"]},
        "where": {"control": "none"}, "value": "balanced_accuracy", "interval": "no interval",
    },
}  # fmt: skip
PAIRED = {"table": "differences", "where": {"protocol": "$protocol"}, "interval": "paired"}
ESTIMANDS["paired"] = ESTIMANDS["score"] | {"paired": PAIRED}


def cells_table(scores=SCORES):
    return pd.DataFrame(
        [
            {
                "dataset": dataset, "model": model, "protocol": "nested", "control": "none",
                "train_variant": variant, "test_variant": variant, "balanced_accuracy": value,
                "low": low, "high": high, "chance": 0.5,
            }
            for (dataset, model, variant), (value, low, high) in scores.items()
        ]
    )  # fmt: skip


def differences_table():
    rows = [
        ("cifar100", "variants", "swav", "original", "foreground", 0.08, 0.07, 0.09),
        ("cifar100", "variants", "swav", "foreground", "center", -0.07, -0.08, -0.06),
        ("cifar100", "models", "original", "swav", "mae", 0.19, 0.18, 0.2),
    ]
    columns = ["dataset", "compares", "within", "first", "second", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns).assign(protocol="nested")


def evidence(tables=None, datasets=None, models=("swav", "mae"), choices=None):
    found = {"cells": cells_table(), "differences": differences_table()}
    datasets = datasets or {"cifar100": "cifar100", "caltech101": "caltech101"}
    return Evidence(
        tables=found if tables is None else tables,
        datasets=datasets,
        models=list(models),
        choices={"protocol": "nested"} if choices is None else choices,
        labels={},
    )


def asked(expression, study=None, datasets=("cifar100", "caltech101"), models="every", **rest):
    """The cells of a claim with this expression, and its scope."""
    claim = {"datasets": list(datasets), "models": models, "elsewhere": "everything"}
    ledger = {"paper": PAPER, "estimands": ESTIMANDS}
    study = evidence() if study is None else study
    return claim_cells(claim | expression | rest, ledger, study)


def verdicts(*arguments, **named):
    return [cell.verdict for cell in asked(*arguments, **named)[0]]


def kind(name, **spec):
    return {name: {"of": "score", **spec}}


HIGHER = kind("greater", at={"variant": "original"}, than={"variant": "foreground"})


# --- one test for each kind of expression ---


@pytest.mark.parametrize(
    ("name", "limit", "expected"),
    [
        ("above", 0.6, [HOLDS]),
        ("above", 0.64, [UNDECIDED]),
        ("above", 0.63, [UNDECIDED]),  # the interval's end itself
        ("at_least", 0.63, [HOLDS]),
        ("above", 0.7, [FAILS]),
        ("below", 0.7, [HOLDS]),
        ("below", 0.67, [UNDECIDED]),
        ("at_most", 0.67, [HOLDS]),
        ("below", 0.6, [FAILS]),
        ("above", "chance", [HOLDS]),
    ],
)
def test_a_value_is_held_against_a_limit_with_its_interval(name, limit, expected):
    expression = kind(name, at={"variant": "original"}, limit=limit)
    named = dict(datasets=["cifar100"], models=["swav"])
    assert verdicts(expression, **named) == expected
    (cell,), _ = asked(expression, **named)
    assert (cell.effect.value, cell.effect.low, cell.effect.high) == (0.65, 0.63, 0.67)
    assert cell.limits == ((0.5,) if limit == "chance" else (limit,))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([0.6, 0.7], HOLDS), ([0.63, 0.67], HOLDS), ([0.64, 0.7], UNDECIDED),
        ([0.645, 0.655], UNDECIDED), ([0.655, 0.66], UNDECIDED), ([0.1, 0.2], FAILS),
        ([0.8, 0.9], FAILS),
    ],
)  # fmt: skip
def test_a_value_lies_between_two_limits_outside_or_across_one(limits, expected):
    expression = kind("between", at={"variant": "original"}, limits=limits)
    assert verdicts(expression, datasets=["cifar100"], models=["swav"]) == [expected]


def test_a_comparison_holds_fails_and_is_undecided_cell_by_cell():
    cells, _ = asked(HIGHER)
    found = {(cell.dataset, cell.model): cell.verdict for cell in cells}
    assert found == {
        ("cifar100", "swav"): HOLDS,
        ("cifar100", "mae"): HOLDS,
        ("caltech101", "swav"): HOLDS,  # 0.90 to 0.92 beside 0.85 to 0.89
        ("caltech101", "mae"): FAILS,  # 0.67 to 0.71 beside 0.73 to 0.77
    }
    center = kind("greater", at={"variant": "original"}, than={"variant": "center"})
    assert verdicts(center)[:2] == [UNDECIDED, HOLDS]


def test_the_highest_and_the_lowest_are_held_against_the_nearest_rival():
    three = ["original", "foreground", "center"]
    expression = kind("highest", at={"variant": "original"}, among={"variant": three})
    cells, _ = asked(expression, datasets=["cifar100"])
    assert [cell.rival for cell in cells] == ["center", "foreground"]
    assert [cell.verdict for cell in cells] == [UNDECIDED, HOLDS]
    assert cells[0].effect.value == pytest.approx(0.01)
    lowest = kind("lowest", at={"variant": "center"}, among={"variant": three})
    (cell,), _ = asked(lowest, datasets=["cifar100"], models=["mae"])
    assert (cell.verdict, cell.rival, cell.effect.value) == (
        UNDECIDED,
        "foreground",
        pytest.approx(0.04),
    )
    lowest = kind("lowest", at={"variant": "original"}, among={"variant": three})
    assert verdicts(lowest, datasets=["cifar100"], models=["mae"]) == [FAILS]


def test_a_rank_lets_as_many_be_ahead():
    values = {"a": 0.9, "b": 0.8, "c": 0.5, "d": 0.1}
    scores = {("cifar100", "swav", name): (v, v - 0.01, v + 0.01) for name, v in values.items()}
    study = evidence({"cells": cells_table(scores)}, {"cifar100": "cifar100"}, ["swav"])

    def verdict(name, rank, which="highest"):
        spec = kind(which, at={"variant": name}, among={"variant": list(values)}, rank=rank)
        return verdicts(spec, study, datasets=["cifar100"], models=["swav"])

    assert [verdict("b", rank) for rank in (1, 2, 3)] == [[FAILS], [HOLDS], [HOLDS]]
    assert [verdict("c", rank, "lowest") for rank in (1, 2)] == [[FAILS], [HOLDS]]
    assert [verdict("a", rank) for rank in (1, 2, 3)] == 3 * [[HOLDS]]


def test_pairs_are_compared_with_other_pairs_and_never_with_themselves_the_other_way_round():
    rows = [("a", "b", 0.9), ("b", "a", 0.9), ("a", "c", 0.5), ("b", "c", 0.4)]
    table = pd.DataFrame(rows, columns=["variant_x", "variant_y", "similarity"])
    table = table.assign(dataset="cifar100", model="swav", low=table.similarity - 0.01)
    table["high"] = table.similarity + 0.01
    estimand = {
        "label": "similarity", "table": "similarity", "where": {}, "value": "similarity",
        "keys": {"pair": ["variant_x", "variant_y"]}, "low": "low", "high": "high",
        "interval": "jackknife",
    }  # fmt: skip
    study = evidence({"similarity": table}, {"cifar100": "cifar100"}, ["swav"])
    ledger = {"paper": PAPER, "estimands": {"score": estimand}}
    expression = kind("highest", at={"pair": ["b", "a"]}, among={"pair": [["a", "b"], ["a", "c"]]})
    claim = {"datasets": ["cifar100"], "models": ["swav"], "elsewhere": "nothing"} | expression
    (cell,), _ = claim_cells(claim, ledger, study)
    assert (cell.verdict, cell.rival, cell.effect.value) == (HOLDS, "a-c", pytest.approx(0.4))


def test_a_rival_that_the_study_lacks_is_left_out_and_without_any_nothing_is_tested():
    three = kind("highest", at={"variant": "original"}, among={"model": ["swav", "mae", "dinov2"]})
    (cell,), _ = asked(three, datasets=["cifar100"], models=["swav"])
    assert (cell.verdict, cell.rival) == (HOLDS, "mae")
    alone = kind("highest", at={"variant": "original"}, among={"model": ["swav", "dinov2"]})
    (cell,), _ = asked(alone, datasets=["cifar100"], models=["swav"])
    assert (cell.verdict, cell.reason) == (NOT_TESTED, "the study has 0 to compare swav with")


def test_expressions_that_must_all_be_true_give_a_cell_each():
    expression = {"all_of": [HIGHER, kind("above", at={"variant": "center"}, limit=0.6)]}
    cells, _ = asked(expression, datasets=["cifar100"])
    assert [cell.verdict for cell in cells] == [HOLDS, HOLDS, HOLDS, FAILS]
    assert claim_verdict(cells) == FAILS
    assert decisive_cell(cells).part == "score of center > 0.6"


def test_each_asks_for_every_value_that_it_lists():
    expression = kind("greater", at={"variant": "original"}, than={}) | {
        "each": {"variant": ["foreground", "center"]}
    }
    cells, _ = asked(expression, datasets=["cifar100"], models=["mae"])
    assert [(cell.each, cell.effect.value) for cell in cells] == [
        ("foreground", pytest.approx(0.10)),
        ("center", pytest.approx(0.14)),
    ]


def test_the_other_side_may_be_another_model_or_another_data_set():
    model = kind(
        "greater", at={"variant": "original"}, than={"variant": "original", "model": "mae"}
    )
    assert verdicts(model, models=["swav"]) == [HOLDS, HOLDS]
    there = {"variant": "center", "dataset": "cifar100"}
    dataset = kind("greater", at={"variant": "center"}, than=there)
    (cell,), _ = asked(dataset, datasets=["caltech101"], models=["swav"])
    # Independent samples: 0.02 and 0.02 add in squares.
    half = 0.0008**0.5
    assert cell.effect.low == pytest.approx(0.24 - half)
    assert cell.effect.high == pytest.approx(0.24 + half)
    assert cell.effect.how == "bootstrap; independent samples"


# --- intervals ---


def test_a_difference_takes_the_paired_interval_in_either_order():
    at = {"dataset": "cifar100", "model": "swav"}
    original, foreground = at | {"variant": "original"}, at | {"variant": "foreground"}
    found = difference(ESTIMANDS["paired"], original, foreground, evidence())
    assert found == Estimate(0.08, 0.07, 0.09, "paired")
    found = difference(ESTIMANDS["paired"], foreground, original, evidence())
    assert found == Estimate(-0.08, -0.09, -0.07, "paired")
    other = original | {"model": "mae"}
    assert difference(ESTIMANDS["paired"], other, original, evidence()).low == -0.2


def test_without_a_paired_interval_the_extremes_of_both_bound_the_difference():
    at = {"dataset": "cifar100", "model": "swav"}
    sides = [at | {"variant": name} for name in ("original", "foreground")]
    found = difference(ESTIMANDS["score"], *sides, evidence())
    assert (found.value, found.low, found.high) == (
        pytest.approx(0.08),
        pytest.approx(0.04),
        pytest.approx(0.12),
    )
    assert "extremes of both" in found.how


def test_a_value_without_an_interval_decides_nothing_but_says_what_it_is():
    expression = {"above": {"of": "bare", "at": {"variant": "original"}, "limit": 0.6}}
    (cell,), _ = asked(expression, datasets=["cifar100"], models=["swav"])
    assert (cell.verdict, cell.by_value, cell.effect.low) == (UNDECIDED, HOLDS, None)


def test_a_tie_decides_nothing():
    scores = {("cifar100", "swav", name): (1.0, 1.0, 1.0) for name in ("original", "foreground")}
    study = evidence({"cells": cells_table(scores)}, {"cifar100": "cifar100"}, ["swav"])
    assert verdicts(HIGHER, study, datasets=["cifar100"], models=["swav"]) == [UNDECIDED]


# --- verdicts over cells ---


def cell(low, high):
    return Cell("", "d", "m", "", Estimate((low + high) / 2, low, high))


def test_one_exception_decides_and_without_one_every_cell_must_hold():
    holds, fails, unsure = cell(0.1, 0.2), cell(-0.2, -0.1), cell(-0.1, 0.1)
    assert claim_verdict(5 * [holds]) == HOLDS
    assert claim_verdict([*5 * [holds], fails]) == FAILS
    assert claim_verdict([fails, unsure]) == FAILS
    assert claim_verdict([*5 * [holds], unsure]) == UNDECIDED
    assert claim_verdict(5 * [holds], lacking=["MAE"]) == UNDECIDED
    assert claim_verdict([*5 * [holds], fails], lacking=["MAE"]) == FAILS
    assert claim_verdict([holds, Cell("", "d", "m", "")]) == UNDECIDED
    assert claim_verdict([Cell("", "d", "m", "")]) == NOT_TESTED
    assert claim_verdict([]) == NOT_TESTED


def test_the_decisive_cell_is_the_clearest_failure_or_the_one_closest_to_it():
    holds, just = cell(0.1, 0.2), cell(0.01, 0.9)
    assert decisive_cell([holds, just]) is just
    unsure, less = cell(-0.3, 0.1), cell(-0.2, 0.0)
    assert decisive_cell([holds, less, unsure]) is unsure
    fails, barely = cell(-0.4, -0.2), cell(-0.9, -0.1)
    assert decisive_cell([holds, unsure, barely, fails]) is fails
    assert decisive_cell([Cell("", "d", "m", "")]) is None


def test_every_model_but_one_leaves_that_one_out():
    assert FAILS in verdicts(HIGHER, models="every")
    assert verdicts(HIGHER, models={"every_but": ["mae"]}) == [HOLDS, HOLDS]


# --- what the study lacks ---


def test_named_models_and_data_sets_that_the_study_lacks_leave_a_claim_open():
    cells, scope = asked(HIGHER, models=["swav", "dinov2"], elsewhere="datasets")
    assert {cell.model for cell in cells} == {"swav"}
    assert scope.lacking == ["DINOv2"]
    assert claim_verdict(cells, scope.lacking) == UNDECIDED
    cells, scope = asked(HIGHER, models=["dinov2"], elsewhere="datasets")
    assert (cells, scope.lacking) == ([], ["DINOv2"])


def test_a_study_of_other_data_and_models_stands_in_where_the_claim_allows_it():
    scores = {
        ("scenes", model, name): (value, value - 0.01, value + 0.01)
        for model in ("lite", "small")
        for name, value in (("original", 0.5), ("foreground", 0.9))
    }
    study = evidence({"cells": cells_table(scores)}, {"scenes": "emoji_scenes"}, ["lite", "small"])
    cells, scope = asked(HIGHER, study)
    assert [(cell.dataset, cell.model) for cell in cells] == [
        ("scenes", "lite"),
        ("scenes", "small"),
    ]
    assert (scope.elsewhere, scope.lacking) == ("other data and models", [])
    cells, scope = asked(HIGHER, study, elsewhere="nothing")
    assert cells == []
    assert scope.lacking == ["CIFAR-100", "Caltech-101", "SwAV", "MAE", "DINOv2"]
    cells, scope = asked(HIGHER, study, models=["mae"], elsewhere="datasets")
    assert (cells, scope.lacking) == ([], ["MAE"])


def test_a_part_of_a_data_set_is_known_by_its_kind():
    scores = {("part", *key[1:]): value for key, value in SCORES.items() if key[0] == "cifar100"}
    study = evidence({"cells": cells_table(scores)}, {"part": "cifar100"})
    cells, scope = asked(HIGHER, study, datasets=["cifar100"])
    assert {cell.dataset for cell in cells} == {"part"}
    assert scope.elsewhere == ""


def test_a_study_without_trained_models_says_so():
    cells, scope = asked(HIGHER, evidence(models=[]))
    assert (cells, scope.lacking) == ([], ["encoder with trained weights"])


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        (evidence(tables={}), "the study has no table cells"),
        (evidence(choices={}), "the study has no protocol"),
        (
            evidence(choices={"protocol": "paper"}),
            "table cells has no row of .*protocol \\$protocol",
        ),
        (evidence({"cells": cells_table(SCORES | {}).iloc[:1]}), "has no row of .*foreground"),
    ],
)
def test_a_claim_that_lacks_its_table_choice_or_row_is_not_tested_and_says_why(study, reason):
    cells, _ = asked(HIGHER, study, datasets=["cifar100"], models=["swav"])
    assert [cell.verdict for cell in cells] == [NOT_TESTED]
    assert re.search(reason, cells[0].reason), cells[0].reason


# --- what no study could have ---


def broken(**changes):
    estimand = ESTIMANDS["score"] | changes
    claim = {"datasets": ["cifar100"], "models": ["swav"], "elsewhere": "nothing"} | HIGHER
    return claim_cells(claim, {"paper": PAPER, "estimands": {"score": estimand}}, evidence())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"value": "balanced_acuracy"},
            "no column 'balanced_acuracy'; did you mean 'balanced_accuracy'",
        ),
        ({"low": "lower"}, "no column 'lower'; did you mean 'low'"),
        ({"where": {"kontrol": "none"}}, "no column 'kontrol'; did you mean 'control'"),
        (
            {"where": {"control": "nane"}},
            "control of table cells has no 'nane'; did you mean 'none'",
        ),
        ({"keys": {"variant": ["train_variants"]}}, "no column 'train_variants'; did you mean"),
    ],
)
def test_a_misspelt_column_or_value_stops_with_the_nearest_name(changes, message):
    with pytest.raises(ClaimError, match=message):
        broken(**changes)


def test_a_second_estimand_of_the_same_rows_is_checked_too():
    study = evidence()
    at = {"dataset": "cifar100", "model": "swav", "variant": "original"}
    assert estimate(ESTIMANDS["score"], at, study).value == 0.65
    with pytest.raises(ClaimError, match="no column 'acuracy'"):
        estimate(ESTIMANDS["score"] | {"value": "acuracy"}, at, study)


def test_an_empty_value_is_not_tested():
    cells = cells_table().astype({"balanced_accuracy": object})
    cells.loc[0, "balanced_accuracy"] = ""
    at = {"dataset": "cifar100", "model": "swav", "variant": "original"}
    with pytest.raises(Untested, match="table cells has no balanced_accuracy at dataset cifar100"):
        estimate(ESTIMANDS["score"], at, evidence({"cells": cells}))


def test_an_estimand_that_leaves_several_rows_names_the_columns_that_differ():
    twice = pd.concat([cells_table(), cells_table().assign(control="shuffled")])
    study = evidence({"cells": twice})
    estimand = ESTIMANDS["score"] | {"where": {}}
    claim = {"datasets": ["cifar100"], "models": ["swav"], "elsewhere": "nothing"} | HIGHER
    with pytest.raises(ClaimError, match="2 rows of table cells.*they differ in control"):
        claim_cells(claim, {"paper": PAPER, "estimands": {"score": estimand}}, study)


# --- words ---

SIX_PAIRS = [[name, "b"] for name in "acdefg"]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (HIGHER, "score of original > that of foreground"),
        (kind("at_least", at={"variant": "center"}, limit=0.7), "score of center >= 0.7"),
        (kind("above", at={}, limit="chance"), "score > its chance"),
        (
            kind("greater", at={"variant": "original"}, than={})
            | {"each": {"variant": ["center", "border"]}},
            "score of original > that of each of center, border",
        ),
        (kind("between", at={}, limits=[0.3, 0.5]), "score from 0.3 to 0.5"),
        (
            kind("lowest", at={"pair": ["a", "b"]}, among={"pair": SIX_PAIRS}, rank=3),
            "score of a-b among the 3 lowest of 6 pairs",
        ),
        (
            kind("above", limit=0.8) | {"each": {"variant": ["original", "center"]}},
            "score > 0.8, for each of original, center",
        ),
    ],
)  # fmt: skip
def test_an_expression_can_be_said_in_words(expression, words):
    assert asks(expression, {"estimands": ESTIMANDS}) == words
