"""Caltech-101: 8,677 photographs of objects of 101 classes (Li, Fergus and Perona 2004)."""

import numpy as np
from PIL import Image, ImageDraw

from halfseen.datasets.dataset import Sample
from halfseen.datasets.decoding import image_shape
from halfseen.datasets.published import PublishedFiles
from halfseen.datasets.torchvision_loaders import open_part

BACKGROUND = "BACKGROUND_Google"
# The folders of outlines that are not called like their class.
OUTLINES = {
    "Faces": "Faces_2",
    "Faces_easy": "Faces_3",
    "Motorbikes": "Motorbikes_16",
    "airplanes": "Airplanes_Side_2",
}


class Caltech101(PublishedFiles):
    """Caltech-101; the image id is `class/image_0001.jpg`.

    BACKGROUND_Google, pictures of anything, is no class of objects: it is left out, as torchvision
    does, unless `background_class` is true. The files themselves are listed: torchvision counts
    them and numbers them from 1, which a stray file in a folder (`tmp` in the published
    BACKGROUND_Google) puts out of step. Faces_easy are crops of the photographs in Faces; the row's
    `crops_of` has their groups joined (halfseen.crops). The exact mask of an image is the outline
    that its annotation holds, filled; None where it has none.
    """

    layout = "caltech101/101_ObjectCategories/class/image_0001.jpg"

    def __init__(self, root, background_class=False, **declared):
        super().__init__(root, **declared)
        self.background_class = background_class
        self.images = self.root / "caltech101/101_ObjectCategories"
        if not self.images.is_dir():  # torchvision would make an empty one
            raise FileNotFoundError(f"{self.root} has no {self.layout}; correct root")

    def listed(self):
        """Class by class, by name."""
        classes = open_part("Caltech101", self.root).categories
        if self.background_class:
            classes = sorted([*classes, BACKGROUND])
        files = [file for name in classes for file in sorted(self.images.glob(f"{name}/*.jpg"))]
        ids = [file.relative_to(self.images).as_posix() for file in files]
        return [
            (
                Sample(
                    image_id, file.relative_to(self.root).as_posix(), file.parent.name, image_id
                ),
                file,
            )
            for image_id, file in zip(ids, files, strict=True)
        ]

    def mask(self, image_id):
        """The annotated outline, filled (h, w) bool, or None where the image has no annotation."""
        name, file = image_id.split("/")
        number = file.removeprefix("image_").removesuffix(".jpg")
        folder = self.root / "caltech101/Annotations" / OUTLINES.get(name, name)
        path = folder / f"annotation_{number}.mat"
        if not path.is_file():
            return None
        return filled_outline(path, *image_shape(self.images / image_id))


def filled_outline(path, height, width):
    """The outline of a Caltech-101 annotation, filled: a mask (height, width) bool.

    `box_coord` (1, 4) holds top, bottom, left and right, `obj_contour` (2, n) the points' x and y
    from the box's left and top. Raises ValueError for a file that holds no such outline.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        annotation = loadmat(path)
        top, _, left, _ = np.asarray(annotation["box_coord"], dtype=float).ravel()
        x, y = np.asarray(annotation["obj_contour"], dtype=float)
    except (MatReadError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} holds no outline ({error}); unpack the archive again") from error
    canvas = Image.new("1", (width, height))
    ImageDraw.Draw(canvas).polygon(list(zip(x + left, y + top, strict=True)), fill=1)
    return np.array(canvas)
