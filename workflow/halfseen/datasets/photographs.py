"""The photographs that scikit-image and scikit-learn ship inside their wheels, with licences.

Each is opened by name from the installed package; nothing is downloaded. Licences as the packages'
own documentation states them; photographs without such a statement (`moon`, `page`, the stereo
motorcycle) are left out.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

_SHIPPED_IN = {"skimage": "data", "sklearn": "datasets/images"}


@dataclass(frozen=True)
class Photograph:
    """One shipped photograph: where it lies, what it shows, whose it is and under which terms."""

    name: str
    package: str
    file: str
    shows: str
    credit: str
    licence: str


_PUBLIC_DOMAIN = "public domain"
_NO_RESTRICTION = "no known copyright restrictions"
_CC0 = "CC0 1.0"
_CC_BY = "CC BY 2.0"

PHOTOGRAPHS = {
    photograph.name: photograph
    for photograph in (
        Photograph(
            "astronaut", "skimage", "astronaut.png", "Eileen Collins", "NASA", _PUBLIC_DOMAIN
        ),
        Photograph("brick", "skimage", "brick.png", "a brick wall", "CC0Textures, Bricks25", _CC0),
        Photograph("camera", "skimage", "camera.png", "a cameraman", "Lav Varshney", _CC0),
        Photograph(
            "cell", "skimage", "cell.png", "a cell in saline", "Paul Müller et al. 2018", _CC0
        ),
        Photograph("chelsea", "skimage", "chelsea.png", "a cat", "Stéfan van der Walt", _CC0),
        Photograph(
            "clock",
            "skimage",
            "clock_motion.png",
            "a clock, blurred",
            "Stéfan van der Walt",
            _PUBLIC_DOMAIN,
        ),
        Photograph("coffee", "skimage", "coffee.png", "a cup of coffee", "Rachel Michetti", _CC0),
        Photograph(
            "coins",
            "skimage",
            "coins.png",
            "coins from Pompeii",
            "Brooklyn Museum",
            _NO_RESTRICTION,
        ),
        Photograph("grass", "skimage", "grass.png", "grass", "linolafett, via DeviantArt", _CC0),
        Photograph("gravel", "skimage", "gravel.png", "gravel", "CC0Textures, Gravel04", _CC0),
        Photograph(
            "hubble",
            "skimage",
            "hubble_deep_field.jpg",
            "the Hubble deep field",
            "NASA",
            _PUBLIC_DOMAIN,
        ),
        Photograph(
            "tissue",
            "skimage",
            "ihc.png",
            "stained colon tissue",
            "CMMI Gosselies",
            _NO_RESTRICTION,
        ),
        Photograph(
            "retina",
            "skimage",
            "retina.jpg",
            "a retina",
            "Mikael Häggström, via Wikimedia Commons",
            _CC0,
        ),
        Photograph(
            "rocket", "skimage", "rocket.jpg", "a rocket on its pad", "SpaceX", _PUBLIC_DOMAIN
        ),
        Photograph(
            "text",
            "skimage",
            "text.png",
            "handwriting",
            "via Wikipedia, Corner.png",
            _PUBLIC_DOMAIN,
        ),
        Photograph(
            "china", "sklearn", "china.jpg", "a pagoda", "danielbuechele, via Flickr", _CC_BY
        ),
        Photograph("flower", "sklearn", "flower.jpg", "a dahlia", "vultilion, via Flickr", _CC_BY),
    )
}


@cache
def photograph_image(name):
    """The photograph `name` as (h, w, 3) uint8 RGB; grey ones are repeated over the channels."""
    photograph = PHOTOGRAPHS[name]
    package = Path(find_spec(photograph.package).submodule_search_locations[0])
    path = package / _SHIPPED_IN[photograph.package] / photograph.file
    if not path.is_file():
        raise FileNotFoundError(
            f"{photograph.package} no longer ships {photograph.file}; install the locked version"
        )
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def tiles(height, width, rows, columns):
    """Disjoint boxes (left, top, right, bottom) of a `rows` x `columns` grid, row by row.

    A crop is taken inside one tile, and crops of one tile share a group: no two folds see the same
    pixel.
    """
    ys = np.linspace(0, height, rows + 1).astype(int)
    xs = np.linspace(0, width, columns + 1).astype(int)
    return [
        (int(left), int(top), int(right), int(bottom))
        for top, bottom in zip(ys, ys[1:], strict=False)
        for left, right in zip(xs, xs[1:], strict=False)
    ]


def square_crop(image, tile, share, rng, size_px):
    """A random square of `image` (h, w, 3) inside `tile`, resized to (size_px, size_px, 3) uint8.

    Its side is `share` of the tile's shorter side; its place is drawn from `rng`.
    """
    left, top, right, bottom = tile
    side = round(share * min(right - left, bottom - top))
    x = int(rng.integers(left, right - side + 1))
    y = int(rng.integers(top, bottom - side + 1))
    crop = Image.fromarray(image[y : y + side, x : x + side])
    return np.asarray(crop.resize((size_px, size_px), Image.Resampling.BICUBIC))
