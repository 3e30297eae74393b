import numpy as np
import pandas as pd
import pytest
import yaml

from halfseen.comparison import PAPER_IMAGES, beside_paper, beside_published
from halfseen.files import write_table
from halfseen.tables import read_table

# --- the paper's Table 1 ---


def table1(*cells):
    rows = [
        {
            "dataset": dataset, "model": model, "variant": variant, "protocol": protocol,
            "balanced_accuracy_mean": mean, "balanced_accuracy_std": 0.5, "low": 0.1, "high": 0.9,
            "n_folds": n_folds, "chance": 0.01, "n_images": n_images,
        }
        for dataset, model, variant, protocol, mean, n_folds, n_images in cells
    ]  # fmt: skip
    return pd.DataFrame(rows)


CELLS = table1(
    ("dtd", "mae", "original", "paper", 0.7, 5, 300),
    ("caltech101", "mae", "foreground", "paper", 0.75, 5, 8677),
    ("cifar100", "dinov2_vitg14", "border", "nested", 0.41, 5, 60_000),
    ("caltech101", "mae", "foreground", "nested", 0.71, 3, 8677),
    ("cifar100", "mae_l", "original", "nested", 0.5, 3, 500),
)


def test_a_cell_has_the_paper_s_number_beside_it_and_says_where_the_protocols_differ(paper_table1):
    beside = beside_paper(CELLS, paper_table1)
    assert beside.paper_mean.tolist() == ["", 0.71, 0.44, 0.71, ""]
    assert beside.paper_std.tolist() == ["", 0.02, 0.01, 0.02, ""]
    assert beside.difference[[0, 4]].tolist() == ["", ""]
    assert beside.difference[1:4].tolist() == pytest.approx([0.04, -0.03, 0])
    assert beside.differs.tolist() == [
        "", "", "protocol nested, not paper", "protocol nested, not paper; 3 folds, not 5", "",
    ]  # fmt: skip


def test_a_part_of_a_data_set_is_not_what_the_paper_s_number_is_of(paper_table1):
    part = table1(("caltech101", "mae", "foreground", "paper", 0.75, 5, 1632))
    assert beside_paper(part, paper_table1).differs.tolist() == ["1,632 images, not 8,677"]


def test_the_paper_s_data_sets_are_whole_as_in_the_configuration(paper_table1, root):
    rows = yaml.safe_load((root / "config.yaml").read_text())["datasets"]
    assert {name: rows[name]["n_images"] for name in set(paper_table1.dataset)} == PAPER_IMAGES


def test_our_own_columns_and_the_order_of_the_rows_stay(paper_table1):
    table = CELLS.set_index(pd.Index([9, 8, 7, 6, 5]))
    beside = beside_paper(table, paper_table1)
    pd.testing.assert_frame_equal(beside[list(CELLS)], CELLS)
    added = ["paper_mean", "paper_std", "difference", "differs"]
    assert list(beside) == [*CELLS, *added]


def test_the_table_can_be_written_and_read(paper_table1, tmp_path):
    write_table(tmp_path / "table.csv", beside_paper(CELLS, paper_table1))
    back = pd.read_csv(tmp_path / "table.csv")
    assert back.paper_mean.isna().tolist() == [True, False, False, False, True]
    assert back.paper_mean[1] == 0.71


def test_a_table_that_does_not_say_its_protocol_is_not_compared(paper_table1):
    with pytest.raises(ValueError, match=r"our Table 1 lacks the columns \['protocol'\]"):
        beside_paper(CELLS.drop(columns="protocol"), paper_table1)


def test_a_cell_that_the_paper_has_twice_is_named(paper_table1):
    twice = pd.concat([paper_table1, paper_table1[7:8]])
    with pytest.raises(ValueError, match=r"\['cifar100', 'swav', 'background'\] twice"):
        beside_paper(CELLS, twice)


def test_the_paper_s_table_is_whole_and_of_our_names(paper_table1, root):
    config = yaml.safe_load((root / "config.yaml").read_text())
    study = config["studies"]["paper"]
    cells = set(paper_table1[["dataset", "model", "variant"]].itertuples(index=False, name=None))
    assert cells == {
        (dataset, model, variant)
        for dataset in ("cifar100", "caltech101")
        for model in study["models"]
        for variant in study["variants"]
    }
    assert len(paper_table1) == 50
    assert paper_table1.balanced_accuracy_mean.between(0.19, 0.98).all()
    assert paper_table1.balanced_accuracy_std.between(0, 0.03).all()
    # what the paper says of its own table
    wide = paper_table1.pivot(
        index=["dataset", "model"], columns="variant", values="balanced_accuracy_mean"
    )
    lower = wide[wide.original <= wide.foreground].index.tolist()
    assert lower == [("caltech101", "mae")]
    caltech = wide.loc["caltech101"]
    assert caltech.index[caltech.background >= 0.70].tolist() == [
        "dinov2_vitg14", "supervised", "swav", "vicreg",
    ]  # fmt: skip


