"""DTD: 5,640 textures of 47 kinds (Cimpoi et al. 2014)."""

from halfseen.datasets.dataset import Sample
from halfseen.datasets.published import PublishedFiles
from halfseen.datasets.torchvision_loaders import open_part

# torchvision's names of the parts, and ours.
SPLITS = {"train": "train", "val": "validation", "test": "test"}


class Dtd(PublishedFiles):
    """The Describable Textures Dataset; the image id is `banded/banded_0008.jpg`.

    Its ten partitions divide the same images in different ways; the parts of the first are all, and
    stand for the official split.
    """

    layout = "dtd/dtd/{images,labels}"

    def listed(self):
        """Training, validation and test images of the first partition in turn."""
        parts = [(SPLITS[name], open_part("DTD", self.root, split=name)) for name in SPLITS]
        return [
            (
                Sample(
                    image_id="/".join(file.parts[-2:]),
                    path=file.relative_to(self.root).as_posix(),
                    label_name=part.classes[label],
                    group="/".join(file.parts[-2:]),
                    split=split,
                ),
                file,
            )
            for split, part in parts
            for file, label in zip(part._image_files, part._labels, strict=True)
        ]
