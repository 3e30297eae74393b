"""The picture itself as a representation: what similarity owes to models seeing the same pixels."""

from torch.nn.functional import adaptive_avg_pool2d

SIDE = 16
DIM = 3 * SIDE**2


def pixel_grid(pixels, visible):
    """Normalised, masked pixels (b, 3, h, w) averaged over a grid of 16 x 16: (b, 768) float32.

    A hidden pixel is 0, as every network sees it; `visible` adds nothing to that.
    """
    return adaptive_avg_pool2d(pixels, SIDE).flatten(1)
