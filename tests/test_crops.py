import csv
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from halfseen.crops import crop_pairs
from halfseen.datasets.caltech101 import Caltech101
from halfseen.near_duplicates import near_duplicates, thumbnail


def photograph(seed, height=240, width=320):
    rng = np.random.default_rng(seed)
    grey = gaussian_filter(rng.normal(size=(height, width)), 8)
    grey = np.clip(128 + 50 * grey / grey.std(), 0, 255)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


IMAGES = {f"whole{seed}": photograph(seed) for seed in range(4)} | {
    "cut0": photograph(0)[33:190, 41:200],
    "cut2": photograph(2)[10:231, 101:290],
    "other": photograph(9)[10:230, 20:200],
    "larger": photograph(8, 300, 400),
}
WHOLES = [f"whole{seed}" for seed in range(4)]


def found(crops, wholes=WHOLES):
    return [(crop, whole) for crop, whole, _ in crop_pairs(crops, wholes, IMAGES.__getitem__)]


def test_a_crop_is_found_in_its_whole_wherever_that_stands_in_the_list():
    expected = [("cut2", "whole2"), ("cut0", "whole0")]
    assert found(["cut2", "cut0"]) == expected
    for shift in range(4):
        assert found(["cut2", "cut0"], WHOLES[shift:] + WHOLES[:shift]) == expected


def test_what_was_cut_from_nothing_here_is_no_pair():
    assert found(["other", "larger"]) == []
    assert found(["cut0"], ["whole1", "whole2"]) == []
    assert found(["cut0"], []) == []


def test_lists_that_are_numbered_alike_take_one_comparison_a_crop(monkeypatch):
    import halfseen.crops

    compared = []
    best_match = halfseen.crops._best_match

    def counted(image, template):
        compared.append(1)
        return best_match(image, template)

    monkeypatch.setattr(halfseen.crops, "_best_match", counted)
    crops = ["cut0", "whole1", "cut2"]
    assert [whole for _, whole in found(crops)] == ["whole0", "whole1", "whole2"]
    assert len(compared) == 3


@pytest.fixture(scope="module")
def faces():
    """The real images of Faces and Faces_easy, and which are of one photograph."""
    if "HALFSEEN_DATA" not in os.environ:
        pytest.skip("the environment variable HALFSEEN_DATA names no folder of real images")
    root = Path(os.environ["HALFSEEN_DATA"]) / "caltech101"
    with open(root / "manifest.csv", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["class"].startswith("Faces")]
    names = {(line["class"], line["original_file"]): line for line in lines}
    pairs = [
        (f"Faces_easy/{easy['file']}", f"Faces/{names['Faces', easy['original_file']]['file']}")
        for easy in lines
        if easy["class"] == "Faces_easy"
    ]
    return Caltech101(root, check_files=False), sorted(pairs)


def test_every_real_face_is_found_in_its_photograph_and_no_other(faces):
    dataset, expected = faces
    assert len(expected) == 16
    crops, wholes = (sorted(names) for names in zip(*expected, strict=True))
    pairs = crop_pairs(crops, wholes, dataset.image)
    assert [(crop, whole) for crop, whole, _ in pairs] == expected
    # a photograph that is not there is not taken for another one
    for place, (_, whole) in enumerate(expected):
        others = [name for name in wholes if name != whole]
        assert crop_pairs([expected[place][0]], others, dataset.image) == []


def test_the_hash_of_the_whole_image_would_find_none_of_them(faces):
    dataset, expected = faces
    images = [thumbnail(dataset.image(name)) for pair in expected for name in pair]
    pairs = near_duplicates(images)
    assert not any(pair.a // 2 == pair.b // 2 for pair in pairs.itertuples())
