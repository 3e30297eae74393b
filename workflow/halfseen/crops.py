"""Crops: images that were cut out of other images of the same data set."""

import numpy as np
from PIL import Image
from skimage.feature import match_template

# Caltech-101's Faces_easy are cut out of the photographs in Faces, at their scale. On 16 of each:
# at a quarter of the size every crop correlates 0.94 or more with its own photograph, and with
# another at most 0.73, whoever it shows. (Their perceptual hashes differ in up to 34 of 63 bits.)
REDUCTION = 4
MIN_CORRELATION = 0.85


def crop_pairs(crops, wholes, read):
    """Which whole each crop was cut from: triples (crop, whole, correlation), by their names.

    `read` gives the image (h, w, 3) uint8 of a name. A crop has the scale of its whole; at most one
    whole is found. The whole of the same place in the list is tried first and the others after it,
    so that lists that are numbered alike take one comparison a crop.
    """
    pairs = []
    patches = {name: _reduced(read(name)) for name in wholes}
    for place, crop in enumerate(crops):
        template = _reduced(read(crop))
        order = [*wholes[place : place + 1], *wholes[:place], *wholes[place + 1 :]]
        for whole in order:
            correlation = _best_match(patches[whole], template)
            if correlation >= MIN_CORRELATION:
                pairs.append((crop, whole, correlation))
                break
    return pairs


def _best_match(image, template):
    if any(one < other for one, other in zip(image.shape, template.shape, strict=True)):
        return 0.0
    return float(match_template(image, template).max())


def _reduced(image):
    height, width = image.shape[:2]
    size = max(1, round(width / REDUCTION)), max(1, round(height / REDUCTION))
    grey = Image.fromarray(image).convert("L").resize(size, Image.Resampling.BOX)
    return np.asarray(grey, dtype=np.float32)
