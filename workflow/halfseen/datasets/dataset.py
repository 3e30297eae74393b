"""The interface behind which every data set stands."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Sample:
    """One image: what the manifest says of it.

    `image_id` is the data set's own key and never a row number. `group` is shared by images that
    must not be separated by a fold: near-duplicates, overlapping crops. `box` is the object's
    bounding box (left, top, right, bottom) in pixels of the source image, right and bottom
    exclusive, where known. `split` is the part that the data set's authors put the image into, one
    of `SPLITS`; "" where they publish none.
    """

    image_id: str
    path: str
    label_name: str
    group: str
    box: tuple[float, float, float, float] | None = None
    split: str = ""


class Dataset(Protocol):
    """What a kind of data set offers; a row of `datasets:` and the seed are its arguments."""

    def samples(self) -> list[Sample]:
        """All images in a fixed order."""

    def image(self, image_id: str) -> np.ndarray:
        """The source image (h, w, 3) uint8 RGB."""

    def mask(self, image_id: str) -> np.ndarray | None:
        """The exact mask of the object (h, w) bool, or None where the data set has none."""
