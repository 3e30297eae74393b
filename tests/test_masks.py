import numpy as np
import pytest
from segment_anything.utils.amg import calculate_stability_score
from skimage.measure import label

from halfseen.masks import (
    RefusedError,
    bounding_box,
    choice_scores,
    choose_mask,
    clean_mask,
    clip_box,
    disc,
    grow_box,
    intersection_over_union,
    mask_shape,
    pixels_of_box,
    stability_score,
)


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
    assert stability_score(np.where(disc(10, 10, 0.25), 20.0, -20.0)) == 1
    assert stability_score(np.full((4, 4), -20.0)) == 0


# Boxes


def test_a_box_is_clipped_to_the_image():
    assert clip_box((-5, 3, 50, 9.5), 20, 30) == (0, 3, 30, 9.5)
    assert clip_box((2, 3, 4, 5), 20, 30) == (2, 3, 4, 5)


@pytest.mark.parametrize("box", [(-9, 2, -1, 8), (30, 2, 40, 8), (2, 20, 8, 30), (2, -9, 8, 0)])
def test_a_box_outside_the_image_is_refused_with_both_sizes(box):
    with pytest.raises(RefusedError, match=r"the box \(.*\) lies outside the 30 x 20 px") as told:
        clip_box(box, 20, 30)
    assert f"({', '.join(map(str, box))})" in str(told.value)


@pytest.mark.parametrize("box", [(2, 2, 2.9, 8), (2, 2, 8, 2.9), (-3, 2, 0.9, 8), (8, 2, 2, 8)])
def test_a_box_under_a_pixel_is_refused(box):
    with pytest.raises(RefusedError, match="or is less than a pixel wide or high in them"):
        clip_box(box, 20, 30)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", range(4))
def test_a_box_that_is_not_finite_is_refused(side, bad):
    box = [2.0, 3.0, 8.0, 9.0]
    box[side] = bad
    with pytest.raises(RefusedError, match="is not finite"):
        clip_box(box, 20, 30)


def test_a_box_fills_the_pixels_whose_middle_it_holds_and_at_least_one():
    assert pixels_of_box((2.4, 2.6, 7.7, 7.3), 16, 16) == (2, 3, 8, 7)
    assert pixels_of_box((10.5, 3, 11.5, 4), 16, 16) == (11, 3, 12, 4)
    assert pixels_of_box((3.2, 3.2, 3.4, 3.4), 16, 16) == (3, 3, 4, 4)
    assert pixels_of_box((-9, -9, 99, 99), 16, 20) == (0, 0, 20, 16)


def test_a_box_grows_by_shares_of_its_own_sides():
    assert grow_box((10, 20, 30, 60), 0.1) == (8, 16, 32, 64)
    assert grow_box(grow_box((10, 20, 30, 60), 0.25), -1 / 6) == pytest.approx((10, 20, 30, 60))


# Choice


def one(mask, predicted_iou=1.0, stability=1.0, box=None):
    """The score of a single mask."""
    return choice_scores(mask[None], np.array([predicted_iou]), np.array([stability]), box)[0]


