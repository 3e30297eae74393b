"""Masks of the target object: what is measured of one, and how one is chosen among several."""

import numpy as np
from scipy import ndimage

MIN_AREA, MAX_AREA = 0.01, 0.95


def bounding_box(mask):
    """(left, top, right, bottom) of a mask (h, w) in pixels, right and bottom exclusive.

    Raises ValueError for an empty mask.
    """
    ys, xs = np.nonzero(mask)
    if len(xs) == 0:
        raise ValueError("an empty mask has no bounding box")
    return (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))


def disc(height, width, radius):
    """A centred disc (h, w) bool: pixels whose centre lies within `radius` times the shorter side.

    It covers the same distance in all directions from the image's centre (the paper, section 3).
    """
    y, x = np.ogrid[:height, :width]
    squared = (y + 0.5 - height / 2) ** 2 + (x + 0.5 - width / 2) ** 2
    return squared <= (radius * min(height, width)) ** 2


def intersection_over_union(a, b):
    """IoU of two masks (h, w): 1 for equal ones, 0 for disjoint ones; two empty masks are equal."""
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 1.0


def mask_shape(mask):
    """What a mask (h, w) looks like: `area`, `components` and `border_contact`.

    `area` is the share of the image, `components` the number of 8-connected parts, `border_contact`
    the share of the image's border pixels that the mask covers.
    """
    border = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    return {
        "area": float(mask.mean()),
        "components": int(ndimage.label(mask, structure=np.ones((3, 3)))[1]),
        "border_contact": float(border.mean()),
    }


def stability_score(logits, offset=1.0):
    """IoU of the masks of `logits` (h, w) with the threshold 0 raised and lowered by `offset`.

    1 where the border does not depend on the threshold. Kirillov et al. 2023, section 3 and
    appendix B.
    """
    union = (logits > -offset).sum()
    return float((logits > offset).sum() / union) if union else 0.0


def choose_mask(masks, predicted_iou, fallback):
    """The mask to use among candidates (m, h, w): (mask, index, reason of a fallback or '').

    The highest predicted IoU among those that cover 1 % to 95 % of the image: SAM likes to give a
    mask of the whole image the top score. Where none does, `fallback` (name, mask) stands in, with
    index -1, and the reason says so.
    """
    areas = masks.mean(axis=(1, 2))
    allowed = (areas >= MIN_AREA) & (areas <= MAX_AREA)
    if not allowed.any():
        name, mask = fallback
        found = ", ".join(f"{area:.3f}" for area in areas)
        return mask, -1, f"{name}: areas {found} outside {MIN_AREA} to {MAX_AREA}"
    index = int(np.argmax(np.where(allowed, predicted_iou, -np.inf)))
    return masks[index], index, ""
