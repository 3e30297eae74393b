"""FGVC-Aircraft: 10,000 photographs of 100 aircraft variants (Maji et al. 2013)."""

from dataclasses import replace
from pathlib import Path

from halfseen.datasets.dataset import Sample
from halfseen.datasets.decoding import UnreadableImageError, image_shape, read_image
from halfseen.datasets.published import PublishedFiles
from halfseen.datasets.torchvision_loaders import open_part

BANNER_PX = 20


class Aircraft(PublishedFiles):
    """FGVC-Aircraft with variant labels; the image id is the official one, `0045128`.

    `crop_banner` cuts the lowest 20 px off, a strip with the photographer's name that every
    published image carries. The paper does not say whether it did; the data set's own page says to
    remove the strip before the images are used, and text that names the source of a picture is no
    part of the background that a probe should read. False for images that have lost it already.

    The box of the aircraft is the official one (`images_box.txt`, 1-based, inclusive), clipped to
    the image as it is given out.
    """

    layout = "fgvc-aircraft-2013b/data/{images,images_variant_*.txt,images_box.txt}"

    def __init__(self, root, crop_banner=True, **declared):
        super().__init__(root, **declared)
        self.banner_px = BANNER_PX if crop_banner else 0

    def listed(self):
        """Training and validation images together, then test images; samples have no box yet."""
        parts = {name: self._part(name) for name in ("train", "val", "trainval", "test")}
        train, validation, trainval = (
            set(parts[name]._image_files) for name in ("train", "val", "trainval")
        )
        if train & validation or train | validation != trainval:
            raise ValueError(
                f"images_variant_train.txt and images_variant_val.txt in {self.root} do not divide "
                f"the images of images_variant_trainval.txt; unpack the archive again"
            )
        splits = dict.fromkeys(train, "train") | dict.fromkeys(validation, "validation")
        return [
            (self._sample(file, part.classes[label], splits.get(file, "test")), Path(file))
            for part in (parts["trainval"], parts["test"])
            for file, label in zip(part._image_files, part._labels, strict=True)
        ]

    def read(self, where):
        """The photograph (h, w, 3) uint8 RGB, without its banner."""
        image = read_image(where)
        return image[: len(image) - self.banner_px]

    def samples(self):
        """All images, with boxes; each file's header is read for its size."""
        boxes = self._official_boxes()
        return [
            replace(sample, box=self._box(boxes, sample.image_id)) for sample in super().samples()
        ]

    def _part(self, split):
        return open_part("FGVCAircraft", self.root, split=split)

    def _sample(self, file, label_name, split):
        file = Path(file)
        path = file.relative_to(self.root).as_posix()
        return Sample(file.stem, path, label_name, file.stem, split=split)

    def _official_boxes(self):
        path = self.root / "fgvc-aircraft-2013b/data/images_box.txt"
        rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
        return {image_id: tuple(map(int, box)) for image_id, *box in rows}

    def _box(self, boxes, image_id):
        if image_id not in boxes:
            raise ValueError(f"images_box.txt in {self.root} has no box of image {image_id!r}")
        left, top, right, bottom = boxes[image_id]
        try:
            height, width = image_shape(self._where[image_id])
        except UnreadableImageError:
            return None  # whoever reads the image says so
        height -= self.banner_px
        box = (max(left - 1, 0), max(top - 1, 0), min(right, width), min(bottom, height))
        if box[0] >= box[2] or box[1] >= box[3]:
            raise ValueError(
                f"the box {boxes[image_id]} of image {image_id!r} is outside of its "
                f"{width} x {height} px"
            )
        return box
