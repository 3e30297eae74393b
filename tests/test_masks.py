import numpy as np
import pytest
from segment_anything.utils.amg import calculate_stability_score
from skimage.measure import label

from halfseen.masks import (
    bounding_box,
    choose_mask,
    disc,
    intersection_over_union,
    mask_shape,
    stability_score,
)

FALLBACK = ("disc", disc(10, 10, 0.25))


@pytest.fixture
def rng():
    return np.random.default_rng(6)


def drawn(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


def covering(*shares):
    """Masks (m, 10, 10) that cover these shares of the image, in whole percents."""
    return np.array([np.arange(100).reshape(10, 10) < round(100 * share) for share in shares])


# Bounding box


def test_the_bounding_box_ends_after_the_last_pixel():
    assert bounding_box(drawn(".....", "..#..", "...#.", ".....")) == (2, 1, 4, 3)


def test_the_bounding_box_of_one_corner_pixel_and_of_everything():
    assert bounding_box(drawn("...", "..#")) == (2, 1, 3, 2)
    assert bounding_box(np.ones((3, 5), dtype=bool)) == (0, 0, 5, 3)


def test_an_empty_mask_has_no_bounding_box():
    with pytest.raises(ValueError, match="an empty mask has no bounding box"):
        bounding_box(np.zeros((4, 4), dtype=bool))


# Disc


def test_a_disc_of_four_pixels_across_lacks_the_corners_alone():
    assert (disc(4, 4, 0.5) == drawn(".##.", "####", "####", ".##.")).all()


def test_a_disc_of_an_odd_side_holds_the_pixels_on_its_rim():
    assert (disc(5, 5, 0.4) == drawn("..#..", ".###.", "#####", ".###.", "..#..")).all()


@pytest.mark.parametrize("side", [223, 224])
@pytest.mark.parametrize("radius", [0.1, 0.25, 0.3989, 0.5])
def test_a_disc_covers_pi_times_the_squared_radius(radius, side):
    assert disc(side, side, radius).mean() == pytest.approx(np.pi * radius**2, rel=0.01)


@pytest.mark.parametrize("side", [31, 32])
def test_a_disc_is_symmetric(side):
    found = disc(side, side, 0.37)
    for mirrored in (found[::-1], found[:, ::-1], found.T):
        assert (found == mirrored).all()


def test_a_disc_goes_by_the_shorter_side_and_stays_in_the_middle():
    wide = disc(32, 50, 0.37)
    assert (wide[:, 9:41] == disc(32, 32, 0.37)).all()
    assert wide.sum() == disc(32, 32, 0.37).sum()
    assert (disc(50, 32, 0.37) == wide.T).all()


# Intersection over union


def test_the_iou_by_hand():
    assert intersection_over_union(drawn("##.", ".#."), drawn("##.", "..#")) == 2 / 4


def test_the_iou_is_one_for_equal_and_zero_for_disjoint_masks(rng):
    mask = rng.random((6, 6)) < 0.5
    empty = np.zeros((6, 6), dtype=bool)
    assert intersection_over_union(mask, mask) == 1
    assert intersection_over_union(mask, ~mask) == 0
    assert intersection_over_union(mask, empty) == 0
    assert intersection_over_union(empty, empty) == 1


# Shape


def test_the_shape_of_a_mask_by_hand():
    mask = drawn("#...", "....", "..#.", ".#.#")  # touching corners are one part
    assert mask_shape(mask) == {"area": 4 / 16, "components": 2, "border_contact": 3 / 12}


@pytest.mark.parametrize(("value", "share", "components"), [(True, 1, 1), (False, 0, 0)])
def test_the_shape_of_a_full_and_of_an_empty_mask(value, share, components):
    shape = mask_shape(np.full((5, 7), value))
    assert shape == {"area": share, "components": components, "border_contact": share}


def test_the_shape_of_the_inside_and_of_its_frame():
    inside = np.zeros((5, 7), dtype=bool)
    inside[1:-1, 1:-1] = True
    assert mask_shape(inside)["border_contact"] == 0
    assert mask_shape(~inside) == {"area": 20 / 35, "components": 1, "border_contact": 1}


def test_the_number_of_components_agrees_with_scikit_image(rng):
    for share in (0.05, 0.1, 0.2, 0.3):
        mask = rng.random((40, 40)) < share
        assert mask_shape(mask)["components"] == label(mask, connectivity=2).max()


# Stability


def test_the_stability_by_hand():
    logits = np.array([[3.0, 1.5, 0.5, -0.5, -1.5]])
    assert stability_score(logits) == 2 / 4
    assert stability_score(logits, offset=2.0) == 1 / 5


def test_the_stability_agrees_with_segment_anything(rng):
    import torch

    logits = rng.normal(size=(5, 20, 20)) * 3
    expected = calculate_stability_score(torch.from_numpy(logits), 0.0, 1.0)
    assert [stability_score(each) for each in logits] == pytest.approx(expected.tolist())


def test_a_sharp_border_is_perfectly_stable_and_an_empty_mask_not_at_all():
    assert stability_score(np.where(FALLBACK[1], 20.0, -20.0)) == 1
    assert stability_score(np.full((4, 4), -20.0)) == 0


# Choice


def test_the_mask_of_the_highest_predicted_iou_is_chosen():
    masks = covering(0.2, 0.4, 0.6)
    mask, index, reason = choose_mask(masks, np.array([0.7, 0.9, 0.8]), FALLBACK)
    assert (mask == masks[1]).all()
    assert (index, reason) == (1, "")


def test_a_mask_of_nearly_the_whole_image_or_of_nothing_is_passed_over():
    masks = covering(0.96, 0.4, 0.0)
    mask, index, reason = choose_mask(masks, np.array([1.02, 0.3, 0.99]), FALLBACK)
    assert (mask == masks[1]).all()
    assert (index, reason) == (1, "")


@pytest.mark.parametrize("share", [0.01, 0.95])
def test_masks_at_the_limits_are_allowed(share):
    _, index, reason = choose_mask(covering(0.0, share, 1.0), np.array([0.9, 0.1, 0.9]), FALLBACK)
    assert (index, reason) == (1, "")


def test_a_negative_predicted_iou_still_beats_a_refused_mask():
    assert choose_mask(covering(1.0, 0.5, 0.5), np.array([0.9, -0.2, -0.1]), FALLBACK)[1] == 2


def test_where_no_mask_is_allowed_the_fallback_stands_in_and_the_reason_says_so():
    mask, index, reason = choose_mask(covering(0.0, 1.0, 0.97), np.array([0.9] * 3), FALLBACK)
    assert (mask == FALLBACK[1]).all()
    assert index == -1
    assert reason == "disc: areas 0.000, 1.000, 0.970 outside 0.01 to 0.95"
