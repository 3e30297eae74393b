import numpy as np
import pytest
import torch

from halfseen.image_statistics import DIM, image_statistics


@pytest.fixture
def rng():
    return np.random.default_rng(4)


@pytest.fixture
def batch(rng):
    """(pixels (3, 3, 12, 10), visible (3, 12, 10)) with some, all and one pixel visible."""
    visible = np.stack([rng.random((12, 10)) < 0.4, np.ones((12, 10)), np.zeros((12, 10))]) > 0
    visible[2, 4, 7] = True
    return rng.random((3, 3, 12, 10)).astype(np.float32), visible


def statistics(pixels, visible):
    return image_statistics(torch.from_numpy(pixels), torch.from_numpy(visible)).numpy()


def flat(*colors):
    """An image (1, 3, 1, m) of m pixels with these colours, and all of it visible."""
    pixels = np.array(colors, dtype=np.float32).T[None, :, None, :]
    return pixels, np.ones((1, 1, len(colors)), dtype=bool)


def test_of_two_pixels_by_hand():
    found = statistics(*flat((0, 0.5, 1), (1, 0.5, 0)))[0]
    histogram = np.zeros(64)
    histogram[[0 * 16 + 2 * 4 + 3, 3 * 16 + 2 * 4 + 0]] = 1 / 2
    assert found == pytest.approx(np.r_[[0.5] * 3, 0.5, 0, 0.5, histogram])


def test_agrees_with_numpy_on_the_visible_pixels(batch):
    pixels, visible = batch
    found = statistics(pixels, visible)
    assert found.shape == (3, DIM) == (3, 70)
    assert found.dtype == np.float32
    for image, mask, row in zip(pixels, visible, found, strict=True):
        shown = image[:, mask].T.astype(float)
        histogram, _ = np.histogramdd(shown, bins=[np.linspace(0, 1, 5)] * 3)
        expected = np.r_[shown.mean(axis=0), shown.std(axis=0), histogram.ravel() / len(shown)]
        assert row == pytest.approx(expected, abs=1e-6)


def test_every_8_bit_level_falls_into_its_quarter():
    for level in range(256):
        pixels, visible = flat((level / 255, 0, 0))
        histogram = statistics(pixels, visible)[0, 6:]
        assert histogram.reshape(4, 4, 4)[min(int(level / 255 * 4), 3), 0, 0] == 1


def test_ignores_hidden_pixels(batch):
    pixels, visible = batch
    repainted = np.where(visible[:, None], pixels, np.float32(0.77))
    assert (repainted != pixels).any()
    assert statistics(repainted, visible) == pytest.approx(statistics(pixels, visible), abs=1e-6)


def test_ignores_the_place_of_the_visible_pixels(batch, rng):
    pixels, visible = batch
    order = rng.permutation(120)
    moved = pixels.reshape(3, 3, 120)[..., order].reshape(pixels.shape)
    hidden = visible.reshape(3, 120)[:, order].reshape(visible.shape)
    assert statistics(moved, hidden) == pytest.approx(statistics(pixels, visible), abs=1e-6)


def test_ignores_how_many_pixels_show_the_same_colours(batch):
    pixels, visible = batch
    doubled = np.concatenate([pixels, pixels[..., ::-1]], axis=3).copy()
    twice = np.concatenate([visible, visible[..., ::-1]], axis=2).copy()
    assert statistics(doubled, twice) == pytest.approx(statistics(pixels, visible), abs=1e-6)


def test_does_not_ignore_which_channel_has_a_colour(batch):
    pixels, visible = batch
    found, swapped = statistics(pixels, visible), statistics(pixels[:, [1, 0, 2]], visible)
    assert swapped[:, [1, 0, 2, 4, 3, 5]] == pytest.approx(found[:, :6], abs=1e-6)
    as_bins = swapped[:, 6:].reshape(3, 4, 4, 4).transpose(0, 2, 1, 3).reshape(3, 64)
    assert as_bins == pytest.approx(found[:, 6:])
    assert np.abs(swapped - found).max() > 0.05


def test_an_image_without_a_visible_pixel_gives_zeros(batch):
    pixels, visible = batch
    visible[0] = False
    found = statistics(pixels, visible)
    assert (found[0] == 0).all()
    assert (found[1:, :3] > 0).all()
