"""Masks of the target object: what is measured of one, how one is chosen and cleaned."""

import numpy as np
from scipy import ndimage

MIN_AREA, MAX_AREA = 0.01, 0.95
MIN_PART = 0.01
MIN_OPINION = 0.01
MIDDLE_SIGMA = 0.25
RIM = 0.1


class RefusedError(ValueError):
    """A prompt or a mask that cannot be used; the message is the reason that is recorded."""


def bounding_box(mask):
    """(left, top, right, bottom) of a mask (h, w) in pixels, right and bottom exclusive.

    Raises ValueError for an empty mask.
    """
    ys, xs = np.nonzero(mask)
    if len(xs) == 0:
        raise ValueError("an empty mask has no bounding box")
    return (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))


def clip_box(box, height, width):
    """The part of a box (left, top, right, bottom) inside a (height, width) image.

    Raises RefusedError for a box that is not finite and where the image shows less than one pixel
    of it.
    """
    if not np.isfinite(box).all():
        raise RefusedError(f"the box {_numbers(box)} is not finite")
    left, right = np.clip([box[0], box[2]], 0, width)
    top, bottom = np.clip([box[1], box[3]], 0, height)
    if right - left < 1 or bottom - top < 1:
        raise RefusedError(
            f"the box {_numbers(box)} lies outside the {width} x {height} px that are segmented "
            "or is less than a pixel wide or high in them"
        )
    return float(left), float(top), float(right), float(bottom)


def grow_box(box, share):
    """A box grown at every side by `share` of its width or height; shrunk if negative."""
    left, top, right, bottom = box
    dx, dy = share * (right - left), share * (bottom - top)
    return float(left - dx), float(top - dy), float(right + dx), float(bottom + dy)


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


def choice_scores(masks, predicted_iou, stability, box=None, frame=None):
    """How likely each of the candidates (m, h, w) is the object: scores (m,), the best one highest.

    predicted IoU * stability * (1 - rim)^2 * sqrt(cover) * fit^2, where `rim` is the share of the
    pixels around the box, a tenth of its sides away, that a mask covers (a mask of the background
    covers them), `cover` the share of the box's middle (a Gaussian of sigma 0.25 of its sides), and
    `fit` the IoU of the mask's bounding box with the box. Without a `box` the `frame`, by default
    the image's, stands for it and for what is around it, and fit is 1: an object need not fill the
    picture.

    SAM's predicted IoU alone takes whatever is segmented well: with MobileSAM at 512 px, mean IoU
    0.872 and 0.748 on 345 ECSSD and 389 Caltech-101 crops with a box, 0.34 and 0.30 with a 3 x 3
    grid; this score gives 0.886 and 0.819 with the box and the box shrunk by 5 %, 0.725 and 0.691
    with the grid and the frame. The exponents are round numbers chosen on these images; little is
    owed to that: those that are best on ECSSD alone give 0.69 (grid) and 0.82 (box) on Caltech-101,
    those that are best on Caltech-101 alone 0.72 and 0.89 on ECSSD.
    """
    height, width = masks.shape[1:]
    left, top, right, bottom = frame = box or frame or (0, 0, width, height)
    x, y = _middle(width, left, right), _middle(height, top, bottom)
    cover = np.einsum("mhw,h,w->m", masks, y, x) / (y.sum() * x.sum())
    rim = _rim_contact(masks, grow_box(box, RIM) if box else frame)
    # SAM's estimate can be below 0, which must not turn the order round.
    opinion = np.maximum(predicted_iou, MIN_OPINION) * stability
    score = opinion * (1 - rim) ** 2 * np.sqrt(cover)
    return score if box is None else score * _fit(masks, box) ** 2


