"""Any classification set of torchvision by the name of its class."""

from functools import cached_property
from numbers import Integral
from pathlib import Path

import numpy as np

from halfseen.datasets.dataset import Sample
from halfseen.datasets.decoding import decoding
from halfseen.datasets.published import PublishedDataset
from halfseen.datasets.torchvision_loaders import open_part

# Where torchvision's classes keep their files, and where their labels: each has one of these.
FILES = ("_image_files", "_images", "imgs", "_samples", "samples", "data")
LABELS = ("_labels", "targets", "labels", "y", "_samples", "samples")
# What torchvision's classes call their parts. `trainval` is all that may be trained on.
SPLITS = {
    "train": "train", "trainval": "train", "val": "validation", "valid": "validation",
    "validation": "validation", "test": "test",
}  # fmt: skip


class TorchvisionDataset(PublishedDataset):
    """Any classification set of torchvision by its class name: `name: Food101`.

    `parts` are the keyword arguments of each of its parts, `[{split: train}, {split: test}]`; all
    of them together are the data set. The image id is the path below `root` where the set has a
    file an image; where it has not (MNIST, SVHN, STL10), it is the part and the index in the
    published file, `test/000042`, which is then the only key there is. The official split is what
    the parts' arguments tell of it (`split_names`).
    """

    def __init__(self, root, name, parts=({},), **declared):
        self.layout = f"what torchvision.datasets.{name} reads"
        super().__init__(root, **declared)
        self.name, self.parts = name, parts

    def listed(self):
        """The images of all parts in turn; `where` is the part's number and the index in it."""
        return [
            (Sample(image_id, image_id, label_name, image_id, split=split), (number, index))
            for number, (keywords, part, split) in enumerate(
                zip(self.parts, self._opened, split_names(self.parts), strict=True)
            )
            for index, (image_id, label_name) in enumerate(
                zip(
                    _image_ids(part, keywords, self.root),
                    _label_names(part, self.name),
                    strict=True,
                )
            )
        ]

    def read(self, where):
        """The image as the set's own loader decodes it, as RGB."""
        number, index = where
        part = self._opened[number]
        files = _files(part)
        with decoding(files[index] if files else f"{self.name} {self.parts[number]} {index}"):
            return np.asarray(part[index][0].convert("RGB"))

    def verify(self):
        """Every listed file is there; torchvision has no sums of single files."""
        missing = [path for part in self._opened for path in _files(part) if not path.is_file()]
        if missing:
            raise FileNotFoundError(
                f"{len(missing):,} files that torchvision.datasets.{self.name} lists are not in "
                f"{self.root}, among them {missing[0]}; fetch the data set again"
            )

    @cached_property
    def _opened(self):
        return [open_part(self.name, self.root, **keywords) for keywords in self.parts]


def split_names(parts):
    """The official split, "train", "validation" or "test", of each of `parts`, dicts of arguments.

    An argument `train` (a bool) or `split` (a name of `SPLITS`) tells it. "" for all where a part
    has neither, or both and they differ, and where no part is for training or none for tests: then
    they are no official split of the images that are used.
    """
    names = []
    for keywords in parts:
        told = {SPLITS[keywords["split"]]} if keywords.get("split") in SPLITS else set()
        if "train" in keywords:
            told.add("train" if keywords["train"] else "test")
        names.append(told.pop() if len(told) == 1 else "")
    whole = "" not in names and {"train", "test"} <= set(names)
    return names if whole else [""] * len(names)


def _files(part):
    """The paths of a part's images, or nothing where it keeps them in one file."""
    for attribute in FILES:
        listed = getattr(part, attribute, None)
        if not isinstance(listed, list) or len(listed) != len(part) or not listed:
            continue
        files = [entry[0] if isinstance(entry, tuple) else entry for entry in listed]
        if all(isinstance(file, str | Path) for file in files):
            return [Path(file) for file in files]
    return []


def _image_ids(part, keywords, root):
    files = _files(part)
    if files:
        return [file.relative_to(root).as_posix() for file in files]
    told = "-".join(str(value) for value in keywords.values()) or "all"
    return [f"{told}/{index:06d}" for index in range(len(part))]


def _label_names(part, name):
    """The class name of every image; a number where the set names none.

    Labels are taken from the part's list where it has one, and compared with what the part itself
    says of its first and last image; else every image is asked.
    """
    if not len(part):
        raise ValueError(f"torchvision.datasets.{name} lists no image; choose other parts")
    asked = (0, len(part) - 1)
    labels = _listed_labels(part)
    if labels is None:
        labels = [part[index][1] for index in range(len(part))]
    elif any(labels[index] != part[index][1] for index in asked):
        raise ValueError(f"torchvision.datasets.{name} lists other labels than it gives")
    if not all(isinstance(label, Integral) and label >= 0 for label in labels):
        raise ValueError(
            f"torchvision.datasets.{name} is no classification set: it labels its first image "
            f"{part[0][1]!r}; choose a set with one class an image, and a part that has labels"
        )
    classes = getattr(part, "classes", None) or range(max(labels) + 1)
    return [str(classes[label]) for label in labels]


def _listed_labels(part):
    for attribute in LABELS:
        listed = getattr(part, attribute, None)
        if listed is not None and len(listed) == len(part):
            labels = [entry[1] if isinstance(entry, tuple) else entry for entry in listed]
            return [label.item() if hasattr(label, "item") else label for label in labels]
    return None
