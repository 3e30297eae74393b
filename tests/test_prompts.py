import numpy as np
import pytest

from halfseen.masks import MAX_AREA, MIN_AREA, bounding_box
from halfseen.prompts import PROMPTS, box_prompt, center_point_prompt


def test_a_box_is_asked_as_it_is_and_filled_to_stand_in():
    box = (3.0, 5.0, 9.0, 14.0)
    prompt, (name, mask) = box_prompt(box, 16)
    assert prompt == {"box": box}
    assert name == "box"
    assert mask.shape == (16, 16)
    assert bounding_box(mask) == box
    assert mask.sum() == 6 * 9


def test_a_box_between_pixels_fills_those_whose_centre_it_holds():
    box = (2.4, 2.6, 7.7, 7.3)
    prompt, (_, mask) = box_prompt(box, 16)
    assert prompt == {"box": box}
    assert bounding_box(mask) == (2, 3, 8, 7)


@pytest.mark.parametrize("left", [10.5, 11.5])
def test_a_box_of_one_pixel_fills_one_pixel(left):
    _, (_, mask) = box_prompt((left, 3.0, left + 1, 4.0), 16)
    assert mask.sum() == 1


def test_a_box_of_the_whole_crop_fills_it():
    _, (_, mask) = box_prompt((0.0, 0.0, 16.0, 16.0), 16)
    assert mask.all()


def test_a_data_set_without_boxes_is_an_error_that_names_the_other_prompt():
    with pytest.raises(ValueError, match="'box' needs a data set with boxes; .* 'center_point'"):
        box_prompt(None, 16)


@pytest.mark.parametrize("box", [None, (3.0, 5.0, 9.0, 14.0)])
def test_the_center_point_is_one_point_of_the_object_in_the_middle(box):
    prompt, _ = center_point_prompt(box, 224)
    assert prompt == {"points": [(112, 112)], "labels": [1]}


def test_the_disc_that_stands_in_is_half_as_wide_as_the_image_and_allowed_as_a_mask():
    _, (name, mask) = center_point_prompt(None, 224)
    assert name == "disc"
    assert bounding_box(mask) == (56, 56, 168, 168)
    assert mask.mean() == pytest.approx(np.pi / 16, rel=0.005)
    assert MIN_AREA < mask.mean() < MAX_AREA


def test_the_prompts_go_by_their_names_in_the_configuration():
    assert PROMPTS["box"] is box_prompt
    assert PROMPTS["center_point"] is center_point_prompt