def choose_mask(masks, predicted_iou, stability, box=None, frame=None):
    """(index, score) of the best by `choice_scores` of those that cover 1 % to 95 % of the frame.

    SAM likes to give a mask of the whole image the top score. A score of 0, of a mask that covers
    all of the rim or nothing of the middle, is not allowed either. Raises RefusedError where no
    mask is left.
    """
    height, width = masks.shape[1:]
    left, top, right, bottom = pixels_of_box(frame or (0, 0, width, height), height, width)
    areas = masks[:, top:bottom, left:right].mean(axis=(1, 2))
    scores = choice_scores(masks, predicted_iou, stability, box, frame)
    scores = np.where((areas >= MIN_AREA) & (areas <= MAX_AREA), scores, 0)
    index = int(np.argmax(scores))
    if scores[index] == 0:
        raise RefusedError(
            f"none of {len(areas)} masks is an object of {MIN_AREA} to {MAX_AREA} of the image; "
            f"they cover {areas.min():.3f} to {areas.max():.3f} of it"
        )
    return index, float(scores[index])


def clean_mask(mask, min_part=MIN_PART):
    """`mask` (h, w) without small islands and holes, those under `min_part` of its largest part.

    A part is 8-connected, a hole 4-connected and enclosed: a bay that reaches the image's border
    stays. The largest part always stays, and so do several of one size: two legs, a pair of wheels.
    Mean IoU changes by -0.0002 on ECSSD and +0.0005 on Caltech-101, in no image by less than -0.02;
    at a tenth instead of a hundredth an image loses 0.09.
    """
    parts, sizes = _sized_parts(mask, np.ones((3, 3)))
    if len(sizes) == 0:
        return mask.copy()
    smallest = min_part * sizes.max()
    kept = np.isin(parts, 1 + np.flatnonzero(sizes >= smallest))
    holes, hole_sizes = _sized_parts(~kept, None)
    open_ones = np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))
    small = np.setdiff1d(1 + np.flatnonzero(hole_sizes < smallest), open_ones)
    return kept | np.isin(holes, small)


def _sized_parts(mask, structure):
    parts, count = ndimage.label(mask, structure)
    return parts, np.bincount(parts.ravel(), minlength=count + 1)[1:]


def _middle(length, start, end):
    """Weights (length,) of the pixels along one side of a box: a Gaussian around its middle."""
    distance = (np.arange(length) + 0.5 - (start + end) / 2) / (end - start)
    return np.exp(-(distance**2) / (2 * MIDDLE_SIGMA**2))


def _rim_contact(masks, box):
    """The share (m,) of a box's outermost pixels inside the image that each mask covers."""
    left, top, right, bottom = pixels_of_box(box, *masks.shape[1:])
    inside = masks[:, top:bottom, left:right]
    rim = np.ones(inside.shape[1:], dtype=bool)
    rim[1:-1, 1:-1] = False
    return inside[:, rim].mean(axis=1)


def _fit(masks, box):
    """IoU (m,) of each mask's bounding box with `box`; 0 for an empty mask."""
    columns, rows = masks.any(axis=1), masks.any(axis=2)
    left, right = columns.argmax(axis=1), columns.shape[1] - columns[:, ::-1].argmax(axis=1)
    top, bottom = rows.argmax(axis=1), rows.shape[1] - rows[:, ::-1].argmax(axis=1)
    width = np.maximum(np.minimum(right, box[2]) - np.maximum(left, box[0]), 0)
    height = np.maximum(np.minimum(bottom, box[3]) - np.maximum(top, box[1]), 0)
    both = width * height
    areas = (right - left) * (bottom - top) + (box[2] - box[0]) * (box[3] - box[1])
    return np.where(columns.any(axis=1), both / (areas - both), 0.0)


def pixels_of_box(box, height, width):
    """The whole pixels (left, top, right, bottom) of a box, at least one, inside the image.

    Half up, not half to even: a box of one pixel or more never becomes empty.
    """
    left, top, right, bottom = (int(np.floor(value + 0.5)) for value in box)
    left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    return left, top, min(max(right, left + 1), width), min(max(bottom, top + 1), height)


def _numbers(box):
    return "(" + ", ".join(f"{value:g}" for value in box) + ")"
