import h5py
import numpy as np
import pandas as pd
import pytest

from halfseen.features import read_features

IDS, LABELS = ["b", "a", "c"], [1, 0, 1]


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        group = file.create_group("original")
        group["image_ids"], group["labels"] = IDS, LABELS
        group["features"] = np.arange(6, dtype=np.float32).reshape(3, 2)
    return tmp_path / "f.h5"


def manifest(ids, labels):
    return pd.DataFrame({"image_id": ids, "label": labels})


def test_the_rows_are_those_of_the_manifest(path):
    read = read_features(path, "original", manifest(IDS, LABELS))
    assert read.tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("ids", "labels", "told"),
    [
        (["b", "a"], [1, 0], "it has 3 images, the manifest 2"),
        (["b", "c", "a"], [1, 1, 0], "id a of image 2, 'a', is c there"),
        (IDS, [1, 1, 1], "label 0 of image 2, 'a', is 1 there"),
    ],
)
def test_the_first_difference_from_the_manifest_is_named(path, ids, labels, told):
    with pytest.raises(ValueError, match=f"original.*{told}; remove it and run again"):
        read_features(path, "original", manifest(ids, labels))


def test_a_variant_that_the_file_lacks_is_named(path):
    with pytest.raises(ValueError, match=r"no variant 'center', only \['original'\]"):
        read_features(path, "center", manifest(IDS, LABELS))
