"""The kinds of data set that `config.yaml` can name."""

import os
import re

from halfseen.datasets.aircraft import Aircraft
from halfseen.datasets.caltech101 import Caltech101
from halfseen.datasets.cifar100 import Cifar100
from halfseen.datasets.dtd import Dtd
from halfseen.datasets.emoji_scenes import EmojiScenes
from halfseen.datasets.folder import Folder
from halfseen.datasets.photo_textures import PhotoTextures
from halfseen.datasets.torchvision_sets import TorchvisionDataset

DRAWN_KINDS = {"emoji_scenes": EmojiScenes, "photo_textures": PhotoTextures}
KINDS = DRAWN_KINDS | {
    "aircraft": Aircraft,
    "caltech101": Caltech101,
    "cifar100": Cifar100,
    "dtd": Dtd,
    "folder": Folder,
    "torchvision": TorchvisionDataset,
}


def open_dataset(kind, folder=None, **row):
    """The data set of one `datasets:` row: its `kind`, the keys of that kind, and `seed`.

    A kind that reads files has a `root`, in which `${NAME}` stands for an environment variable;
    `folder`, where the data set was unpacked, stands in for a root that is missing. Raises
    ValueError if there is neither.
    """
    if kind in DRAWN_KINDS:
        return DRAWN_KINDS[kind](**row)
    root = row.pop("root", None) or folder
    if root is None:
        raise ValueError(
            f"the data set of kind {kind!r} has neither root nor archives; set root to the folder "
            f"that holds it, or name its archives"
        )
    return KINDS[kind](root=_expanded(str(root)), **row)


def _expanded(root):
    def value(match):
        name = match.group(1)
        if name not in os.environ:
            raise ValueError(
                f"root: {root} names the environment variable {name}, which is not set; set it, or "
                f"write the folder itself"
            )
        return os.environ[name]

    return os.path.expanduser(re.sub(r"\$\{(\w+)\}", value, root))
