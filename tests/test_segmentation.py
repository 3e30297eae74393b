import json
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from halfseen.datasets.dataset import Sample
from halfseen.geometry import resize_and_crop_mask
from halfseen.manifest import build_manifest
from halfseen.masks import bounding_box, disc, intersection_over_union
from halfseen.prompts import PROMPTS, Prompt
from halfseen.segmentation import GivenMasks, SamMasks, check_boxes, picture_of, segment_images
from halfseen.segmenters import Candidates
from halfseen.shards import PROVENANCE

SQUARE = (200, 90, 230, 120)
BOX_ROW = {"kind": "box", "jitter": [], "fallback": ["filled_box", "empty"]}
POINT_ROW = {"kind": "center_point", "fallback": ["disc"]}


class Squares:
    """Twelve grey 224 x 448 images with a white square in their middle, wider than the crop."""

    def __init__(self, exact=lambda image_id: True, box=SQUARE, square=SQUARE, image=None):
        self.exact, self.box, self.square, self.given = exact, box, square, image

    def samples(self):
        return [Sample(f"s{i:02d}", "-", "ab"[i % 2], f"g{i}", self.box) for i in range(12)]

    def image(self, image_id):
        if self.given is not None:
            return self.given
        image = np.full((224, 448, 3), int(image_id[1:]), np.uint8)
        left, top, right, bottom = self.square
        image[top:bottom, left:right] = 255
        return image

    def mask(self, image_id):
        return self.image(image_id)[..., 0] == 255 if self.exact(image_id) else None


@dataclass(frozen=True)
class Size:
    """An embedding that knows the image alone."""

    image: np.ndarray

    @property
    def original_size(self):
        return self.image.shape[:2]


class Drawer:
    """A segmenter whose candidates are the bright part of a box, everything, and nothing.

    Like SAM it likes everything best. A point stands for the whole image. Its masks are at half
    the image's resolution, as SAM's are at another than the image's.
    """

    opinions = (0.8, 0.99, 0.9)

    def __init__(self):
        self.batches = []

    def embed(self, images):
        self.batches.append(len(images))
        return [Size(image) for image in images]

    def candidates(self, embedding, queries):
        height, width = embedding.original_size
        masks = []
        for query in queries:
            left, top, right, bottom = map(int, query.get("box", (0, 0, width, height)))
            bright = np.zeros((height, width), dtype=bool)
            bright[top:bottom, left:right] = embedding.image[top:bottom, left:right, 0] == 255
            masks += [bright, np.ones_like(bright), np.zeros_like(bright)]
        masks = np.stack(masks)[:, ::2, ::2]
        return Candidates(
            masks=masks,
            queries=[query for query in queries for _ in range(3)],
            mask_indices=np.tile([0, 1, 2], len(queries)),
            predicted_iou=np.tile(self.opinions, len(queries)),
            stability=np.ones(len(masks)),
            logits=masks,
        )

    def enlarge(self, embedding, logits):
        return np.where(logits.repeat(2, axis=0).repeat(2, axis=1), 5.0, -5.0)


def segmented(dataset, prompt, second=None, on="crop", batch_size=5, segmenter=None):
    """The columns that `segment_images` gives, and the manifest's rows."""
    rows = manifest_of(dataset)
    masks_of = SamMasks(segmenter or Drawer(), prompt, second, on)
    return segment_images(dataset, rows, masks_of, batch_size, "squares")


def manifest_of(dataset):
    return build_manifest(dataset.samples(), 2, np.random.default_rng(0))


def test_the_object_is_found_and_moves_with_the_crop():
    found = segmented(Squares(), BOX_ROW)
    assert found["image_ids"] == [f"s{i:02d}" for i in range(12)]
    for image, mask, exact in zip(
        found["images"], found["masks"], found["exact_masks"], strict=True
    ):
        assert image.shape == (224, 224, 3)
        assert np.array_equal(mask, image[..., 0] == 255)
        assert np.array_equal(mask, exact)
    assert bounding_box(found["masks"][0]) == (88, 90, 118, 120)


