"""Examples of the variants, as a person sees them."""

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


def _variants_of(image, mask, variants):
    shown = {}
    for name, variant in variants.items():
        visible = visible_pixels(variant["keep"], mask[None], variant["radius"])[0]
        shown[name] = np.where(visible[..., None], image, np.uint8(HIDDEN_GREY))
    return shown
