import json

import numpy as np
import pandas as pd
import pytest

from halfseen.image_records import (
    MASK_NUMBERS,
    MASK_TEXT,
    image_table,
    out_of_fold,
    records_within,
    showing_order,
)

VARIANTS = {
    "original": {"keep": "everything", "radius": None},
    "foreground": {"keep": "foreground", "radius": None},
}


def manifest(n, classes=2):
    labels = np.arange(n) % classes
    names = [f"class {label}" for label in labels]
    ids = [f"i{place:02}" for place in range(n)]
    return pd.DataFrame({"image_id": ids, "label": labels, "label_name": names})


def mask_rows(dataset, image_ids):
    rows = pd.DataFrame({"dataset": dataset, "image_id": image_ids})
    return rows.assign(**dict.fromkeys(MASK_TEXT, ""), **dict.fromkeys(MASK_NUMBERS, 0.5))


@pytest.fixture
def two():
    return {"one": manifest(4), "other": manifest(3)}


def prediction_rows(**columns):
    row = {
        "model": "m", "protocol": "nested", "train_variant": "original", "control": "none",
        "test_variant": "original", "centering": "raw", "dataset": "one", "image_id": "i00",
        "predicted": 1,
    }  # fmt: skip
    lengths = [len(value) for value in columns.values() if isinstance(value, list)]
    return pd.DataFrame(row | columns, index=range(max(lengths, default=1)))


# One row an image


def test_images_of_all_data_sets_stand_in_one_table_each_with_its_own_mask(two):
    masks = pd.concat([mask_rows(name, part.image_id) for name, part in two.items()])
    masks.loc[(masks.dataset == "other") & (masks.image_id == "i01"), "iou"] = 0.25
    table = image_table(two, masks.sample(frac=1, random_state=0))
    assert table.dataset.tolist() == ["one"] * 4 + ["other"] * 3
    assert table.image_id.tolist() == ["i00", "i01", "i02", "i03", "i00", "i01", "i02"]
    assert table.iou.tolist() == [0.5] * 5 + [0.25, 0.5]


def test_an_image_without_a_mask_is_named(two):
    masks = pd.concat([mask_rows("one", two["one"].image_id), mask_rows("other", ["i00", "i01"])])
    with pytest.raises(ValueError, match="image 'i02' has no row in the table of masks"):
        image_table(two, masks)


# What the probes predict


def test_each_prediction_lands_at_its_image_whatever_the_order_of_the_rows(two):
    part = prediction_rows(image_id=["i03", "i00", "i02"], predicted=[7, 8, 9])
    cells, predicted = out_of_fold([part], image_table(two), "original")
    assert cells == [{"model": "m", "protocol": "nested", "train": "original", "test": "original"}]
    assert predicted[:, 0].tolist() == [8, -1, 9, 7, -1, -1, -1]


def test_data_sets_share_a_cell_and_models_do_not(two):
    parts = [
        prediction_rows(predicted=3),
        prediction_rows(dataset="other", predicted=4),
        prediction_rows(model="n", predicted=5),
    ]
    cells, predicted = out_of_fold(parts, image_table(two), "original")
    assert [cell["model"] for cell in cells] == ["m", "n"]
    assert predicted[:, 0].tolist() == [3, -1, -1, -1, 4, -1, -1]
    assert predicted[:, 1].tolist() == [5, -1, -1, -1, -1, -1, -1]


@pytest.mark.parametrize(
    "other",
    [
        {"control": "shuffled labels"},
        {"centering": "recentred"},
        {"train_variant": "foreground"},
    ],
)
def test_controls_recentred_and_other_transfers_are_left_out(two, other):
    cells, predicted = out_of_fold([prediction_rows(**other)], image_table(two), "original")
    assert cells == []
    assert predicted.shape == (7, 0)


def test_a_probe_of_the_reference_is_kept_when_asked_about_another_variant(two):
    part = prediction_rows(test_variant="foreground")
    cells, _ = out_of_fold([part], image_table(two), "original")
    assert [(cell["train"], cell["test"]) for cell in cells] == [("original", "foreground")]
    assert out_of_fold([part], image_table(two), None)[0] == []


def test_a_prediction_for_an_unknown_image_is_an_error(two):
    with pytest.raises(KeyError, match="i99"):
        out_of_fold([prediction_rows(image_id="i99")], image_table(two), "original")


# As many as fit


@pytest.fixture
def shards(tmp_path, write_blank_shard):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (12, 28, 28, 3)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
    masks = np.tril(np.ones((224, 224), bool))[None].repeat(12, 0)
    ids = manifest(12, 3).image_id.tolist()
    return {"one": [write_blank_shard(tmp_path / "0.h5", images, masks, ids)]}


@pytest.fixture
def table():
    ids = manifest(12, 3)
    return image_table({"one": ids}, mask_rows("one", ids.image_id))


def records(max_bytes, table, shards, seed=5):
    order = showing_order(table, np.random.default_rng(seed))
    predicted = np.arange(24).reshape(12, 2)
    return records_within(max_bytes, order, table, predicted, shards, VARIANTS)


def test_all_images_come_in_the_order_of_the_table_where_there_is_room(table, shards):
    found = records(10**7, table, shards)
    assert [record["id"] for record in found] == table.image_id.tolist()
    assert [record["predicted"] for record in found] == [[2 * k, 2 * k + 1] for k in range(12)]
    assert {record["photo"][:16] for record in found} == {"data:image/webp;"}
    assert {tuple(record["covers"]) for record in found} == {("foreground",)}


def test_where_room_is_short_classes_lose_evenly_and_the_budget_is_kept(table, shards):
    every = len(json.dumps(records(10**7, table, shards)))
    found = records(every // 2, table, shards)
    assert len(json.dumps(found)) <= every // 2
    counts = pd.Series([record["label"] for record in found]).value_counts()
    assert counts.max() - counts.min() <= 1
    assert len(found) >= 5
    assert found == records(every // 2, table, shards)
    assert [record["id"] for record in found] == sorted(record["id"] for record in found)


def test_no_room_shows_no_image(table, shards):
    assert records(10, table, shards) == []


def test_wanted_images_get_their_places_before_others_of_their_class(table):
    wanted = [("one", "i03"), ("one", "i04"), ("one", "i05")]
    order = showing_order(table, np.random.default_rng(0), wanted)
    assert sorted(order[:3]) == [3, 4, 5]