def test_every_column_of_the_provenance_is_there_and_describes_the_mask():
    found = segmented(Squares(), BOX_ROW)
    assert set(found) == {*PROVENANCE, "images", "masks", "exact_masks", "image_ids"}
    first = {name: found[name][0] for name in PROVENANCE}
    assert json.loads(first.pop("prompt")) == {"kind": "box", "boxes": [[88, 90, 118, 120]]}
    assert json.loads(first.pop("query")) == [{"box": [88, 90, 118, 120]}]
    assert np.isnan(first.pop("agreement"))
    assert 0.7 < first.pop("score") < 0.8
    assert first == {
        "mask_index": 0, "predicted_iou": 0.8, "stability": 1, "area": 900 / 224**2,
        "components": 1, "border_contact": 0, "cleaned": 0, "fallback": "",
    }  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_images_are_embedded_in_batches_and_the_masks_do_not_depend_on_them(batch_size):
    segmenter = Drawer()
    found = segmented(Squares(), BOX_ROW, batch_size=batch_size, segmenter=segmenter)
    assert sum(segmenter.batches) == 12
    assert max(segmenter.batches) == batch_size
    assert np.array_equal(found["masks"], segmented(Squares(), BOX_ROW)["masks"])


def test_each_image_is_embedded_once_although_two_questions_are_asked():
    segmenter = Drawer()
    segmented(Squares(), BOX_ROW, POINT_ROW, segmenter=segmenter)
    assert sum(segmenter.batches) == 12


def test_the_agreement_is_the_iou_of_both_masks_and_the_first_one_is_kept():
    class Halves(Squares):
        def image(self, image_id):
            image = super().image(image_id)
            image[150:210, 200:230] = 255  # a second square, which the box leaves out
            return image

    found = segmented(Halves(), BOX_ROW, POINT_ROW)
    assert bounding_box(found["masks"][0]) == (88, 90, 118, 120)
    assert found["agreement"] == pytest.approx([30 / 90] * 12)
    again = segmented(Halves(), BOX_ROW)
    assert np.array_equal(found["masks"], again["masks"])
    assert found["prompt"] == again["prompt"]


def test_a_drawn_mask_agrees_with_nothing():
    found = segmented(Squares(square=(0, 0, 0, 0)), BOX_ROW, POINT_ROW)
    assert set(found["mask_index"]) == {-1}
    assert np.isnan(found["agreement"]).all()
    found = segmented(Squares(square=SQUARE, box=(0, 0, 9, 9)), BOX_ROW, POINT_ROW)
    assert np.isnan(found["agreement"]).all()


# On the whole image


def test_on_the_source_the_mask_takes_the_way_of_the_pixels():
    found = segmented(Squares(), BOX_ROW, on="source")
    assert json.loads(found["query"][0]) == [{"box": [200, 90, 230, 120]}]
    for mask, exact in zip(found["masks"], found["exact_masks"], strict=True):
        assert np.array_equal(mask, exact)


def test_on_the_source_images_of_different_sizes_stand_in_one_batch():
    class Sizes(Squares):
        def image(self, image_id):
            image = super().image(image_id)
            return image[:, : 300 + 2 * int(image_id[1:])]

    found = segmented(Sizes(), BOX_ROW, on="source", batch_size=12)
    for image, mask in zip(found["images"], found["masks"], strict=True):
        assert np.array_equal(mask, image[..., 0] == 255)


def test_on_the_source_an_object_beside_the_crop_is_a_flagged_empty_mask():
    # SAM finds the object, but the crop shows none of it.
    aside = (10, 90, 40, 120)
    found = segmented(Squares(box=aside, square=aside), BOX_ROW, on="source")
    assert not np.any(found["masks"])
    told = found["fallback"][0]
    assert told.startswith("empty for box: none of 3 masks is an object of 0.01 to 0.95")
    assert "; filled_box: the box (-102, 90, -72, 120) lies outside the 224 x 224 px" in told


