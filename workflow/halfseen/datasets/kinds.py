"""The kinds of data set that `config.yaml` can name."""

from halfseen.datasets.aircraft import Aircraft
from halfseen.datasets.caltech101 import Caltech101
from halfseen.datasets.cifar100 import Cifar100
from halfseen.datasets.dtd import Dtd
from halfseen.datasets.emoji_scenes import EmojiScenes
from halfseen.datasets.folder import Folder
from halfseen.datasets.photo_textures import PhotoTextures
from halfseen.datasets.torchvision_sets import TorchvisionDataset
from halfseen.study.fingerprints import expanded

KINDS = {
    "aircraft": Aircraft,
    "caltech101": Caltech101,
    "cifar100": Cifar100,
    "dtd": Dtd,
    "emoji_scenes": EmojiScenes,
    "folder": Folder,
    "photo_textures": PhotoTextures,
    "torchvision": TorchvisionDataset,
}
# Those that are drawn and read no files.
DRAWN = {"emoji_scenes", "photo_textures"}


def open_dataset(kind, folder=None, **row):
    """The data set of one `datasets:` row: its `kind`, the keys of that kind, and `seed`.

    A kind that reads files has a `root`, in which `${NAME}` stands for an environment variable;
    `folder`, where the data set was unpacked, stands in for a root that is missing. Raises
    ValueError if there is neither.
    """
    if kind in DRAWN:
        return KINDS[kind](**row)
    root = row.pop("root", None) or folder
    if root is None:
        raise ValueError(
            f"the data set of kind {kind!r} has neither root nor archives; set root to the folder "
            f"that holds it, or name its archives"
        )
    return KINDS[kind](root=expanded(str(root)), **row)
