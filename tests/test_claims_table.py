import pytest
import yaml
from paper_as_told import told_evidence

from halfseen.claims import ANSWERED, FAILS, HOLDS, NOT_TESTED, UNDECIDED, Evidence
from halfseen.claims_table import CELLS, CLAIMS, judge_claims, paper_evidence
from halfseen.files import write_table
from halfseen.ledger import read_ledger
from halfseen.tables import read_table

TABLES = [
    "cells", "differences", "similarity", "neighbors", "neighbor_measures", "patterns",
]  # fmt: skip


@pytest.fixture(scope="module")
def ledger(root):
    folder = root / "workflow"
    schema = folder / "schemas/claims.schema.yaml"
    return read_ledger(folder / "resources/claims.yaml", schema, TABLES)


@pytest.fixture(scope="module")
def printed(ledger, paper_table1):
    """The ledger judged by the Table 1 that the paper prints."""
    return judge_claims(ledger, paper_evidence(paper_table1))[0].set_index("id")


@pytest.fixture(scope="module")
def told(ledger, paper_table1):
    """The ledger and its cells, judged by a study in which what the paper says is so."""
    return judge_claims(ledger, told_evidence(paper_table1), paper_evidence(paper_table1))


# --- what is known of the paper's own table ---


def test_the_paper_s_own_table_breaks_its_first_claim_by_mae_on_caltech_101(printed):
    first = printed.loc["1"]
    assert first.verdict == FAILS
    assert first.decisive == "mae on caltech101"
    assert first.effect == pytest.approx(-0.02)
    assert (first.n_cells, first.n_hold, first.n_fail) == (10, 9, 1)


def test_the_paper_s_own_table_bears_out_its_next_three_claims(printed):
    second, third, fourth = (printed.loc[name] for name in "234")
    assert (second.verdict, third.verdict, fourth.verdict) == (HOLDS, HOLDS, HOLDS)
    # DINOv2: 0.77 and 0.74, 0.98 and 0.96. Caltech-101: 0.90 and 0.89 and so on; 0.72 the lowest.
    assert (second.n_cells, second.effect) == (2, pytest.approx(0.02))
    assert (third.n_cells, third.effect) == (4, pytest.approx(0.01))
    assert (fourth.n_cells, fourth.effect) == (4, 0.72)
    assert (fourth.decisive, fourth.limits) == ("swav on caltech101", "0.7")


def test_what_the_paper_does_not_print_in_numbers_is_not_tested_on_its_table(printed):
    assert printed.loc["5a"].verdict == NOT_TESTED
    assert printed.loc["5a"].reason == "the study has no table similarity"


def test_with_the_spread_of_its_folds_the_exception_is_within_chance(ledger, paper_table1):
    plain = paper_evidence(paper_table1)
    cells = plain.tables["cells"]
    spread = 2 * paper_table1.balanced_accuracy_std.astype(float)
    cells = cells.assign(low=cells.low - spread, high=cells.high + spread)
    unpaired = {name: dict(row) for name, row in ledger["estimands"].items()}
    del unpaired["score"]["paired"]
    study = Evidence({"cells": cells}, plain.datasets, plain.models, plain.choices, plain.labels)
    claims, _ = judge_claims(ledger | {"estimands": unpaired}, study)
    first = claims.set_index("id").loc["1"]
    assert (first.verdict, first.by_value) == (UNDECIDED, FAILS)
    assert first.decisive == "mae on caltech101"


# --- the ledger as a whole ---


def test_where_all_is_as_the_paper_says_every_claim_holds_but_one_of_two_that_contradict(told):
    claims, _ = told
    verdicts = claims.set_index("id").verdict
    assert verdicts.pop("13") == FAILS  # contradicts 5a, of which it is the next sentence
    assert verdicts.pop("12") == UNDECIDED  # its table has no interval
    assert verdicts.filter(like="Q").tolist() == 3 * [ANSWERED]
    assert set(verdicts[~verdicts.index.str.startswith("Q")]) == {HOLDS}
    assert claims.set_index("id").by_value["12"] == HOLDS


def test_all_twelve_statements_and_three_questions_have_a_row(ledger):
    numbers = {claim["id"].rstrip("abcd") for claim in ledger["claims"]}
    assert {*map(str, range(1, 13)), "Q1", "Q2", "Q3"} <= numbers


