"""Caltech-101: 8,677 photographs of objects of 101 classes (Li, Fergus and Perona 2004)."""

from halfseen.datasets.dataset import Sample
from halfseen.datasets.published import PublishedFiles
from halfseen.datasets.torchvision_loaders import open_part

BACKGROUND = "BACKGROUND_Google"


class Caltech101(PublishedFiles):
    """Caltech-101; the image id is `class/image_0001.jpg`.

    BACKGROUND_Google, pictures of anything, is no class of objects: it is left out, as torchvision
    does, unless `background_class` is true. The files themselves are listed: torchvision counts
    them and numbers them from 1, which a stray file in a folder (`tmp` in the published
    BACKGROUND_Google) puts out of step. Faces_easy are crops of the photographs in Faces; the row's
    `crops_of` has their groups joined (halfseen.crops).
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