# --- linear probes that others have published ---

NOTE = "a split file of its own"
PUBLISHED = pd.DataFrame(
    [
        ("published_a", "swav", "dtd", 5640, "accuracy", 0.77, "A, Table 1", ""),
        ("published_a", "swav", "caltech101", 9144, "balanced_accuracy", 0.9, "A, Table 1", NOTE),
        ("published_b", "swav", "dtd", 5640, "balanced_accuracy", 0.75, "B, Table 7", ""),
        ("published_b", "mae", "dtd", 5640, "accuracy", 0.6, "B, Table 7", ""),
    ],
    columns=["protocol", "model", "dataset", "n_images", "metric", "value", "source", "note"],
)


def cell(**changes):
    ours = {
        "dataset": "dtd", "model": "swav", "variant": "original", "protocol": "published_a",
        "split_source": "official", "n_images": 5640, "n_left_out": 0,
        "accuracy": 0.765, "balanced_accuracy": 0.74,
    }  # fmt: skip
    return ours | changes


def beside(*cells):
    return beside_published(pd.DataFrame(cells), PUBLISHED)


def test_a_cell_of_the_same_protocol_split_and_images_is_compared_in_the_published_metric():
    same, other = beside(cell()).to_dict("records")
    assert same.pop("difference") == pytest.approx(-0.005)
    assert same == {
        "dataset": "dtd", "model": "swav", "protocol": "published_a",
        "published_protocol": "published_a", "metric": "accuracy", "ours": 0.765,
        "published": 0.77, "comparable": True, "reason": "", "source": "A, Table 1",
    }  # fmt: skip
    assert other.pop("difference") == pytest.approx(-0.01)
    assert other == {
        "dataset": "dtd", "model": "swav", "protocol": "published_a",
        "published_protocol": "published_b", "metric": "balanced_accuracy", "ours": 0.74,
        "published": 0.75, "comparable": False,
        "reason": "protocol published_a, not published_b", "source": "B, Table 7",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": "nested"}, "protocol nested, not published_a"),
        ({"split_source": "folds"}, "split from folds, not official"),
        ({"n_images": 210}, "210 images, not 5,640"),
        ({"n_left_out": 12}, "12 images left out, which share a group with a test image"),
        (
            {"dataset": "caltech101", "n_images": 8677, "split_source": "folds"},
            f"split from folds, not official; 8,677 images, not 9,144; {NOTE}",
        ),
        ({"dataset": "caltech101", "n_images": 9144}, NOTE),
    ],
)
def test_whatever_differs_is_said_and_makes_a_number_not_comparable(changes, reason):
    first = beside(cell(**changes)).iloc[0]
    assert (first.published_protocol, first.comparable) == ("published_a", False)
    assert first.reason == reason


def test_cells_without_a_published_number_and_of_other_variants_are_left_out():
    table = beside(
        cell(model="vicreg"), cell(dataset="dtd_subset"), cell(variant="center"), cell(model="mae")
    )
    assert table.model.tolist() == ["mae"]
    none = beside(cell(model="vicreg"))
    assert none.empty
    assert list(none) == list(table)


def test_a_metric_that_the_cells_lack_is_named():
    with pytest.raises(ValueError, match=r"probes lacks the columns \['accuracy'\]"):
        beside_published(pd.DataFrame([cell()]).drop(columns="accuracy"), PUBLISHED)


def test_the_carried_numbers_are_of_our_models_and_whole_data_sets(root):
    config = yaml.safe_load((root / "config.yaml").read_text())
    published = read_table(root / "workflow/resources/published_probes.csv")
    assert not published.duplicated(["protocol", "model", "dataset"]).any()
    assert set(published.model) <= set(config["models"])
    assert set(published.metric) == {"accuracy", "balanced_accuracy"}
    assert set(published.protocol) == {"published_ericsson", "published_dinov2"}
    assert published.value.between(0.4, 1).all()
    for name, rows in published.groupby("dataset"):
        n_images = config["datasets"][name]["n_images"] + 467 * (name == "caltech101")
        assert set(rows.n_images) == {n_images}
        # Caltech-101 publishes no split: whatever was compared with it is of another one
        assert (rows.note != "").all() == (name == "caltech101")
        per_class = name in ("aircraft", "caltech101")
        assert set(rows.metric) == {"balanced_accuracy" if per_class else "accuracy"}


def test_a_carried_number_is_comparable_on_its_own_terms_and_caltech_never(root):
    published = read_table(root / "workflow/resources/published_probes.csv")
    cells = published.assign(
        variant="original", split_source="official", n_left_out=0, accuracy=0.5,
        balanced_accuracy=0.6,
    )  # fmt: skip
    table = beside_published(cells, published)
    assert len(table) == len(published) == 20
    assert (table.comparable == (table.dataset != "caltech101")).all()
    assert table.ours.tolist() == np.where(published.metric == "accuracy", 0.5, 0.6).tolist()