def test_every_claim_names_its_place_its_tables_and_its_figure(told):
    claims, _ = told
    assert claims.source.str.startswith("Section ").all()
    assert (claims.tables != "").all()
    assert claims.figure.str.match(r"table1\.html|figures/figure[234]_\w+\.svg").all()


def test_the_paper_s_own_verdict_stands_beside_ours(told):
    by_paper = told[0].set_index("id").by_paper
    assert by_paper[["1", "2", "14", "5a", "Q1"]].tolist() == [FAILS, HOLDS, HOLDS, "", ""]


def test_the_paper_s_table_says_nothing_of_data_that_it_does_not_print(ledger, paper_table1):
    paper = ledger["paper"] | {"datasets": ledger["paper"]["datasets"] | {"dtd": "DTD"}}
    first = ledger["claims"][0] | {"datasets": ["dtd"]}
    evidence = paper_evidence(paper_table1)
    claims, _ = judge_claims(ledger | {"paper": paper, "claims": [first]}, evidence, evidence)
    assert claims[["verdict", "elsewhere", "by_paper"]].iloc[0].tolist() == [
        FAILS,
        "other data",
        "",
    ]


def test_a_question_is_answered_by_the_range_over_the_cells(told):
    answer = told[0].set_index("id").finding["Q3"]
    # Foreground: 0.01 (DINOv2 on Caltech-101) to 0.12 (DINOv2 on CIFAR-100) below the original.
    assert answer.startswith("foreground: +0.010 to +0.120 (10 above, of 10); background: +0.080")


def test_both_tables_can_be_written_and_read(told, tmp_path):
    for table, columns in zip(told, (CLAIMS, CELLS), strict=True):
        write_table(tmp_path / "table.csv", table)
        back = read_table(tmp_path / "table.csv")
        assert list(back) == columns
        assert len(back) == len(table)


def test_the_cells_add_up(told):
    claims, cells = told
    counted = claims[["n_hold", "n_fail", "n_undecided", "n_untested"]].sum(axis=1)
    assert counted.tolist() == claims.n_cells.tolist()
    assert cells.groupby("id", sort=False).size().tolist() == claims.n_cells.tolist()


def test_another_study_is_named_as_such_and_what_it_lacks_too(ledger, paper_table1):
    own = paper_evidence(
        paper_table1[paper_table1.model == "swav"].replace({"swav": "lite", "cifar100": "toys"})
    )
    study = Evidence(
        own.tables, {"toys": "toys"}, ["lite"], own.choices,
        {"datasets": {"toys": "Toys"}, "models": {"lite": "Lite"}},
    )  # fmt: skip
    claims, _ = judge_claims(ledger, study)
    first, second = (claims.set_index("id").loc[name] for name in "12")
    assert (first.verdict, first.elsewhere) == (HOLDS, "other data and models")
    assert first.tested_on == "Lite on Toys"
    assert first.finding == "Holds in 1 of 1 cell; closest: Lite on Toys, +0.080 [+0.080, +0.080]."
    assert (second.verdict, second.reason) == (NOT_TESTED, "the study has no DINOv2")


def test_the_paper_as_evidence_has_every_pair_once(paper_table1):
    differences = paper_evidence(paper_table1).tables["differences"]
    # 10 pairs of variants in each of 10 cells; 10 pairs of models on 2 x 5 variants.
    assert differences.compares.value_counts().to_dict() == {"variants": 100, "models": 100}
    assert not differences.duplicated(["dataset", "compares", "within", "first", "second"]).any()
    row = differences.iloc[0]
    assert tuple(row[["within", "first", "second"]]) == ("supervised", "original", "foreground")
    assert row.difference == pytest.approx(0.05)


def test_the_names_of_the_ledger_are_rows_of_the_shipped_configuration(root, ledger):
    config = yaml.safe_load((root / "config.yaml").read_text())
    assert set(ledger["paper"]["models"]) <= set(config["models"])
    assert set(ledger["paper"]["variants"]) <= set(config["variants"])
    kinds = {row["kind"] for row in config["datasets"].values()}
    assert set(ledger["paper"]["datasets"]) <= kinds
