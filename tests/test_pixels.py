import numpy as np
import pytest
from PIL import Image

from halfseen.datasets.folder import Folder
from halfseen.datasets.pixels import mask_pixels, rgb_pixels


@pytest.fixture
def grey():
    """A ramp (16, 16) uint8 that shows every value once."""
    return np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.fixture
def reopened(tmp_path):
    """A function that saves a Pillow image and opens the file."""

    def save(image, suffix="png"):
        path = tmp_path / f"image.{suffix}"
        image.save(path)
        return Image.open(path)

    return save


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGB", "RGBA", "I;16"])
def test_every_mode_of_one_grey_picture_has_the_same_pixels(mode, grey, reopened):
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "P":
        image = Image.fromarray(grey)
        image.putpalette([value for value in range(256) for _ in range(3)])
    else:
        image = Image.fromarray(grey).convert(mode)
    image = reopened(image)
    assert image.mode == mode
    pixels = rgb_pixels(image)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, grey[..., None].repeat(3, axis=2))


def test_a_palette_gives_its_colours_and_not_its_numbers(reopened):
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([10, 20, 30, 200, 100, 50])
    assert rgb_pixels(reopened(image)).tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_cmyk_becomes_rgb(reopened):
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    pixels = rgb_pixels(reopened(red, "tif"))
    np.testing.assert_array_equal(pixels, np.full((8, 8, 3), [255, 0, 0]))


def test_a_dark_sixteen_bit_picture_is_dark_and_not_white(reopened):
    image = Image.fromarray(np.array([[0, 1000, 32896, 65535]], np.uint16))
    assert rgb_pixels(reopened(image))[0, :, 1].tolist() == [0, 4, 128, 255]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_thirty_two_bits_are_an_error_and_a_folder_names_the_file(dtype, grey, reopened, tmp_path):
    (tmp_path / "cats").mkdir()
    Image.fromarray(grey.astype(dtype)).save(tmp_path / "cats/deep.tif")
    with pytest.raises(ValueError, match=r"cats/deep\.tif .*\(its pixels have 32 bits; save it"):
        Folder(tmp_path).image("cats/deep.tif")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16", "I"])
def test_a_mask_is_where_the_picture_is_not_black_however_dark(mode, reopened):
    values = np.array([[0, 1, 0, 255]], np.uint8)
    if mode in ("I;16", "I"):
        image = Image.fromarray(values.astype({"I": np.int32, "I;16": np.uint16}[mode]))
    elif mode == "P":
        image = Image.fromarray(values)
        image.putpalette([value for value in range(256) for _ in range(3)])
    else:
        image = Image.fromarray(values > 0 if mode == "1" else values).convert(mode)
    image = reopened(image, "tif" if mode == "I" else "png")
    assert mask_pixels(image).tolist() == [[False, True, False, True]]
