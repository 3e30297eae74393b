"""Any directory of `class/image.jpg`, with optional `masks/class/image.png`."""

from pathlib import Path

from halfseen.datasets.dataset import Sample
from halfseen.datasets.decoding import UnreadableImageError, image_shape, read_image, read_mask
from halfseen.datasets.layout import MASKS, SUFFIXES
from halfseen.masks import bounding_box


class Folder:
    """Images of a user's own: `root/class/image.jpg`; the image id is the path below `root`.

    A mask, if there is one, is `root/masks/class/image.png` of the image's size: the object is
    where it is not 0. Every image is a group of its own. The bounding box of the mask serves the
    prompt `box`. Nothing is drawn: `seed`, which every kind is given, changes nothing.
    """

    def __init__(self, root, seed=None):
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"root: {root} is no folder; a data set of kind 'folder' reads root/class/image.jpg"
            )

    def samples(self):
        """All images below `root`, by class and name."""
        files = sorted(
            path
            for path in self.root.glob("*/*")
            if path.suffix.lower() in SUFFIXES and path.parent.name != MASKS
        )
        if not files:
            raise FileNotFoundError(
                f"no image in {self.root}; expected class/image with one of {sorted(SUFFIXES)}"
            )
        return [self._sample(path.relative_to(self.root).as_posix()) for path in files]

    def image(self, image_id):
        """The image as (h, w, 3) uint8 RGB."""
        return read_image(self.root / image_id)

    def mask(self, image_id):
        """The mask (h, w) bool, or None; raises ValueError if it is not of the image's size."""
        path = (self.root / MASKS / image_id).with_suffix(".png")
        if not path.is_file():
            return None
        return read_mask(path, image_shape(self.root / image_id))

    def _sample(self, image_id):
        box = None
        try:
            mask = self.mask(image_id)
        except UnreadableImageError as error:
            if error.path != self.root / image_id:
                raise
            mask = None  # the image is bad, not its mask; whoever reads the image says so
        if mask is not None:
            if not mask.any():
                raise ValueError(
                    f"the mask of {image_id} in {self.root / MASKS} is empty; "
                    f"remove it or mark the object"
                )
            box = bounding_box(mask)
        return Sample(image_id, image_id, image_id.split("/")[0], image_id, box)
