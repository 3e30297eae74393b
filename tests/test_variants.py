import warnings

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import normalize, to_tensor

from halfseen.masks import disc
from halfseen.variants import KEEP, MASKED, compose, visible_pixels

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RADIUS = 0.3


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def images(rng):
    return torch.from_numpy(rng.integers(0, 256, (4, 20, 24, 3), dtype=np.uint8))


@pytest.fixture
def masks(rng):
    return rng.random((4, 20, 24)) < 0.3


def composed(images, masks, keep, fill=0.0):
    visible = torch.from_numpy(visible_pixels(keep, masks, RADIUS))
    return compose(images, visible, MEAN, STD, fill)


def test_the_original_shows_everything(masks):
    assert visible_pixels("everything", masks).all()


def test_the_foreground_is_the_mask_and_the_center_the_disc(masks):
    assert (visible_pixels("foreground", masks) == masks).all()
    center = visible_pixels("center", masks, RADIUS)
    assert center.shape == masks.shape
    assert (center == disc(20, 24, RADIUS)).all()


@pytest.mark.parametrize("pair", [("foreground", "background"), ("center", "border")])
def test_complementary_variants_partition_the_image(pair, masks):
    one, other = (visible_pixels(keep, masks, RADIUS) for keep in pair)
    assert (one ^ other).all()
    assert one.any()
    assert other.any()


def test_only_those_in_masked_look_at_the_mask(masks):
    depends = {
        keep
        for keep in KEEP
        if (visible_pixels(keep, masks, RADIUS) != visible_pixels(keep, ~masks, RADIUS)).any()
    }
    assert depends == MASKED


def test_the_default_radius_shows_half_of_the_image_on_either_side():
    center = visible_pixels("center", np.zeros((1, 224, 224), dtype=bool), 0.3989)
    assert center.mean() == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize("keep", KEEP)
def test_pytorch_takes_every_variant_without_a_warning(keep, masks):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.from_numpy(visible_pixels(keep, masks, RADIUS))


def test_the_original_is_what_torchvision_normalises(images, masks):
    expected = [normalize(to_tensor(image), MEAN, STD) for image in images.numpy()]
    found = composed(images, masks, "everything")
    assert found.dtype == torch.float32
    assert found.numpy() == pytest.approx(torch.stack(expected).numpy(), abs=1e-6)


@pytest.mark.parametrize("fill", [0.0, 0.5, -2.0])
@pytest.mark.parametrize("keep", ["foreground", "background", "center", "border"])
def test_hidden_pixels_are_the_fill_and_visible_ones_the_original(keep, fill, images, masks):
    original, found = composed(images, masks, "everything"), composed(images, masks, keep, fill)
    hidden = ~torch.from_numpy(visible_pixels(keep, masks, RADIUS))[:, None].expand_as(found)
    assert (found[hidden] == fill).all()
    assert (found[~hidden] == original[~hidden]).all()


@pytest.mark.parametrize("pair", [("foreground", "background"), ("center", "border")])
def test_complementary_variants_add_up_to_the_original(pair, images, masks):
    one, other = (composed(images, masks, keep) for keep in pair)
    assert (one + other == composed(images, masks, "everything")).all()


def test_a_fill_of_zero_is_the_mean_colour():
    mean_colour = torch.tensor([51, 102, 153], dtype=torch.uint8).expand(1, 8, 8, 3)
    visible = torch.zeros(1, 8, 8, dtype=torch.bool)
    visible[:, :4] = True
    found = compose(mean_colour, visible, (0.2, 0.4, 0.6), (0.5, 0.5, 0.5))
    assert found.numpy() == pytest.approx(np.zeros((1, 3, 8, 8)), abs=1e-7)


def test_means_and_deviations_may_be_whole_numbers(images, masks):
    visible = torch.from_numpy(~masks)
    found = compose(images, visible, (0, 0, 0), (1, 1, 1))
    expected = images.permute(0, 3, 1, 2) / 255 * visible[:, None]
    assert found.numpy() == pytest.approx(expected.numpy())


def test_images_and_masks_stay_as_they_were(images, masks):
    before_images, before_masks = images.clone(), masks.copy()
    for keep in KEEP:
        composed(images, masks, keep, fill=1.0)
    assert (images == before_images).all()
    assert (masks == before_masks).all()


def test_an_unknown_variant_is_an_error(masks):
    with pytest.raises(KeyError, match="sideways"):
        visible_pixels("sideways", masks)
