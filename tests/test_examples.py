import numpy as np
import pandas as pd
import pytest

from halfseen.examples import HIDDEN_GREY, example_masks, example_variants

VARIANTS = {
    "original": {"keep": "everything", "radius": None},
    "foreground": {"keep": "foreground", "radius": None},
}


@pytest.fixture
def shard(tmp_path, write_blank_shard):
    masks = np.zeros((6, 224, 224), bool)
    masks[:, :10] = True
    images = [np.full((224, 224, 3), 20 * k, np.uint8) for k in range(6)]
    return write_blank_shard(tmp_path / "0.h5", images, masks, [f"i{k}" for k in range(6)])


def test_examples_are_of_different_classes_and_show_what_each_variant_keeps(shard):
    names = list("aabbcc")
    manifest = pd.DataFrame({"image_id": [f"i{k}" for k in range(6)], "label_name": names})
    rng = np.random.default_rng(0)
    examples = example_variants([shard], manifest, VARIANTS, 3, rng)
    assert {name for name, _ in examples} == set("abc")
    for name, images in examples:
        brightness = images["original"][0, 0, 0]
        assert names[brightness // 20] == name
        assert (images["original"] == brightness).all()
        assert (images["foreground"][:10] == brightness).all()
        assert (images["foreground"][10:] == HIDDEN_GREY).all()


# Masks from best to worst


@pytest.fixture
def many(tmp_path, write_blank_shard):
    """Forty grey images in two shards, each with as many rows of mask as its number."""
    paths = []
    for part in range(2):
        numbers = range(part, 40, 2)
        images = [np.full((224, 224, 3), k, np.uint8) for k in numbers]
        masks = [np.arange(224)[:, None].repeat(224, 1) < k for k in numbers]
        paths.append(tmp_path / f"{part}.h5")
        write_blank_shard(paths[-1], images, masks, [f"i{k}" for k in numbers])
    return paths


def masks_table(**columns):
    table = pd.DataFrame({"image_id": [f"i{k}" for k in range(40)], "fallback": "", "iou": ""})
    score = (np.arange(40) * 7 % 40) / 40  # every place once, in another order
    return table.assign(score=score, **columns)


def numbers(groups):
    return {name: [int(row.image_id[1:]) for row, *_ in rows] for name, rows in groups.items()}


def test_masks_are_ranked_by_score_and_each_comes_with_its_own_picture(many):
    groups = example_masks(many, masks_table(), 5)
    assert list(groups) == ["Best", "Median", "Worst"]
    ranks = {name: [round(row.score * 40) for row, *_ in rows] for name, rows in groups.items()}
    assert ranks["Best"] == [39, 38, 37, 36, 35]
    assert ranks["Median"] == [22, 21, 20, 19, 18]
    assert ranks["Worst"] == [4, 3, 2, 1, 0]
    for rows in groups.values():
        for row, image, mask in rows:
            assert image[0, 0, 0] == int(row.image_id[1:])
            assert mask.sum() == 224 * int(row.image_id[1:])


def test_where_some_have_an_exact_mask_these_are_ranked_by_iou(many):
    iou = [f"{k / 40:.6f}" if k % 2 else "" for k in range(40)]
    found = numbers(example_masks(many, masks_table(iou=iou), 3))
    assert found == {"Best": [39, 37, 35], "Median": [23, 21, 19], "Worst": [5, 3, 1]}


def test_fallbacks_stand_apart_spread_over_their_number(many):
    fallback = ["disc for grid: nothing" if k >= 29 else "" for k in range(40)]
    found = numbers(example_masks(many, masks_table(fallback=fallback), 3))
    assert found["Fallbacks"] == [29, 34, 39]
    assert max(found["Best"] + found["Median"] + found["Worst"]) < 29


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_no_mask_is_shown_twice_and_few_masks_make_few_groups(many, n):
    table = masks_table()[:n]
    found = sum(numbers(example_masks(many, table, 5)).values(), [])
    assert len(set(found)) == len(found) == min(n, 3 * max(1, n // 3))


def test_a_data_set_of_fallbacks_alone_shows_them(many):
    found = numbers(example_masks(many, masks_table(fallback="empty for box: gone"), 2))
    assert found == {"Fallbacks": [0, 39]}
