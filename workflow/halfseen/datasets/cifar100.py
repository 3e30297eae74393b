"""CIFAR-100: 60,000 images of 32 px in two pickles (Krizhevsky 2009)."""

import pickle
from functools import cached_property

from halfseen.datasets.dataset import Sample
from halfseen.datasets.published import PublishedDataset
from halfseen.datasets.torchvision_loaders import open_part

PARTS = {"train": True, "test": False}


class Cifar100(PublishedDataset):
    """CIFAR-100 with its fine labels, read by torchvision from the published pickles.

    The image id is the part and the file name that the pickle itself gives each image,
    `train/oilcan_s_000563.png`. `check_files` compares the pickles' MD5 with those that torchvision
    knows. A pickle can run code when it is opened: switch the check off for your own subsets only.
    """

    layout = "cifar-100-python/{train,test,meta}"

    def listed(self):
        """Training images, then test images; `where` is the part and the row in it."""
        pairs = []
        for name, (part, files) in self._parts.items():
            for row, (file, label) in enumerate(zip(files, part.targets, strict=True)):
                image_id, path = f"{name}/{file}", f"{part.base_folder}/{name}"
                sample = Sample(image_id, path, part.classes[label], image_id, split=name)
                pairs.append((sample, (name, row)))
        return pairs

    def read(self, where):
        """The image (32, 32, 3) uint8."""
        name, row = where
        return self._parts[name][0].data[row]

    def verify(self):
        """The pickles are the published ones, to the byte."""
        from torchvision.datasets import CIFAR100
        from torchvision.datasets.utils import check_integrity

        sums = [*CIFAR100.train_list, *CIFAR100.test_list]
        sums.append([CIFAR100.meta["filename"], CIFAR100.meta["md5"]])
        for name, md5 in sums:
            path = self.root / CIFAR100.base_folder / name
            if not check_integrity(path, md5):
                raise ValueError(
                    f"{path} is missing or is not the published file (MD5 {md5}); unpack the "
                    f"archive again, or set check_files: false for a subset"
                )

    @cached_property
    def _parts(self):
        return {name: self._part(name, train) for name, train in PARTS.items()}

    def _part(self, name, train):
        """torchvision's part, and the name of every file, which torchvision leaves out."""
        part = open_part("CIFAR100", self.root, adapt=_without_check, train=train)
        with open(self.root / part.base_folder / name, "rb") as pickled:
            files = pickle.load(pickled, encoding="latin1")["filenames"]
        return part, files


def _without_check(loader):
    """torchvision's loader without its MD5 of every pickle at every opening: `verify` has them."""
    sums = {
        "train_list": [[name, None] for name, _ in loader.train_list],
        "test_list": [[name, None] for name, _ in loader.test_list],
        "meta": loader.meta | {"md5": None},
    }
    return type(loader.__name__, (loader,), sums)
