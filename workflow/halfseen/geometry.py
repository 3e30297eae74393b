"""The one geometry of the study: shorter side to `size_px`, then a centre crop.

The paper's section 4.1. The same function places the pixels, the mask and the prompt, so they stay
aligned.
"""

import numpy as np
from PIL import Image

SIZE_PX = 224


def resize_and_crop(image, size_px=SIZE_PX):
    """An image (h, w, 3) uint8 as (size_px, size_px, 3), bicubic with antialiasing."""
    return _apply(Image.fromarray(image), Image.Resampling.BICUBIC, size_px)


def resize_and_crop_mask(mask, size_px=SIZE_PX):
    """A mask (h, w) bool as (size_px, size_px) bool, by nearest neighbour."""
    return _apply(Image.fromarray(mask.astype(np.uint8)), Image.Resampling.NEAREST, size_px) > 0


def crop_box(box, height, width, size_px=SIZE_PX):
    """A box (left, top, right, bottom) of a (height, width) image, in pixels of its crop.

    It may reach beyond the crop; `halfseen.masks.clip_box` cuts it off.
    """
    new_width, new_height, x0, y0 = _plan(width, height, size_px)
    scale = np.array([new_width / width, new_height / height] * 2)
    moved = np.asarray(box) * scale - np.array([x0, y0, x0, y0])
    return tuple(float(value) for value in moved)


def crop_window(height, width):
    """The part (left, top, right, bottom) of a (height, width) image that its crop shows."""
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _plan(width, height, size_px):
    scale = size_px / min(width, height)
    new_width, new_height = round(width * scale), round(height * scale)
    return new_width, new_height, (new_width - size_px) // 2, (new_height - size_px) // 2


def _apply(image, resampling, size_px):
    new_width, new_height, x0, y0 = _plan(*image.size, size_px)
    if image.size != (new_width, new_height):
        image = image.resize((new_width, new_height), resampling)
    return np.asarray(image)[y0 : y0 + size_px, x0 : x0 + size_px].copy()