# Fallbacks


def test_a_refused_mask_is_the_filled_box_and_says_so():
    found = segmented(Squares(square=(0, 0, 0, 0)), BOX_ROW)
    assert bounding_box(found["masks"][0]) == (88, 90, 118, 120)
    assert found["masks"][0].sum() == 900
    expected = {"prompt": '{"kind": "filled_box", "box": [88.0, 90.0, 118.0, 120.0]}'}
    expected |= {"query": "[]", "mask_index": -1, "predicted_iou": 0, "stability": 0, "score": 0}
    assert {name: found[name][0] for name in expected} == expected
    assert found["fallback"][0] == (
        "filled_box for box: none of 3 masks is an object of 0.01 to 0.95 of the image; "
        "they cover 0.000 to 1.000 of it"
    )


BAD_BOXES = [
    ((0, 90, 60, 120), "lies outside the 224 x 224 px that are segmented"),
    ((200, 90, 200.5, 120), "less than a pixel wide or high"),
    ((200, 90, np.inf, 120), "is not finite"),
    ((200, np.nan, 230, 120), "is not finite"),
    ((500, 300, 600, 400), "lies outside"),
    (None, "the data set gives no box"),
]


@pytest.mark.parametrize("on", ["crop", "source"])
@pytest.mark.parametrize(("box", "reason"), BAD_BOXES)
def test_a_bad_box_stops_nothing_and_is_flagged(box, reason, on):
    found = segmented(Squares(box=box), BOX_ROW, on=on)
    assert len(found["masks"]) == 12
    assert not np.any(found["masks"])
    for told in found["fallback"]:
        assert told.startswith("empty for box: ")
        assert reason in told
    assert set(found["mask_index"]) == {-1}


def test_only_the_image_with_the_bad_box_falls_back():
    dataset = Squares()
    rows = manifest_of(dataset)
    rows.loc[4, ["left", "right"]] = [0, 60]
    found = segment_images(dataset, rows, SamMasks(Drawer(), BOX_ROW), 5, "squares")
    assert [i for i, told in enumerate(found["fallback"]) if told] == [4]


def test_fallbacks_are_tried_in_their_order_and_another_prompt_may_be_one():
    row = BOX_ROW | {"fallback": ["filled_box", "grid", "full"]}
    found = segmented(Squares(box=(0, 90, 60, 120)), row)
    assert json.loads(found["prompt"][0]) == {"kind": "grid"}
    assert found["mask_index"][0] == 0
    assert bounding_box(found["masks"][0]) == (88, 90, 118, 120)
    assert found["fallback"][0].startswith(
        "grid for box: the box (-112, 90, -52, 120) lies outside"
    )
    blank = segmented(Squares(box=(0, 90, 60, 120), square=(0, 0, 0, 0)), row)
    assert np.all(blank["masks"])
    assert blank["fallback"][0].startswith("full for box: ")
    assert "; grid: none of 33 masks" in blank["fallback"][0]


def test_a_point_without_a_mask_is_the_disc():
    found = segmented(Squares(square=(0, 0, 0, 0)), POINT_ROW)
    assert np.array_equal(found["masks"][3], disc(224, 224, 0.25))
    assert found["fallback"][3].startswith("disc for center_point: none of 3 masks")


def test_a_chain_that_ends_with_nothing_names_the_image():
    row = BOX_ROW | {"fallback": ["filled_box"]}
    with pytest.raises(ValueError, match="image 's00' gets no mask .*; end the prompt's fallback"):
        segmented(Squares(box=(0, 90, 60, 120)), row)


# Several objects


