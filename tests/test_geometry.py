import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from halfseen.geometry import SIZE_PX, crop_box, crop_window, resize_and_crop, resize_and_crop_mask
from halfseen.masks import bounding_box

# Landscape, portrait and square; larger and smaller than the crop; with sides that round.
SIZES = [(300, 450), (500, 250), (400, 400), (100, 160), (90, 60), (333, 517), (701, 409)]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def rectangle(height, width):
    """A mask and its box that lie well within the centre crop of a (height, width) image."""
    side = min(height, width)
    left, top = (width - side) // 2 + side // 5, (height - side) // 2 + side // 3
    right, bottom = left + side // 2, top + side // 4
    mask = np.zeros((height, width), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask, (left, top, right, bottom)


# Images


@pytest.mark.parametrize("size", [(300, 450), (500, 250), (400, 400), (112, 168), (224, 400)])
def test_an_image_agrees_with_torchvision(size, rng):
    # Sizes whose resized long side is whole and even: torchvision cuts it off, here it is rounded.
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    resized = Resize(224, InterpolationMode.BICUBIC)(Image.fromarray(image))
    assert (resize_and_crop(image) == np.asarray(CenterCrop(224)(resized))).all()


def test_an_image_of_the_right_shorter_side_is_cut_and_not_resampled(rng):
    image = rng.integers(0, 256, (SIZE_PX, 260, 3), dtype=np.uint8)
    assert (resize_and_crop(image) == image[:, 18:242]).all()
    assert (resize_and_crop(image.transpose(1, 0, 2)) == image[:, 18:242].transpose(1, 0, 2)).all()


def test_the_longer_side_is_rounded_to_whole_pixels(rng):
    # 517 * 224 / 333 = 347.8 becomes 348, of which the crop begins at 62.
    image = rng.integers(0, 256, (333, 517, 3), dtype=np.uint8)
    resized = np.asarray(Image.fromarray(image).resize((348, 224), Image.Resampling.BICUBIC))
    assert (resize_and_crop(image) == resized[:, 62:286]).all()
    left, _, right, _ = crop_box((150, 0, 300, 333), 333, 517)
    assert (left, right) == pytest.approx((150 * 348 / 517 - 62, 300 * 348 / 517 - 62))


def test_halving_averages_and_does_not_pick_pixels():
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    inside = resize_and_crop(stripes, 32)[:, 2:-2]
    assert inside.astype(float) == pytest.approx(100 * np.ones(inside.shape), abs=1)


@pytest.mark.parametrize("size", [*SIZES, (1, 1), (1000, 3)])
def test_every_image_and_mask_becomes_a_square(size, rng):
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    assert resize_and_crop(image).shape == (224, 224, 3)
    assert resize_and_crop(image, 32).shape == (32, 32, 3)
    mask = resize_and_crop_mask(image[..., 0] > 127)
    assert (mask.shape, mask.dtype) == ((224, 224), bool)


# Masks


def test_a_mask_grows_by_whole_pixels_and_shrinks_by_picking_the_middle_one(rng):
    mask = rng.random((56, 56)) < 0.5
    assert (resize_and_crop_mask(mask) == mask.repeat(4, axis=0).repeat(4, axis=1)).all()
    large = rng.random((168, 168)) < 0.5
    assert (resize_and_crop_mask(large, 56) == large[1::3, 1::3]).all()


def test_a_mask_of_the_right_shorter_side_is_cut_in_the_middle(rng):
    mask = rng.random((300, 224)) < 0.5
    assert (resize_and_crop_mask(mask) == mask[38:262]).all()


# Boxes


def test_a_box_by_hand():
    # 400 x 200 becomes 448 x 224, of which the crop begins at 112.
    assert crop_box((150, 50, 250, 150), 200, 400) == pytest.approx((56, 56, 168, 168))
    assert crop_box((50, 150, 150, 250), 400, 200) == pytest.approx((56, 56, 168, 168))


def test_a_box_may_reach_beyond_the_crop_and_lie_beside_it():
    assert crop_box((0, -20, 150, 150), 200, 400) == pytest.approx((-112, -22.4, 56, 168))
    assert crop_box((0, 0, 400, 200), 200, 400) == pytest.approx((-112, 0, 336, 224))
    assert crop_box((350, 0, 400, 200), 200, 400) == pytest.approx((280, 0, 336, 224))


def test_a_box_in_a_smaller_crop_by_hand():
    assert crop_box((150, 50, 250, 150), 200, 400, size_px=100) == pytest.approx((25, 25, 75, 75))
    assert crop_box((150, 50, 400, 200), 200, 400, size_px=100) == (25, 25, 150, 100)


@pytest.mark.parametrize("size", [(200, 400), (400, 200), (300, 300), (333, 517)])
def test_the_window_of_the_crop_is_the_crop_s_own_box(size):
    assert crop_box(crop_window(*size), *size) == pytest.approx((0, 0, 224, 224), abs=0.6)


# All three


@pytest.mark.parametrize("size", SIZES)
def test_a_white_rectangle_lands_where_the_box_says(size):
    mask, box = rectangle(*size)
    left, top, right, bottom = crop_box(box, *size)
    image = resize_and_crop(mask[..., None].repeat(3, axis=2).astype(np.uint8) * 255)[..., 0] / 255
    for axis, low, high in [(0, left, right), (1, top, bottom)]:
        profile = image.sum(axis=axis) / image.sum()
        middle = (profile * (np.arange(SIZE_PX) + 0.5)).sum()
        assert middle == pytest.approx((low + high) / 2, abs=0.1)
    assert image.sum() == pytest.approx((right - left) * (bottom - top), rel=0.02)


@pytest.mark.parametrize("size", SIZES)
def test_a_mask_lands_where_the_box_says(size):
    mask, box = rectangle(*size)
    expected = crop_box(box, *size)
    # A pixel belongs to the mask if its centre does: half a pixel to either side.
    assert bounding_box(resize_and_crop_mask(mask)) == pytest.approx(expected, abs=0.5 + 1e-9)
