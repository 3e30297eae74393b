"""Crops of texture-like photographs: no object, the part that DTD plays in the paper."""

import zlib

import numpy as np

from halfseen.datasets.dataset import Sample
from halfseen.datasets.photographs import photograph_image, square_crop, tiles

SIZE_PX = 224
TEXTURES = ("brick", "grass", "gravel", "tissue", "hubble", "coins", "retina", "text")
ROWS, COLUMNS = 3, 5


class PhotoTextures:
    """Square crops of 8 photographs; the photograph is the class.

    Each photograph is cut into 15 tiles and a crop stays inside its tile; the tiles are used in
    turn, and crops of one tile share a group: no two folds see the same pixel. Deterministic in
    `seed` to the byte.
    """

    def __init__(self, n_images, n_classes, seed):
        if not 2 <= n_classes <= len(TEXTURES):
            raise ValueError(f"n_classes is {n_classes}; photo_textures has 2 to {len(TEXTURES)}")
        self.crops = {}
        for k, name in enumerate(TEXTURES[:n_classes]):
            for j in range(n_images // n_classes + (k < n_images % n_classes)):
                key = (seed, zlib.crc32(name.encode()), j)
                self.crops[f"{name}_{j:04d}"] = (name, j % (ROWS * COLUMNS), key)

    def samples(self):
        """All crops, photograph by photograph."""
        return [
            Sample(image_id, f"photograph:{name}", name, f"{name}_{tile:02d}")
            for image_id, (name, tile, _) in self.crops.items()
        ]

    def image(self, image_id):
        """The crop as (224, 224, 3) uint8 RGB."""
        name, tile, key = self.crops[image_id]
        rng = np.random.default_rng(key)
        photograph = photograph_image(name)
        box = tiles(*photograph.shape[:2], ROWS, COLUMNS)[tile]
        return square_crop(photograph, box, rng.uniform(0.85, 1), rng, SIZE_PX)

    def mask(self, image_id):
        """None: a texture has no object."""
        return
