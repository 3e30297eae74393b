import numpy as np
import pandas as pd
import pytest

from halfseen.files import write_table
from halfseen.mask_quality import (
    fallbacks_by_class,
    fallbacks_text,
    mask_table,
    meaning_text,
    passing,
    summarise_masks,
    summary_text,
)
from halfseen.masks import intersection_over_union
from halfseen.shards import PROVENANCE, write_shard

LABELS = {"datasets": {"drawn": "Drawn objects", "photos": "Photographs"}}


@pytest.fixture
def rng():
    return np.random.default_rng(8)


@pytest.fixture
def manifest():
    return pd.DataFrame({"image_id": [f"image {number}" for number in range(5)]})


@pytest.fixture
def shard_of(tmp_path, rng):
    """A function that writes a shard of some image ids and gives its path and what is in it."""

    def write(ids, exact=True):
        n = len(ids)
        shard = {
            "images": rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8),
            "masks": rng.random((n, 8, 8)) < 0.5,
            "image_ids": list(ids),
            "prompt": [f'{{"box": [{number}]}}' for number in range(n)],
            "query": [f"query {number}" for number in range(n)],
            "score": rng.random(n),
            "cleaned": rng.random(n),
            "agreement": rng.random(n),
            "mask_index": list(range(n)),
            "predicted_iou": rng.random(n),
            "stability": rng.random(n),
            "area": rng.random(n),
            "components": rng.integers(1, 9, n),
            "border_contact": rng.random(n),
            "fallback": ["box: too large", ""][:n] + [""] * (n - 2),
        }
        if exact:
            shard["exact_masks"] = list(rng.random((n, 8, 8)) < 0.5)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.h5"
        write_shard(path, shard)
        return path, shard

    return write


# Every mask


def test_masks_come_in_the_order_of_the_manifest_each_with_its_own_provenance(shard_of, manifest):
    ids = manifest.image_id
    (first, even), (second, odd) = shard_of(ids[::2]), shard_of(ids[1::2])
    table = mask_table([second, first], manifest)
    assert list(table.image_id) == list(ids)
    for number, row in enumerate(table.itertuples()):
        shard = (even, odd)[number % 2]
        place = number // 2
        for name, dtype in PROVENANCE.items():
            if name == "agreement":
                assert float(row.agreement) == pytest.approx(shard[name][place], abs=5e-7)
                continue
            expected = shard[name][place]
            exact = not isinstance(dtype, str) or dtype.startswith("int")
            assert getattr(row, name) == (expected if exact else pytest.approx(expected, rel=1e-6))
        iou = intersection_over_union(shard["masks"][place], shard["exact_masks"][place])
        assert float(row.iou) == pytest.approx(iou, abs=5e-7)


def test_the_iou_is_empty_without_exact_masks(shard_of, manifest):
    path, _ = shard_of(manifest.image_id, exact=False)
    assert list(mask_table([path], manifest).iou) == [""] * 5


def test_an_image_without_an_exact_mask_or_an_agreement_has_an_empty_field(
    shard_of, manifest, tmp_path
):
    _, shard = shard_of(manifest.image_id)
    shard["exact_masks"][2] = None
    shard["agreement"][3] = np.nan
    write_shard(tmp_path / "some.h5", shard)
    table = mask_table([tmp_path / "some.h5"], manifest)
    assert [value == "" for value in table.iou] == [False, False, True, False, False]
    assert [value == "" for value in table.agreement] == [False, False, False, True, False]
    iou = intersection_over_union(shard["masks"][4], shard["exact_masks"][4])
    assert float(table.iou[4]) == pytest.approx(iou, abs=5e-7)
    write_table(tmp_path / "masks.csv", table)


@pytest.mark.parametrize(
    ("ids", "found"),
    [([0, 1, 2, 3], 4), ([0, 1, 2, 3, 4, 5], 6), ([0, 1, 2, 3, 4, 4], 6), ([0, 1, 2, 3, 9], 5)],
)
def test_shards_of_other_images_than_the_manifests_are_an_error(ids, found, shard_of, manifest):
    path, _ = shard_of([f"image {number}" for number in ids])
    with pytest.raises(ValueError, match=f"the {found} images of the shards are not the 5 of the"):
        mask_table([path], manifest)


# The summary


@pytest.fixture
def masks():
    """A table of three masks with exact ones and, after it, of two without."""
    return pd.DataFrame(
        {
            "dataset": ["photos"] * 3 + ["drawn"] * 2,
            "fallback": ["", "box: too large", "", "", ""],
            "area": [0.1, 0.2, 0.6, 0.25, 0.75],
            "predicted_iou": [0.9, 0.0, 0.6, 1.0, 0.5],
            "stability": [1.0, 0.0, 0.5, 0.8, 0.6],
            "label_name": ["big_cat", "dog", "dog", "cat", "dog"],
            "passes": [1, 0, 0, 1, 0],
            "agreement": ["0.600000", "", "0.800000", "", ""],
            "iou": ["0.500000", "0.900000", "1.000000", "", ""],
        }
    )


