"""DTD: 5,640 textures of 47 kinds (Cimpoi et al. 2014)."""

from halfseen.datasets.dataset import Sample
from halfseen.datasets.published import PublishedFiles
from halfseen.datasets.torchvision_loaders import open_part


class Dtd(PublishedFiles):
    """The Describable Textures Dataset; the image id is `banded/banded_0008.jpg`.

    Its ten partitions divide the same images in different ways; the parts of the first are all.
    """

    layout = "dtd/dtd/{images,labels}"

    def listed(self):
        """Training, validation and test images of the first partition in turn."""
        parts = [open_part("DTD", self.root, split=split) for split in ("train", "val", "test")]
        return [
            (
                Sample(
                    image_id="/".join(file.parts[-2:]),
                    path=file.relative_to(self.root).as_posix(),
                    label_name=part.classes[label],
                    group="/".join(file.parts[-2:]),
                ),
                file,
            )
            for part in parts
            for file, label in zip(part._image_files, part._labels, strict=True)
        ]
