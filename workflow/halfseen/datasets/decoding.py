"""Image files: decoded to RGB, or named with the reason why they cannot be."""

import errno
import struct
import zlib
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from halfseen.datasets.pixels import mask_pixels, rgb_pixels

# What Pillow's decoders raise for bytes that are not what they should be.
DECODER_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError,
    struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
# The file's own fault; any other error of the system (a full table of open files, a disk that
# fails) may pass, so it must never make an image look bad.
OWN_FAULT = (None, errno.ENOENT, errno.EISDIR, errno.ENOTDIR)


class UnreadableImageError(ValueError):
    """A file that cannot be decoded as an image: `path` and `reason`."""

    def __init__(self, path, reason):
        super().__init__(f"{path} cannot be decoded as an image ({reason}); mend or remove it")
        self.path, self.reason = Path(path), reason


def read_image(path):
    """The image at `path`, wholly decoded: (h, w, 3) uint8 RGB.

    Pixels as they are stored: an EXIF orientation is not applied, as torchvision's loaders, on
    which the published figures of these data sets rest, do not apply it; masks and boxes refer to
    the stored pixels too. Raises UnreadableImageError.
    """
    with decoding(path), Image.open(path) as image:
        return rgb_pixels(image)


def read_mask(path, shape):
    """The mask at `path` of an image of `shape` (h, w): bool, True where it is not black.

    Raises UnreadableImageError, and ValueError for a mask of another shape.
    """
    with decoding(path), Image.open(path) as image:
        mask = mask_pixels(image)
    if mask.shape != shape:
        raise ValueError(f"{path} is of shape {mask.shape} but its image of {shape}")
    return mask


def image_shape(path):
    """(height, width) in pixels as the file's header says; raises UnreadableImageError."""
    with decoding(path), Image.open(path) as image:
        return image.size[::-1]


@contextmanager
def decoding(path):
    """Any error of a decoder inside becomes an UnreadableImageError that names `path`."""
    try:
        yield
    except DECODER_ERRORS as error:
        if isinstance(error, OSError) and error.errno not in OWN_FAULT:
            raise
        reason = error.strerror if isinstance(error, OSError) and error.errno else str(error)
        raise UnreadableImageError(path, reason or type(error).__name__) from error
