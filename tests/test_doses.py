import numpy as np
import pandas as pd
import pytest

from halfseen.doses import ACCURACY, SIMILARITY, dose_table, shown_share

ROWS = {"object": {"keep": "foreground"}, "wide": {"keep": "center", "radius": 0.5}}
ROWS |= {
    "narrow": {"keep": "center", "radius": 0.1},
    "whole": {"keep": "everything", "role": "whole"},
}
ROWS |= {"rim": {"keep": "border", "radius": 0.5}}


def tables():
    """Tables of cells and similarities of `ROWS`, whose values tell their rows apart."""
    rows = [
        (dataset, protocol, train, test, control)
        for dataset in ("two", "one")
        for protocol in ("nested", "paper")
        for train in ROWS
        for test in ROWS
        for control in ("none", "shuffled labels")
    ]
    names = ["dataset", "protocol", "train_variant", "test_variant", "control"]
    cells = pd.DataFrame(rows, columns=names)
    cells = cells.assign(model="m", balanced_accuracy=np.arange(len(cells)) / len(cells))
    pairs = [
        (dataset, measure, x, y)
        for dataset in ("two", "one")
        for measure in ("cka", "cca")
        for x in ROWS
        for y in ROWS
    ]
    similarity = pd.DataFrame(pairs, columns=["dataset", "measure", "variant_x", "variant_y"])
    similarity = similarity.assign(model="m", similarity=np.arange(len(pairs)) / len(pairs))
    limits = {"low": -1, "high": 2}
    return cells.assign(chance=0.1, **limits), similarity.assign(null=0.2, **limits)


@pytest.mark.parametrize("radius", [0.1, 0.25, 0.3989, 0.5])
def test_a_circle_shows_its_area_and_its_border_the_rest(radius):
    inside = shown_share({"keep": "center", "radius": radius})
    assert inside == pytest.approx(np.pi * radius**2, rel=0.01)
    assert inside + shown_share({"keep": "border", "radius": radius}) == 1
    assert shown_share({"keep": "everything"}) == 1


def test_a_response_is_the_protocol_s_own_cell_and_the_similarity_with_the_whole():
    cells, similarity = tables()
    table = dose_table(cells, similarity, ROWS, "paper", "cka")
    own = cells[(cells.protocol == "paper") & (cells.control == "none")]
    own = own[own.train_variant == own.test_variant].set_index(["dataset", "train_variant"])
    beside = similarity[(similarity.measure == "cka") & (similarity.variant_x == "whole")]
    beside = beside.set_index(["dataset", "variant_y"])
    for row in table.itertuples():
        key = row.dataset, row.variant
        expected = {
            ACCURACY: (own.balanced_accuracy.get(key), 0.1),
            SIMILARITY: (beside.similarity.get(key), 0.2),
        }
        assert (row.value, row.null) == expected[row.quantity]
        assert (row.low, row.high) == (-1, 2)
    assert len(table) == 2 * 2 * (3 + 2)


def test_curves_run_from_little_to_the_whole_and_keep_the_order_of_the_study():
    table = dose_table(*tables(), ROWS, "nested", "cka")
    curves = table.groupby(["dataset", "quantity", "keep"], sort=False).variant.agg(list)
    assert curves.index[0] == ("two", ACCURACY, "center")
    assert curves.xs("center", level="keep").tolist() == 4 * [["narrow", "wide", "whole"]]
    assert curves.xs("border", level="keep").tolist() == 4 * [["rim", "whole"]]
    assert "object" not in set(table.variant)


def test_without_the_whole_or_a_measure_there_are_accuracies_alone():
    cells, similarity = tables()
    rows = {name: row for name, row in ROWS.items() if name != "whole"}
    for given in ((rows, "cka"), (ROWS, None)):
        table = dose_table(cells, similarity, given[0], "nested", given[1])
        assert set(table.quantity) == {ACCURACY}
        assert len(table) == 2 * (3 + 2 if "whole" in given[0] else 2 + 1)
