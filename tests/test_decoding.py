import errno

import numpy as np
import pytest
from PIL import Image

from halfseen.datasets.decoding import UnreadableImageError, decoding, image_shape, read_image


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(256, size=(20, 30, 3), dtype=np.uint8)


def test_an_image_comes_back_as_rgb_whatever_its_mode(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "rgb.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([pixels, pixels[..., :1]])).save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(read_image(tmp_path / "rgb.png"), pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), pixels[..., [0, 0, 0]])
    assert image_shape(tmp_path / "rgb.png") == (20, 30)


def test_an_exif_orientation_is_not_applied(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        assert image.getexif()[0x0112] == 6
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), pixels)


def damaged(content):
    return {
        "empty": b"",
        "no image": b"<html>not found</html>",
        "header only": content[:20],
        "cut": content[: len(content) // 2],
        "last bytes cut": content[:-40],
    }


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("damage", ["empty", "no image", "header only", "cut", "last bytes cut"])
def test_a_file_that_is_no_whole_image_is_named_with_a_reason(tmp_path, pixels, suffix, damage):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(pixels).save(path)
    path.write_bytes(damaged(path.read_bytes())[damage])
    with pytest.raises(UnreadableImageError, match="image.... cannot be decoded .*; mend") as told:
        read_image(path)
    assert told.value.path == path
    assert told.value.reason


def test_a_cut_image_has_a_whole_header_so_only_decoding_finds_it(tmp_path, pixels):
    path = tmp_path / "image.jpg"
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    assert image_shape(path) == (20, 30)
    with pytest.raises(UnreadableImageError, match="truncated"):
        read_image(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UnreadableImageError, match="No such file") as told:
        read_image(tmp_path / "nowhere.jpg")
    assert told.value.reason == "No such file or directory"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES])
def test_a_fault_of_the_system_makes_no_image_bad(number):
    with pytest.raises(OSError, match="the system") as told, decoding("image.jpg"):
        raise OSError(number, "the system is at fault")
    assert not isinstance(told.value, UnreadableImageError)
