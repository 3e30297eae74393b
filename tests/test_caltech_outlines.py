"""The outlines of Caltech-101: annotations as masks."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from halfseen.datasets.caltech101 import Caltech101, filled_outline
from halfseen.masks import bounding_box


def write_annotation(path, box=(5, 9, 20, 27), points=((0, 7, 7, 0), (0, 0, 4, 4))):
    """A rectangle by default: 8 x 5 px, its corner at x = 20, y = 5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"box_coord": np.array([box]), "obj_contour": np.array(points, dtype=float)})
    return path


def test_an_outline_is_filled_from_the_corner_of_its_box(tmp_path):
    mask = filled_outline(write_annotation(tmp_path / "a.mat"), 30, 40)
    assert mask.shape == (30, 40)
    assert mask.dtype == bool
    assert bounding_box(mask) == (20, 5, 28, 10)
    assert mask.sum() == 8 * 5


def test_an_outline_that_leaves_the_image_ends_at_its_border(tmp_path):
    mask = filled_outline(write_annotation(tmp_path / "a.mat"), 8, 25)
    assert bounding_box(mask) == (20, 5, 25, 8)


@pytest.mark.parametrize("content", [b"no outline", b""])
def test_a_file_that_is_no_annotation_is_named(content, tmp_path):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(ValueError, match="a.mat holds no outline"):
        filled_outline(tmp_path / "a.mat", 9, 9)


def test_an_annotation_without_an_outline_is_named(tmp_path):
    savemat(tmp_path / "a.mat", {"box_coord": np.zeros((1, 4))})
    with pytest.raises(ValueError, match="a.mat holds no outline .'obj_contour'"):
        filled_outline(tmp_path / "a.mat", 9, 9)


@pytest.mark.parametrize(
    ("name", "folder"), [("Faces", "Faces_2"), ("Faces_easy", "Faces_3"), ("crab", "crab")]
)
def test_each_image_has_the_outline_of_its_own_class_and_number_or_none(name, folder, tmp_path):
    images = tmp_path / "caltech101/101_ObjectCategories" / name
    images.mkdir(parents=True)
    for number in (3, 4):
        Image.new("RGB", (40, 30)).save(images / f"image_{number:04d}.jpg")
    write_annotation(tmp_path / "caltech101/Annotations" / folder / "annotation_0003.mat")
    dataset = Caltech101(tmp_path)
    assert dataset.mask(f"{name}/image_0003.jpg").sum() == 40
    assert dataset.mask(f"{name}/image_0004.jpg") is None


def test_real_outlines_are_the_masks_that_others_filled():
    if "HALFSEEN_DATA" not in os.environ:
        pytest.skip("HALFSEEN_DATA is not set; it names the folder of parts of the data sets")
    dataset = Caltech101(Path(os.environ["HALFSEEN_DATA"]) / "caltech101")
    masks = dataset.root / "caltech101/masks"
    files = sorted(masks.rglob("*.png"))[::40]
    assert files
    for file in files:
        with Image.open(file) as image:
            expected = np.asarray(image.convert("L")) > 127
        image_id = file.relative_to(masks).with_suffix(".jpg").as_posix()
        assert np.array_equal(dataset.mask(image_id), expected), image_id
