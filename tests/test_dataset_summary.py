import numpy as np
import pandas as pd

from halfseen.dataset_summary import dataset_summary_text, summarise_dataset
from halfseen.datasets.dataset import Sample
from halfseen.manifest import build_manifest

GROUPS = ["x", "x", "x", "d", "y", "y", "g", "h", "z", "z"]
IDS = [f"00{number}" for number in range(10)]
MANIFEST = build_manifest(
    [
        Sample(image_id, "-", "ab"[place > 3], group)
        for place, (image_id, group) in enumerate(zip(IDS, GROUPS, strict=True))
    ],
    2,
    np.random.default_rng(0),
)


def pairs(*ids):
    columns = ["image_id_a", "image_id_b", "found_by", "distance", "correlation"]
    return pd.DataFrame([(*pair, "whole", "2", "0.9") for pair in ids], columns=columns)


def bad(*ids):
    return pd.DataFrame([(image_id, "empty") for image_id in ids], columns=["image_id", "reason"])


def test_counts_images_classes_groups_near_duplicates_and_what_was_skipped():
    # z is a group of the data set's own: its images are not near-duplicates
    near = pairs(("000", "001"), ("001", "002"), ("004", "005"))
    assert summarise_dataset("birds", MANIFEST, near, bad("010")) == {
        "dataset": "birds",
        "n_images": 10,
        "n_classes": 2,
        "fewest_of_a_class": 4,
        "most_of_a_class": 6,
        "n_groups": 6,
        "near_duplicate_images": 5,
        "near_duplicate_groups": 2,
        "skipped_images": 1,
    }


def test_a_data_set_without_near_duplicates_and_bad_images_has_none():
    row = summarise_dataset("birds", MANIFEST, pairs(), bad())
    numbers = "near_duplicate_images", "near_duplicate_groups", "skipped_images"
    assert [row[name] for name in numbers] == [0, 0, 0]


def test_the_text_has_the_labels_and_one_number_where_classes_are_equally_large():
    rows = [
        summarise_dataset("birds", MANIFEST, pairs(), bad()),
        summarise_dataset("birds", MANIFEST, pairs(), bad())
        | {"dataset": "cifar", "n_images": 60000, "fewest_of_a_class": 600, "most_of_a_class": 600},
    ]
    labels = {"datasets": {"birds": "Birds", "cifar": "CIFAR-100"}}
    text = dataset_summary_text(pd.DataFrame(rows), labels)
    assert text["Data set"].tolist() == ["Birds", "CIFAR-100"]
    assert text["Images"].tolist() == ["10", "60,000"]
    assert text["Images per class"].tolist() == ["4 to 6", "600"]
    assert text["Near-duplicate images"].tolist() == ["0", "0"]