def rectangle(left, top, right, bottom, side=40):
    mask = np.zeros((side, side), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


BOX = (10, 10, 30, 30)


def test_a_mask_that_fills_its_box_scores_what_sam_thinks_of_it_and_the_middle_it_covers():
    # Of a Gaussian of sigma 0.25 of the box's side, the box holds erf(sqrt(2)) each way.
    from math import erf, sqrt

    image = 4001  # so large that none of the Gaussian is outside and the pixels are fine
    box = (1000, 1000, 3000, 3000)
    score = one(rectangle(*box, side=image), 0.8, 0.9, box)
    assert score == pytest.approx(0.8 * 0.9 * erf(sqrt(2)), rel=1e-3)


def test_the_score_by_hand_of_a_mask_that_fills_half_its_box():
    half = rectangle(10, 10, 20, 30)
    # Half of the middle, an IoU of 1 / 2 with the box, nothing of the rim.
    expected = np.sqrt(0.5) * 0.5**2 * one(rectangle(*BOX), box=BOX)
    assert one(half, box=BOX) == pytest.approx(expected)


def test_the_rim_is_a_tenth_of_the_sides_away_and_counts_squared():
    image = np.zeros((40, 40), dtype=bool)
    # 24 x 24 pixels around the box of 20 x 20: a rim of 4 * 23; the mask's bounding box is it.
    whole, bare = image.copy(), image.copy()
    whole[8:32, 8:32] = bare[8:32, 8:32] = True
    bare[8, 9:31] = bare[31, 9:31] = bare[9:31, 8] = bare[9:31, 31] = False
    assert one(whole, box=BOX) == 0
    touched = bare.copy()
    touched[8, 9:31] = True  # 26 instead of 4 of 92
    inside = [np.sqrt((w := weights())[mask].sum() / w.sum()) for mask in (touched, bare)]
    ratio = ((1 - 26 / 92) / (1 - 4 / 92)) ** 2 * inside[0] / inside[1]
    assert one(touched, box=BOX) / one(bare, box=BOX) == pytest.approx(ratio)


def weights():
    y, x = (np.mgrid[:40, :40] + 0.5 - 20) / 20
    return np.exp(-(x**2 + y**2) / (2 * 0.25**2))


def test_without_a_box_the_frame_stands_for_it_and_the_mask_need_not_fill_it():
    small = disc(40, 40, 0.2)
    y, x = (np.mgrid[:40, :40] + 0.5 - 20) / 40
    middle = np.exp(-(x**2 + y**2) / (2 * 0.25**2))
    assert one(small, 0.7, 0.6) == pytest.approx(0.42 * np.sqrt(middle[small].sum() / middle.sum()))
    assert one(small, box=(0, 0, 40, 40)) < one(small) / 5  # as a box it would have to fit


def test_the_background_scores_nothing_and_an_object_at_the_border_something():
    assert one(~disc(40, 40, 0.4)) == 0
    assert 0 < one(rectangle(10, 20, 30, 40)) < one(rectangle(10, 10, 30, 30))


def test_a_rectangle_that_fills_its_box_is_no_background():
    assert one(rectangle(*BOX), box=BOX) > 0.9


def test_scores_do_not_depend_on_the_other_masks_and_follow_a_mirror(rng):
    masks = rng.random((5, 40, 40)) < 0.3
    opinions = rng.random((2, 5))
    box = (5, 10, 25, 30)
    together = choice_scores(masks, *opinions, box)
    alone = [one(*each, box) for each in zip(masks, *opinions, strict=True)]
    assert together == pytest.approx(alone)
    mirrored = choice_scores(masks[:, :, ::-1], *opinions, (15, 10, 35, 30))
    assert mirrored == pytest.approx(together)


def test_the_object_in_the_box_is_chosen_and_not_the_mask_that_sam_likes_best():
    masks = np.stack(
        [rectangle(12, 12, 18, 18), rectangle(11, 10, 30, 29), rectangle(0, 0, 38, 38)]
    )
    index, score = choose_mask(masks, np.array([0.99, 0.7, 0.98]), np.ones(3), BOX)
    assert index == 1
    assert score == pytest.approx(one(masks[1], 0.7, box=BOX))


def test_a_mask_of_nearly_the_whole_image_or_of_nothing_is_passed_over():
    masks = np.stack([covering(0.96)[0], disc(10, 10, 0.3), covering(0.0)[0]])
    assert choose_mask(masks, np.array([1.02, 0.3, 0.99]), np.ones(3))[0] == 1


@pytest.mark.parametrize(("share", "allowed"), [(0.01, 1), (0.0099, 0), (0.95, 1), (0.951, 0)])
def test_masks_of_one_to_95_percent_are_allowed(share, allowed):
    mask = np.zeros((100, 100), dtype=bool)
    order = np.argsort(((np.mgrid[:100, :100] - 49.5) ** 2).sum(axis=0).ravel())  # from the middle
    mask.flat[order[: round(share * 10_000)]] = True
    if allowed:
        assert choose_mask(mask[None], np.array([0.9]), np.ones(1))[0] == 0
    else:
        with pytest.raises(RefusedError, match="none of 1 masks is an object of 0.01 to 0.95"):
            choose_mask(mask[None], np.array([0.9]), np.ones(1))


def test_a_negative_predicted_iou_still_beats_a_refused_mask():
    masks = np.stack([covering(1.0)[0], disc(10, 10, 0.2), disc(10, 10, 0.3)])
    assert choose_mask(masks, np.array([0.9, -0.2, -0.1]), np.ones(3))[0] == 2


def test_where_no_mask_is_allowed_the_refusal_says_what_there_was():
    with pytest.raises(RefusedError, match="none of 3 masks .* they cover 0.000 to 1.000 of it"):
        choose_mask(covering(0.0, 1.0, 0.97), np.array([0.9] * 3), np.ones(3))


def test_in_a_frame_only_what_lies_in_it_counts_for_the_area_and_the_rim():
    masks = np.stack([rectangle(0, 0, 12, 40), rectangle(15, 15, 18, 18), rectangle(1, 1, 39, 39)])
    opinions = np.ones((2, 3))
    assert choose_mask(masks, *opinions, frame=(10, 10, 30, 30))[0] == 1
    shown = masks[:, 10:30, 10:30]
    for mask, inside in zip(masks, shown, strict=True):
        if inside.any():
            assert choice_scores(mask[None], *opinions[:, :1], frame=(10, 10, 30, 30)) >= 0
    # 9 of 400 pixels of the frame are allowed, though 0.6 % of the image.
    with pytest.raises(RefusedError):
        choose_mask(masks[1:2], *opinions[:, :1])


# Cleaning


def test_small_islands_and_holes_go_and_large_ones_stay():
    mask = rectangle(5, 5, 35, 35, side=100)
    mask[10:13, 10:13] = False  # a hole of 9 pixels
    mask[20:25, 20:25] = False  # one of 25
    mask[60, 60:64] = True  # an island of 4
    mask[70:74, 70:74] = True  # one of 16
    expected = rectangle(5, 5, 35, 35, side=100)
    expected[20:25, 20:25] = False
    expected[70:74, 70:74] = True
    # The largest part has 900 - 9 - 25 pixels: 1.15 % are between 9 and 16, 2 % between 16 and 25.
    cleaned = clean_mask(mask, 0.0115)
    assert (cleaned == expected).all()
    expected[70:74, 70:74] = False
    assert (clean_mask(mask, 0.02) == expected).all()


@pytest.mark.parametrize(("size", "stays"), [(9, True), (8, False)])
def test_a_part_of_just_the_least_size_stays_and_a_hole_of_it_too(size, stays):
    island = rectangle(0, 0, 30, 30)
    island.flat[35 * 40 : 35 * 40 + size] = True
    assert clean_mask(island, 0.01)[35, 0] == stays
    hole = rectangle(0, 0, 30, 31)
    hole[10, 10 : 10 + size] = False  # at least 9 pixels stay open
    assert clean_mask(hole, 9 / (930 - size))[10, 10] == (size < 9)


def test_parts_of_one_size_stay_and_so_does_a_thin_one():
    wheels = rectangle(5, 5, 15, 15) | rectangle(25, 5, 35, 15) | rectangle(5, 30, 35, 31)
    assert (clean_mask(wheels, 0.2) == wheels).all()


def test_a_bay_at_the_border_is_no_hole():
    mask = np.ones((40, 40), dtype=bool)
    mask[0, 5] = mask[20, 39] = False
    assert (clean_mask(mask) == mask).all()
    mask[20, 20] = False
    cleaned = clean_mask(mask)
    assert cleaned[20, 20]
    assert not cleaned[0, 5]
    assert not cleaned[20, 39]


def test_the_mask_itself_is_left_alone(rng):
    mask = rng.random((60, 60)) < 0.6
    before = mask.copy()
    assert (clean_mask(mask) != mask).any()
    assert (mask == before).all()


def test_cleaning_agrees_with_scikit_image(rng):
    from skimage.morphology import remove_small_holes, remove_small_objects

    mask = rng.random((80, 80)) < 0.55
    mask[20:60, 20:60] = rng.random((40, 40)) < 0.9
    parts = label(mask, connectivity=2)
    largest = np.bincount(parts.ravel())[1:].max()
    limit = int(np.ceil(0.01 * largest))
    expected = remove_small_objects(mask, max_size=limit - 1, connectivity=2)
    # Padding opens the holes at the border, which scikit-image would fill.
    padded = np.pad(expected, 1)
    expected = remove_small_holes(padded, max_size=limit - 1, connectivity=1)[1:-1, 1:-1]
    assert (clean_mask(mask, 0.01) == expected).all()


@pytest.mark.parametrize("value", [False, True])
def test_an_empty_and_a_full_mask_stay_what_they_are(value):
    mask = np.full((10, 10), value)
    assert (clean_mask(mask) == mask).all()
