"""A model's own evaluation view, cut out of the study's square crop and its masks together."""

import numpy as np
from torch.nn import functional


def own_view(images, masks, recipe):
    """What a model with its own evaluation recipe sees of the study's crop: (images, masks).

    `images` (b, s, s, 3) uint8 tensor, `masks` (b, s, s) bool array or tensor; `recipe` is the
    `models:` row's {resize_px, crop_px, interpolation}, or None, which changes nothing. The square
    is resized to `resize_px` a side (antialiased as by Pillow, rounded to whole levels) and the
    centre `crop_px` cut out; a mask takes the nearest pixel, so it stays on its object. Variants
    are composed after this, so a circle keeps its share of what the model sees. Raises ValueError
    for a crop larger than the resized image and for images that are not square.
    """
    if recipe is None:
        return images, masks
    resize_px, crop_px = recipe["resize_px"], recipe["crop_px"]
    height, width = images.shape[1:3]
    if height != width:
        raise ValueError(f"a recipe is for the study's square crop, not for {height} x {width}")
    if crop_px > resize_px:
        raise ValueError(f"recipe: crop_px {crop_px} is larger than resize_px {resize_px}")
    start = round((resize_px - crop_px) / 2)
    wanted = slice(start, start + crop_px)
    resized = functional.interpolate(
        images.permute(0, 3, 1, 2).float(),
        size=(resize_px, resize_px),
        mode=recipe["interpolation"],
        antialias=True,
    )
    levels = resized[:, :, wanted, wanted].round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    # the pixel in which the centre of every wanted pixel lies
    nearest = (2 * (np.arange(crop_px) + start) + 1) * height // (2 * resize_px)
    return levels, masks[:, nearest][:, :, nearest]
