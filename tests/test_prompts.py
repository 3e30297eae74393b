import json
from dataclasses import replace

import numpy as np
import pytest

from halfseen.detectors import Detections
from halfseen.masks import MAX_AREA, MIN_AREA, RefusedError, bounding_box
from halfseen.prompts import DRAWN, PROMPTS, Prompt, View

BOX = (3.0, 5.0, 9.0, 14.0)


def view(box=None, height=224, width=224, frame=None):
    image = np.zeros((height, width, 3), np.uint8)
    return View(image, box, "frog", frame or (0, 0, width, height))


def ask(kind, view, **options):
    """The one object's prompt of a kind."""
    (prompt,) = PROMPTS[kind](view, **options)
    return prompt


# What SAM is asked


def test_a_box_is_asked_as_it_is():
    assert ask("box", view(BOX)) == Prompt([{"box": BOX}], BOX)


def test_a_jittered_box_adds_candidates_and_the_choice_goes_by_the_box_itself():
    prompt = ask("box", view((10, 20, 30, 60)), jitter=[0.1, -0.25])
    assert prompt.box == (10, 20, 30, 60)
    assert prompt.queries == [
        {"box": (10, 20, 30, 60)},
        {"box": (8, 16, 32, 64)},
        {"box": (15, 30, 25, 50)},
    ]


def test_no_box_that_is_asked_reaches_beyond_the_image():
    prompt = ask("box", view((-50, 20, 30, 400)), jitter=[0.5])
    assert prompt.box == (0, 20, 30, 224)
    assert prompt.queries[1] == {"box": (0, 0, 45, 224)}


@pytest.mark.parametrize("jitter", [[], [-0.4]])
@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (None, "the data set gives no box"),
        ((300.0, 5.0, 400.0, 9.0), "lies outside the 224 x 224 px"),
        ((3.0, 5.0, 3.5, 9.0), "is less than a pixel wide"),
        ((np.nan, 5.0, 9.0, 14.0), r"the box \(nan, 5, 9, 14\) is not finite"),
    ],
)
def test_a_box_that_cannot_be_asked_is_refused_with_the_reason(box, reason, jitter):
    with pytest.raises(RefusedError, match=reason):
        ask("box", view(box), jitter=jitter)


def test_a_box_of_one_pixel_can_be_shrunk():
    queries = ask("box", view((5, 5, 6, 6)), jitter=[-0.05]).queries
    assert queries == [{"box": (5, 5, 6, 6)}, {"box": pytest.approx((5.05, 5.05, 5.95, 5.95))}]


@pytest.mark.parametrize("box", [None, BOX])
def test_the_center_point_is_one_point_of_the_object_in_the_middle(box):
    prompt = ask("center_point", view(box, 100, 300))
    assert prompt == Prompt([{"points": [(150, 50)], "labels": [1]}])


def test_a_grid_of_three_by_three_points_lies_at_the_quarters_and_asks_the_frame_too():
    prompt = ask("grid", view(BOX, 100, 200))
    points = [query["points"] for query in prompt.queries[:9]]
    assert points == [[(x, y)] for y in (25, 50, 75) for x in (50, 100, 150)]
    assert all(query["labels"] == [1] for query in prompt.queries[:9])
    assert prompt.queries[9:] == [{"box": (0, 0, 200, 100)}, {"box": (20, 10, 180, 90)}]
    assert prompt.box is None  # the grid knows of no box, even where there is one


def test_where_the_crop_shows_a_part_points_and_frames_lie_in_it():
    part = view(None, 100, 300, frame=(100, 0, 200, 100))
    assert ask("center_point", part).queries == [{"points": [(150, 50)], "labels": [1]}]
    queries = ask("grid", part).queries
    assert queries[0]["points"] == [(125, 25)]
    assert [query["box"] for query in queries[9:]] == [(100, 0, 200, 100), (110, 10, 190, 90)]


def test_a_grid_of_other_size_and_without_a_frame():
    queries = ask("grid", view(), points_per_side=1, frame=[]).queries
    assert queries == [{"points": [(112, 112)], "labels": [1]}]


def test_the_automatic_prompt_leaves_the_points_to_the_generator():
    assert ask("automatic", view(), points_per_side=5) == Prompt([{"points_per_side": 5}])


# What is drawn where SAM gives no mask


def test_the_box_is_filled():
    mask = DRAWN["filled_box"](16, BOX)
    assert bounding_box(mask) == BOX
    assert mask.sum() == 6 * 9


def test_a_box_that_reaches_beyond_the_crop_is_filled_inside():
    assert bounding_box(DRAWN["filled_box"](16, (-4, 2, 9, 99))) == (0, 2, 9, 16)


@pytest.mark.parametrize("box", [None, (20.0, 2.0, 30.0, 9.0), (0.0, np.inf, 3.0, 4.0)])
def test_there_is_no_filled_box_without_a_usable_one(box):
    with pytest.raises(RefusedError):
        DRAWN["filled_box"](16, box)


@pytest.mark.parametrize("box", [None, (20.0, 2.0, 30.0, 9.0)])
def test_the_other_drawn_masks_need_no_box(box):
    disc = DRAWN["disc"](224, box)
    assert bounding_box(disc) == (56, 56, 168, 168)
    assert disc.mean() == pytest.approx(np.pi / 16, rel=0.005)
    assert MIN_AREA < disc.mean() < MAX_AREA
    assert not DRAWN["empty"](224, box).any()
    assert DRAWN["full"](224, box).all()


def test_every_kind_and_every_drawn_mask_of_the_schema_exists(root):
    import yaml

    schema = yaml.safe_load((root / "workflow/schemas/config.schema.yaml").read_text())
    rows = schema["properties"]["prompts"]["additionalProperties"]
    assert set(rows["properties"]["kind"]["enum"]) == set(PROMPTS)
    for part in rows["allOf"]:
        fallback = part["then"]["properties"]["fallback"]
        assert set(fallback["items"]["enum"]) <= set(PROMPTS) | set(DRAWN)
        assert set(fallback["default"]) <= set(fallback["items"]["enum"])
        assert fallback["default"][-1] in fallback["contains"]["enum"]


# What a detector found


def found(*boxes):
    return Detections(
        np.float32(boxes).reshape(-1, 4),
        np.float32([0.9, 0.4, 0.35])[: len(boxes)],
        ["frog", "big frog", "frog"][: len(boxes)],
    )


def asked(detections, **options):
    seen = replace(view(BOX, 100, 200), detections=detections)
    return PROMPTS["text"](seen, **options)


def test_each_detected_box_is_an_object_of_its_own_and_the_data_set_s_box_is_not_asked():
    one, other = asked(found((10, 20, 30, 60), (100, 50, 150, 90)), jitter=[-0.25])
    assert one.queries == [{"box": (10, 20, 30, 60)}, {"box": (15, 30, 25, 50)}]
    assert (one.box, one.phrase) == ((10, 20, 30, 60), "frog")
    assert one.detection == pytest.approx(0.9)
    assert (other.box, other.phrase) == ((100, 50, 150, 90), "big frog")
    assert json.dumps([one.box, one.detection])  # no numpy numbers


def test_a_detected_box_of_less_than_a_pixel_is_left_out():
    (one,) = asked(found((10, 20, 10.5, 60), (100, 50, 150, 90)))
    assert one.box == (100, 50, 150, 90)


@pytest.mark.parametrize("boxes", [(), [(10, 20, 10.5, 60)]])
def test_nothing_detected_is_refused_and_told(boxes):
    with pytest.raises(RefusedError, match="the detector found no 'frog'"):
        asked(found(*boxes))
