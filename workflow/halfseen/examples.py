"""Examples of the variants and of the masks, as a person sees them."""

import numpy as np

from halfseen.shards import read_batches
from halfseen.variants import visible_pixels

HIDDEN_GREY = 127


def example_variants(shards, manifest, variants, count, rng):
    """`count` images of different classes in all `variants` (name -> row).

    A list of (label_name, {variant: image}), the images (h, w, 3) uint8 straight from the shards,
    hidden pixels in mid-grey.
    """
    classes = rng.choice(manifest.label_name.unique(), count, replace=False)
    chosen = {
        rng.choice(manifest.image_id[manifest.label_name == name].to_numpy()): name
        for name in classes
    }
    found = {}
    for ids, images, masks in read_batches(shards, list(chosen), 64):
        for image_id, image, mask in zip(ids, images, masks, strict=True):
            found[image_id] = _variants_of(image, mask, variants)
    return [(name, found[image_id]) for image_id, name in chosen.items()]


def example_masks(shards, masks, count):
    """The best, median and worst masks of a data set, and fallbacks, up to `count` of each.

    `masks` is the data set's part of the table of masks. They are ranked by IoU where there are
    exact masks, among those that have one; else by the score that chose them. The worst are none of
    the fallbacks, which stand apart, spread over their number. A dict {group: [(row, image (h, w,
    3) uint8, mask (h, w) bool), ...]} without empty groups; no mask is in two groups.
    """
    chosen = _ranked(masks, count)
    wanted = [row.image_id for rows in chosen.values() for row in rows]
    found = {}
    for ids, images, shapes in read_batches(shards, wanted, 64):
        found |= {i: pair for i, *pair in zip(ids, images, shapes, strict=True)}
    return {
        group: [(row, *found[row.image_id]) for row in rows]
        for group, rows in chosen.items()
        if rows
    }


def _ranked(masks, count):
    apart = masks.fallback != ""
    own, known = masks[~apart], masks.iou != ""
    if known[~apart].any():
        own = own[known[~apart]]
        own = own.assign(rank=own.iou.astype(float))
    else:
        own = own.assign(rank=own.score)
    own = list(own.sort_values("rank", ascending=False, kind="stable").itertuples())
    count_each = min(count, max(1, len(own) // 3))
    middle = max(count_each, (len(own) - count_each) // 2)
    others = list(masks[apart].itertuples())
    spread = np.linspace(0, len(others) - 1, min(count, len(others))).round().astype(int)
    return {
        "Best": own[:count_each],
        "Median": own[middle : middle + count_each],
        "Worst": own[max(middle + count_each, len(own) - count_each) :],
        "Fallbacks": [others[place] for place in spread],
    }


def _variants_of(image, mask, variants):
    shown = {}
    for name, variant in variants.items():
        visible = visible_pixels(variant["keep"], mask[None], variant["radius"])[0]
        shown[name] = np.where(visible[..., None], image, np.uint8(HIDDEN_GREY))
    return shown