def test_the_masks_of_several_objects_are_united_and_the_worst_is_recorded(monkeypatch):
    def two(view):
        boxes = [(88.0, 90.0, 118.0, 120.0), (88.0, 150.0, 118.0, 210.0)]
        return [
            Prompt([{"box": box}], box, detection=score)
            for box, score in zip(boxes, [0.9, 0.4], strict=True)
        ]

    class Pairs(Squares):
        def image(self, image_id):
            image = super().image(image_id)
            image[150:200, 200:230] = 255
            return image

    monkeypatch.setitem(PROMPTS, "two", two)
    found = segmented(Pairs(), {"kind": "two", "fallback": ["empty"]})
    assert found["components"][0] == 2
    assert found["masks"][0].sum() == 30 * 30 + 30 * 50
    assert json.loads(found["prompt"][0])["scores"] == [0.9, 0.4]
    assert len(json.loads(found["query"][0])) == 2
    # The second fills five sixths of its box, so its score is the lower one.
    alone = segmented(Pairs(), BOX_ROW)
    assert found["score"][0] < alone["score"][0]


def test_an_object_without_a_mask_is_left_out_of_the_union(monkeypatch):
    def two(view):
        boxes = [(88.0, 90.0, 118.0, 120.0), (10.0, 10.0, 40.0, 40.0)]
        return [Prompt([{"box": box}], box) for box in boxes]

    monkeypatch.setitem(PROMPTS, "two", two)
    found = segmented(Squares(), {"kind": "two", "fallback": ["empty"]})
    assert bounding_box(found["masks"][0]) == (88, 90, 118, 120)
    assert found["fallback"][0] == ""


def test_a_prompt_that_finds_no_object_falls_back(monkeypatch):
    monkeypatch.setitem(PROMPTS, "none", lambda view: [])
    found = segmented(Squares(), {"kind": "none", "fallback": ["grid", "disc"]})
    assert found["fallback"][0] == "grid for none: nothing was found"


# Cleaning


def test_a_mask_is_cleaned_and_the_share_that_changed_is_kept():
    class Specks(Squares):
        def image(self, image_id):
            image = super().image(image_id)
            image[100:102, 210:212] = 0  # a hole of four pixels
            return image

    found = segmented(Specks(), BOX_ROW)
    assert found["masks"][0].sum() == 900
    assert found["cleaned"][0] == pytest.approx(4 / 900)


# Bad images


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 0, 3), np.uint8),
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.uint16),
        np.zeros((5, 5, 3), np.float32),
    ],
)
def test_an_image_that_is_none_is_named_with_its_shape_and_type(image):
    with pytest.raises(ValueError, match="image 's00' is .*an image is uint8 of shape") as told:
        segmented(Squares(image=image), BOX_ROW)
    assert f"{image.dtype} of shape {image.shape}" in str(told.value)


def test_an_image_of_one_pixel_is_segmented():
    found = segmented(Squares(image=np.full((1, 1, 3), 7, np.uint8), box=None), POINT_ROW)
    assert found["images"][0].shape == (224, 224, 3)
    assert found["fallback"][0].startswith("disc for center_point")


def test_boxes_are_missed_only_where_no_image_has_one():
    manifest = manifest_of(Squares(box=None))
    check_boxes(manifest, POINT_ROW)
    with pytest.raises(ValueError, match="kind 'box' needs a data set with boxes; .* 'grid'"):
        check_boxes(manifest, BOX_ROW)
    manifest.loc[3, ["left", "top", "right", "bottom"]] = SQUARE
    check_boxes(manifest, BOX_ROW)


# Given masks


def given(dataset, folder=None):
    return segment_images(dataset, manifest_of(dataset), GivenMasks(folder), 5, "squares")


def test_the_data_set_s_own_masks_are_taken_as_they_are():
    found = given(Squares())
    assert set(found) == {*PROVENANCE, "images", "masks", "exact_masks", "image_ids"}
    for mask, exact in zip(found["masks"], found["exact_masks"], strict=True):
        assert np.array_equal(mask, exact)
    assert json.loads(found["prompt"][0]) == {"kind": "given", "folder": None}
    assert set(found["mask_index"]) == {-1}
    assert set(found["fallback"]) == {""}
    assert found["area"][0] == pytest.approx(900 / 224**2)


