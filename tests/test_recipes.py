import numpy as np
import pytest
import torch
from PIL import Image

from halfseen.recipes import own_view

# What the paper's models and their relatives were evaluated with.
RECIPES = [(232, 224, "bilinear"), (256, 224, "bicubic"), (256, 256, "bicubic")]


def recipe(resize_px, crop_px, interpolation):
    return {"resize_px": resize_px, "crop_px": crop_px, "interpolation": interpolation}


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def images(rng):
    """Two smooth images, as photographs are."""
    coarse = rng.integers(0, 256, (2, 14, 14, 3), dtype=np.uint8)
    smooth = [np.asarray(Image.fromarray(image).resize((224, 224))) for image in coarse]
    return torch.from_numpy(np.stack(smooth))


@pytest.fixture
def masks(rng):
    return rng.random((2, 224, 224)) < 0.4


def test_no_recipe_changes_nothing(images, masks):
    assert own_view(images, masks, None)[0] is images
    assert own_view(images, masks, None)[1] is masks


def test_the_study_s_own_size_changes_nothing(images, masks):
    same, same_masks = own_view(images, masks, recipe(224, 224, "bilinear"))
    assert torch.equal(same, images)
    assert np.array_equal(same_masks, masks)


@pytest.mark.parametrize("numbers", RECIPES)
def test_images_are_those_of_pillow_s_resize_and_centre_crop(images, masks, numbers):
    resize_px, crop_px, interpolation = numbers
    kind = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    start = (resize_px - crop_px) // 2
    box = (start, start, start + crop_px, start + crop_px)
    views, _ = own_view(images, masks, recipe(*numbers))
    assert views.dtype == torch.uint8
    for view, image in zip(views.numpy(), images.numpy(), strict=True):
        for channel in range(3):
            # in floating point: with whole numbers Pillow rounds after either direction
            plane = Image.fromarray(image[..., channel].astype(np.float32))
            resized = plane.resize((resize_px, resize_px), kind[interpolation]).crop(box)
            exact = np.asarray(resized).clip(0, 255)
            assert abs(view[..., channel] - exact).max() <= 0.501


@pytest.mark.parametrize("numbers", RECIPES)
def test_masks_are_those_of_pillow_s_nearest_pixels(images, masks, numbers):
    resize_px, crop_px, _ = numbers
    start = (resize_px - crop_px) // 2
    box = (start, start, start + crop_px, start + crop_px)
    nearest = Image.Resampling.NEAREST
    expected = [
        np.asarray(Image.fromarray(mask).resize((resize_px, resize_px), nearest).crop(box))
        for mask in masks
    ]
    _, views = own_view(images, masks, recipe(*numbers))
    assert views.dtype == bool
    # a centre that falls between two pixels may go to either
    place = (2 * (np.arange(crop_px) + start) + 1) * 224
    clear = place % (2 * resize_px) != 0
    assert clear.mean() > 0.95
    assert np.array_equal(views[:, clear][:, :, clear], np.stack(expected)[:, clear][:, :, clear])
    _, of_tensor = own_view(images, torch.from_numpy(masks), recipe(*numbers))
    assert np.array_equal(of_tensor.numpy(), views)


@pytest.mark.parametrize("numbers", RECIPES)
def test_a_mask_stays_on_its_object(masks, numbers):
    """An image that is its own mask: the two views agree but for the blur of the edge."""
    square = np.zeros((1, 224, 224), bool)
    square[:, 60:130, 90:180] = True
    shown = torch.from_numpy(square[..., None].repeat(3, -1).astype(np.uint8) * 255)
    views, cut = own_view(shown, square, recipe(*numbers))
    bright = views.numpy()[..., 0] > 127
    assert (bright != cut).sum() <= 2 * (70 + 90) * 256 / 224
    rows, columns = (np.argwhere(cut[0]).mean(axis=0)).tolist()
    assert [rows, columns] == pytest.approx(np.argwhere(bright[0]).mean(axis=0).tolist(), abs=0.51)


def test_the_view_is_the_middle_of_the_crop(images):
    """Only the pixels within the central 224 / 256 matter."""
    masks = np.zeros((2, 224, 224), bool)
    masks[:, 14:-14, 14:-14] = True
    _, cut = own_view(images, masks, recipe(256, 224, "bicubic"))
    assert cut.all()


def test_a_crop_larger_than_the_image_and_an_oblong_are_refused(images, masks):
    with pytest.raises(ValueError, match="crop_px 256 is larger than resize_px 224"):
        own_view(images, masks, recipe(224, 256, "bilinear"))
    with pytest.raises(ValueError, match="not for 224 x 200"):
        own_view(images[:, :, :200], masks[:, :, :200], recipe(256, 224, "bilinear"))
