"""The pixels of an opened image file, whatever its mode."""

import numpy as np


def rgb_pixels(image):
    """A Pillow image as (h, w, 3) uint8 RGB; transparency is left out, 16 bits become 8.

    Pillow itself cuts 16-bit values off at 255, which makes nearly every picture white. Raises
    ValueError for 32-bit pixels, whose range no file tells.
    """
    if image.mode.startswith("I;16"):
        grey = np.rint(np.asarray(image) / 257).astype(np.uint8)
        return grey[..., None].repeat(3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits; save it with 8 or 16")
    return np.asarray(image.convert("RGB"))


def mask_pixels(image):
    """A Pillow image as a mask (h, w) bool: True where it is not black."""
    if image.mode.startswith("I") or image.mode == "F":
        return np.asarray(image) != 0
    return np.asarray(image.convert("L")) > 0