def test_an_image_without_a_mask_is_named():
    with pytest.raises(ValueError, match="image 's07' has no mask of its own; .* set its folder"):
        given(Squares(exact=lambda image_id: image_id != "s07"))


def test_a_mask_that_shows_nothing_is_named():
    with pytest.raises(ValueError, match="the given mask of image 's00' shows nothing"):
        given(Squares(square=(0, 90, 40, 120)))  # beside the crop


@pytest.fixture
def folder(tmp_path):
    """A folder of masks, each of a disc that grows with the number of the image."""
    for i in range(12):
        mask = disc(224, 448, (i + 5) / 40)
        Image.fromarray(mask.astype(np.uint8)).save(tmp_path / f"s{i:02d}.png")
    return tmp_path


def test_masks_of_a_folder_are_found_by_the_id_and_cropped_like_the_image(folder):
    found = given(Squares(), str(folder))
    for i, mask in enumerate(found["masks"]):
        assert np.array_equal(mask, resize_and_crop_mask(disc(224, 448, (i + 5) / 40)))
    assert bounding_box(found["exact_masks"][0]) == (88, 90, 118, 120)  # still the data set's


def test_a_folder_may_leave_the_suffix_of_the_id_out(folder):
    class Files(Squares):
        def samples(self):
            return [
                Sample(f"{each.image_id}.jpg", "-", each.label_name, each.group, each.box)
                for each in super().samples()
            ]

        def image(self, image_id):
            return super().image(image_id.removesuffix(".jpg"))

    assert len(given(Files(), str(folder))["masks"]) == 12


def test_a_missing_file_and_one_of_another_size_are_named(folder):
    Image.fromarray(np.ones((224, 449), np.uint8)).save(folder / "s05.png")
    with pytest.raises(
        ValueError, match=r"s05.png is of shape \(224, 449\) but its image of \(224"
    ):
        given(Squares(), str(folder))
    (folder / "s03.png").unlink()
    with pytest.raises(ValueError, match=r"image 's03' has no mask: .*s03.png is not there"):
        given(Squares(), str(folder))


# With MobileSAM


@pytest.fixture(scope="module")
def scenes():
    from halfseen.datasets.emoji_scenes import EmojiScenes

    return EmojiScenes(n_images=8, n_classes=8, background_correlation=0, seed=3)


@pytest.fixture(scope="module")
def segmenter(mobile_sam):
    from halfseen.segmenters import load_segmenter
    from halfseen.weights import read_record

    sha256 = read_record(mobile_sam.with_suffix(".yaml"))["sha256"]
    return load_segmenter("mobile_sam", mobile_sam, sha256, input_px=512)


def rows_of(dataset):
    ids = [(sample.image_id, sample.label_name, *sample.box) for sample in dataset.samples()]
    return pd.DataFrame(ids, columns=["image_id", "label_name", "left", "top", "right", "bottom"])


@pytest.mark.parametrize("kind", ["box", "automatic"])
def test_mobile_sam_finds_the_drawn_objects(kind, scenes, segmenter):
    row = {
        "box": BOX_ROW | {"jitter": [-0.05]},
        "automatic": {"kind": "automatic", "points_per_side": 5, "fallback": ["grid", "disc"]},
    }[kind]
    found = segment_images(scenes, rows_of(scenes)[:3], SamMasks(segmenter, row), 2, "scenes")
    iou = list(map(intersection_over_union, found["masks"], found["exact_masks"]))
    assert np.median(iou) > 0.85
    assert set(found["fallback"]) == {""}
    assert json.loads(found["prompt"][0])["kind"] == kind


