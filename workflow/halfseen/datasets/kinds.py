"""The kinds of data set that `config.yaml` can name."""

from halfseen.datasets.emoji_scenes import EmojiScenes
from halfseen.datasets.folder import Folder
from halfseen.datasets.photo_textures import PhotoTextures

KINDS = {
    "emoji_scenes": EmojiScenes,
    "photo_textures": PhotoTextures,
    "folder": Folder,
}


def open_dataset(kind, **row):
    """The data set of one `datasets:` row: its `kind`, the keys of that kind, and `seed`."""
    return KINDS[kind](**row)