def test_a_summary_counts_and_averages_by_hand(masks):
    assert summarise_masks(masks).to_dict("records") == [
        {
            "dataset": "photos",
            "n": 3,
            "n_fallback": 1,
            "fallback_rate": pytest.approx(1 / 3),
            "n_passing": 1,
            "mean_area": pytest.approx(0.3),
            "mean_predicted_iou": pytest.approx(0.5),
            "mean_stability": pytest.approx(0.5),
            "mean_agreement": "0.7000",
            "n_exact": 3,
            "mean_iou": "0.8000",
            "median_iou": "0.9000",
        },
        {
            "dataset": "drawn",
            "n": 2,
            "n_fallback": 0,
            "fallback_rate": 0,
            "n_passing": 1,
            "mean_area": pytest.approx(0.5),
            "mean_predicted_iou": pytest.approx(0.75),
            "mean_stability": pytest.approx(0.7),
            "mean_agreement": "",
            "n_exact": 0,
            "mean_iou": "",
            "median_iou": "",
        },
    ]


def test_a_summary_is_the_same_of_the_table_written_and_read(masks, tmp_path):
    write_table(tmp_path / "masks.csv", masks)
    read = pd.read_csv(tmp_path / "masks.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(summarise_masks(read), summarise_masks(masks))


def test_a_summary_of_which_some_masks_have_an_exact_one_says_how_many(masks):
    masks.loc[0, "iou"] = ""
    summary = summarise_masks(masks)
    assert list(summary.n_exact) == [2, 0]
    assert list(summary.mean_iou) == ["0.9500", ""]
    assert list(summary.median_iou) == ["0.9500", ""]


def test_a_summary_to_read_has_labels_and_says_where_there_is_no_exact_mask(masks):
    text = summary_text(summarise_masks(masks), LABELS)
    assert text.to_dict("records") == [
        {
            "Data set": "Photographs",
            "Masks": "3",
            "Fallbacks": "1 (33.3%)",
            "Passing": "1",
            "Mean area": "0.300",
            "Mean predicted IoU": "0.500",
            "Mean stability": "0.500",
            "Mean agreement": "0.7000",
            "Exact masks": "3",
            "Mean IoU": "0.8000",
            "Median IoU": "0.9000",
        },
        {
            "Data set": "Drawn objects",
            "Masks": "2",
            "Fallbacks": "0 (0.0%)",
            "Passing": "1",
            "Mean area": "0.500",
            "Mean predicted IoU": "0.750",
            "Mean stability": "0.700",
            "Mean agreement": "one prompt",
            "Exact masks": "0",
            "Mean IoU": "none",
            "Median IoU": "none",
        },
    ]


def test_what_a_mask_means_is_told_of_every_data_set():
    told = meaning_text({"photos": "the pet", "drawn": "no object"}, LABELS)
    assert told == "What a mask means: in Photographs, the pet; in Drawn objects, no object."


# Those that pass


@pytest.mark.parametrize(
    ("kind", "fallback", "predicted_iou", "stability", "passes"),
    [
        ("box", "", 0.8, 0.9, True),
        ("box", "", 0.79, 0.9, False),
        ("box", "", 0.8, 0.89, False),
        ("grid", "grid for text: the detector found no 'okapi'", 1.0, 1.0, False),
        ("filled_box", "filled_box for box: ...", 0, 0, False),
        ("given", "", 0, 0, True),
    ],
)
def test_a_mask_passes_that_the_prompt_gave_and_sam_is_sure_of(
    kind, fallback, predicted_iou, stability, passes
):
    row = {"prompt": f'{{"kind": "{kind}"}}', "fallback": fallback}
    table = pd.DataFrame([row | {"predicted_iou": predicted_iou, "stability": stability}])
    assert passing(table, min_predicted_iou=0.8, min_stability=0.9).tolist() == [passes]


def test_fallbacks_are_counted_by_class_and_data_set(masks):
    counts = fallbacks_by_class(masks)
    columns = ["dataset", "label_name", "n", "n_fallback", "fallback_rate", "n_passing"]
    assert list(counts) == columns
    assert counts.values.tolist() == [
        ["photos", "big_cat", 1, 0, 0.0, 1],
        ["photos", "dog", 2, 1, 0.5, 0],
        ["drawn", "cat", 1, 0, 0.0, 1],
        ["drawn", "dog", 1, 0, 0.0, 0],
    ]
    assert counts.n.sum() == len(masks)


def test_the_page_names_the_classes_with_fallbacks_worst_first_and_counts_the_others(masks):
    worse = masks.iloc[[0]].assign(fallback="disc for grid: nothing", label_name="worst")
    counts = fallbacks_by_class(pd.concat([masks, worse]))
    shown = fallbacks_text(counts, LABELS)
    assert shown.values.tolist() == [
        ["Photographs", "worst", "1", "1", "100%", "1"],
        ["Photographs", "dog", "2", "1", "50%", "0"],
        ["Photographs", "other classes (1)", "1", "0", "0%", "1"],
        ["Drawn objects", "all classes (2)", "2", "0", "0%", "1"],
    ]