def test_on_the_source_mobile_sam_finds_the_same_object_in_a_wider_image(scenes, segmenter):
    class Wide:
        """A scene with a plain margin to its right and left, three times its size."""

        def image(self, image_id):
            return np.pad(enlarged(scenes.image(image_id)), ((0, 0), (300, 300), (0, 0)))

        def mask(self, image_id):
            return np.pad(enlarged(scenes.mask(image_id)), ((0, 0), (300, 300)))

    def enlarged(image):
        return image.repeat(3, axis=0).repeat(3, axis=1)

    rows = rows_of(scenes)[:3]
    rows[["left", "top", "right", "bottom"]] *= 3
    rows[["left", "right"]] += 300
    found = segment_images(Wide(), rows, SamMasks(segmenter, BOX_ROW, None, "source"), 3, "wide")
    iou = list(map(intersection_over_union, found["masks"], found["exact_masks"]))
    assert min(iou) > 0.8


# Text, by a small random detector: its boxes mean nothing, but they are where it says


TEXT_ROW = {
    "kind": "text", "detector": "small", "template": "{}.", "overrides": {"frog": "cougar face"},
    "box_threshold": 0.3, "text_threshold": 0.25, "jitter": [-0.05],
    "fallback": ["grid", "disc"],
}  # fmt: skip


@pytest.fixture(scope="module")
def detector(small_detector):
    from small_detector import paths_and_hashes

    from halfseen.detectors import load_detector

    return load_detector(*paths_and_hashes(small_detector))


class Asked:
    """A detector that remembers what it was asked."""

    def __init__(self, detector):
        self.detector, self.calls = detector, []

    def detect(self, images, captions, threshold, text_threshold):
        self.calls.append((len(images), captions, threshold, text_threshold))
        return self.detector.detect(images, captions, threshold, text_threshold)


def test_a_class_name_becomes_boxes_and_these_one_mask(scenes, segmenter, detector):
    rows = rows_of(scenes)[:3]
    remembering = Asked(detector)
    masks_of = SamMasks(segmenter, TEXT_ROW, BOX_ROW, detectors={"small": remembering})
    found = segment_images(scenes, rows, masks_of, 2, "scenes")
    words = {"frog": "cougar face"}
    captions = [words.get(name, name.replace("_", " ")) + "." for name in rows.label_name]
    assert remembering.calls == [(2, captions[:2], 0.3, 0.25), (1, captions[2:], 0.3, 0.25)]
    for place in range(3):
        (expected,) = detector.detect([found["images"][place]], [captions[place]])
        assert len(expected.boxes) > 0
        told = json.loads(found["prompt"][place])
        if found["fallback"][place]:
            assert found["fallback"][place].startswith("grid for text: none of 6 masks")
            continue
        assert told["kind"] == "text"
        assert np.array(told["boxes"]) == pytest.approx(expected.boxes, abs=0.01)
        assert told["scores"] == pytest.approx(expected.scores.tolist(), abs=1e-5)
        assert told["phrases"] == expected.phrases
        # The mask is the union of those of all boxes, each asked by itself.
        united = np.zeros((224, 224), dtype=bool)
        for box in expected.boxes:
            alone = rows[place : place + 1].assign(
                **dict(zip(("left", "top", "right", "bottom"), box, strict=True))
            )
            one_box = BOX_ROW | {"jitter": [-0.05], "fallback": ["empty"]}
            (mask,) = segment_images(scenes, alone, SamMasks(segmenter, one_box), 1, "one")["masks"]
            united |= mask
        assert intersection_over_union(united, found["masks"][place]) > 0.97
    assert sum(not told for told in found["fallback"]) > 0


def test_where_nothing_is_detected_the_next_of_the_chain_stands_in_and_says_so(
    scenes, segmenter, detector
):
    rows = rows_of(scenes)[:2]
    row = TEXT_ROW | {"box_threshold": 1.0}
    found = segment_images(
        scenes, rows, SamMasks(segmenter, row, detectors={"small": detector}), 2, "s"
    )
    for name, told, prompt in zip(rows.label_name, found["fallback"], found["prompt"], strict=True):
        assert told == f"grid for text: the detector found no {name!r}"
        assert json.loads(prompt)["kind"] == "grid"
    blank = Squares(square=(0, 0, 0, 0))
    masks_of = SamMasks(Drawer(), row, detectors={"small": detector})
    found = segment_images(blank, manifest_of(blank)[:1], masks_of, 1, "s")
    assert np.array_equal(found["masks"][0], disc(224, 224, 0.25))
    assert found["fallback"][0].startswith("disc for text: the detector found no 'a'; grid: none")


