"""Pictures for a page: every image once, and for each variant a cover that hides what it hides."""

import base64
import io

import numpy as np
from PIL import Image

from halfseen.examples import HIDDEN_GREY
from halfseen.variants import MASKED, visible_pixels

# Of WebP, 0 to 100: no artefact shows at 224 px, and a photograph takes 6 kB.
PHOTO_QUALITY = 80


def photo(image):
    """An image (h, w, 3) uint8 as the data URI of a WebP file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "WEBP", quality=PHOTO_QUALITY, method=2)
    return _data_uri("webp", file)


def cover(visible):
    """What lies on a photograph to show only `visible` (h, w) bool: the data URI of a PNG file.

    A bit per pixel: mid-grey where it hides, as in the figures, and nothing elsewhere. None where
    nothing is hidden.
    """
    if visible.all():
        return None
    picture = Image.fromarray(visible.astype(np.uint8))
    picture.putpalette([HIDDEN_GREY] * 3 + [255] * 3)
    file = io.BytesIO()
    picture.save(file, "PNG", bits=1, transparency=1)
    return _data_uri("png", file)


def covers_of(mask, variants):
    """{variant: cover} of those that look at the mask (h, w) bool; the rows are `variants`."""
    return {
        name: cover(visible_pixels(row["keep"], mask[None], row["radius"])[0])
        for name, row in variants.items()
        if row["keep"] in MASKED
    }


def shared_covers(side_px, variants):
    """{variant: cover} of those that hide the same pixels of every image, `side_px` wide."""
    blank = np.zeros((1, side_px, side_px), bool)
    return {
        name: cover(visible_pixels(row["keep"], blank, row["radius"])[0])
        for name, row in variants.items()
        if row["keep"] not in MASKED
    }


def balanced_order(classes, rng, first=None):
    """The order (n,) of rows in which every beginning has as many of each of the `classes` (n,).

    Counts differ by one at most until a class has no more. Within a class those that `first` (n,)
    bool marks come first; apart from that the order is random.
    """
    classes, first = np.asarray(classes), np.zeros(len(classes), bool) if first is None else first
    shuffled = rng.permutation(len(classes))
    shuffled = shuffled[np.argsort(~np.asarray(first)[shuffled], kind="stable")]
    codes = np.unique(classes[shuffled], return_inverse=True)[1]
    rounds, turns = np.zeros(len(codes), int), rng.permutation(codes.max(initial=0) + 1)
    for code in range(len(turns)):
        rounds[codes == code] = np.arange((codes == code).sum())
    return shuffled[np.lexsort((turns[codes], rounds))]


def _data_uri(kind, file):
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
