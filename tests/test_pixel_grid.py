import numpy as np
import pytest
import torch

from halfseen.encoders import load_encoder
from halfseen.pixel_grid import DIM, pixel_grid


def test_every_number_is_the_mean_of_its_square():
    pixels = np.random.default_rng(0).normal(size=(2, 3, 32, 48)).astype(np.float32)
    found = pixel_grid(torch.from_numpy(pixels), None).numpy().reshape(2, 3, 16, 16)
    by_hand = pixels.reshape(2, 3, 16, 2, 16, 3).mean(axis=(3, 5))
    assert found == pytest.approx(by_hand, abs=1e-6)


def test_it_is_a_loader_whose_hidden_pixels_are_zeros():
    encoder = load_encoder("pixels", [0.5] * 3, [0.5] * 3, sha256=None)
    pixels, visible = torch.ones(1, 3, 224, 224), torch.zeros(1, 224, 224, dtype=torch.bool)
    visible[:, :112] = True
    found = encoder.encode(pixels * visible[:, None], visible)
    assert found.shape == (1, DIM)
    assert found.reshape(3, 16, 16)[:, :8].min() == 1
    assert found.reshape(3, 16, 16)[:, 8:].max() == 0