def test_a_text_prompt_may_be_the_second_one_and_sees_the_source(detector):
    masks_of = SamMasks(Drawer(), BOX_ROW, TEXT_ROW, "source", {"small": Asked(detector)})
    dataset = Squares()
    found = segment_images(dataset, manifest_of(dataset), masks_of, 12, "s")
    assert json.loads(found["prompt"][0])["kind"] == "box"
    ((number, captions, _, _),) = masks_of.detectors["small"].calls
    assert number == 12
    assert set(captions) == {"a.", "b."}


def test_a_class_without_a_word_is_named(detector):
    class Numbers(Squares):
        def samples(self):
            return [
                replace(each, label_name="7-4"[: 1 + i % 3])
                for i, each in enumerate(super().samples())
            ]

    masks_of = SamMasks(Drawer(), TEXT_ROW, detectors={"small": detector})
    with pytest.raises(ValueError, match="class '7.*' has no word to look for"):
        segment_images(Numbers(), manifest_of(Numbers()), masks_of, 5, "s")


JOB = """
    import os, signal, sys, time
    sys.path.insert(0, {package!r})
    from pathlib import Path
    import h5py
    import numpy as np
    from halfseen import shards
    from halfseen.datasets.emoji_scenes import EmojiScenes
    from halfseen.devices import use_threads
    from halfseen.manifest import build_manifest
    from halfseen.segmentation import SamMasks, segment_images
    from halfseen.segmenters import Segmenter, load_segmenter
    from halfseen.weights import read_record

    use_threads(1)
    weights, folder = Path({weights!r}), Path({folder!r})
    sha256 = read_record(weights.with_suffix(".yaml"))["sha256"]
    scenes = EmojiScenes(n_images=4, n_classes=2, background_correlation=0, seed=3)
    manifest = build_manifest(scenes.samples(), 2, np.random.default_rng(0))
    row = {{"kind": "box", "jitter": [-0.05], "fallback": ["filled_box", "empty"]}}


    def run(path):
        masks_of = SamMasks(load_segmenter("mobile_sam", weights, sha256, 256), row)
        shard = segment_images(scenes, manifest, masks_of, 1, "scenes")
        shards.write_shard(path, shard)


    def kill_in_call(owner, name, number):
        calls, original = [], getattr(owner, name)

        def deadly(*arguments, **named):
            calls.append(name)
            if len(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **named)

        setattr(owner, name, deadly)


    def job(path, *deadly):
        process = os.fork()
        if process == 0:
            if deadly:
                kill_in_call(*deadly)
            run(path)
            os._exit(0)
        return os.waitpid(process, 0)[1]


    path = folder / "0.h5"
    for deadly in ((Segmenter, "embed", 3), (h5py.Group, "create_dataset", 2), (os, "replace", 1)):
        assert job(path, *deadly) == signal.SIGKILL, deadly
        assert not path.exists(), deadly
    assert job(path) == 0
    time.sleep(1.1)
    assert job(folder / "undisturbed.h5") == 0
    assert path.read_bytes() == (folder / "undisturbed.h5").read_bytes()
    print("equal to the byte:", path.stat().st_size)
"""


def test_a_job_that_is_killed_anywhere_and_run_again_gives_the_same_bytes(
    root, mobile_sam, tmp_path
):
    job = JOB.format(package=str(root / "workflow"), weights=str(mobile_sam), folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(job)], capture_output=True, text=True
    )
    assert "equal to the byte" in done.stdout, done.stdout + done.stderr


def test_a_picture_knows_its_box_in_the_crop():
    dataset = Squares()
    row = next(manifest_of(dataset).itertuples())
    picture = picture_of(dataset, row)
    assert picture.box_in_crop() == (88, 90, 118, 120)
    assert picture.source.shape == (224, 448, 3)
