"""The trivial baseline: what the colours of the visible pixels alone give away."""

import torch

BINS = 4
DIM = 6 + BINS**3


def image_statistics(pixels, visible):
    """Colour statistics of the visible pixels: (b, 70) float32.

    `pixels` (b, 3, h, w) in [0, 1], `visible` (b, h, w) bool. Three means, three standard
    deviations and the shares of a 4 x 4 x 4 colour histogram. Neither the place nor the number of
    visible pixels enters; an image with none gives zeros.
    """
    shown = visible[:, None].to(pixels.dtype)
    count = shown.sum(dim=(2, 3)).clamp(min=1)
    means = (pixels * shown).sum(dim=(2, 3)) / count
    squares = (((pixels - means[:, :, None, None]) ** 2) * shown).sum(dim=(2, 3)) / count
    return torch.cat([means, squares.sqrt(), _histogram(pixels, visible) / count], dim=1)


def _histogram(pixels, visible):
    levels = (pixels * BINS).long().clamp(0, BINS - 1)
    colour = levels[:, 0] * BINS**2 + levels[:, 1] * BINS + levels[:, 2]
    counts = pixels.new_zeros(len(pixels), BINS**3)
    return counts.scatter_add_(1, colour.flatten(1), visible.flatten(1).to(pixels.dtype))
