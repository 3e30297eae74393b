import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from halfseen.datasets.kinds import open_dataset
from halfseen.manifest import build_manifest
from halfseen.splits import official_parts

SPLITS = {"t": "train", "v": "validation", "e": "test", "-": "", "?": "trian"}


def table(labels, splits, groups=None, folds=0):
    """A manifest of one image a letter: its class, its part (t, v, e or -) and its group."""
    n = len(labels)
    names = np.array(list(labels))
    return pd.DataFrame(
        {
            "image_id": [f"image{i}" for i in range(n)],
            "label": np.unique(names, return_inverse=True)[1],
            "label_name": names,
            "group": [f"own{i}" for i in range(n)] if groups is None else list(map(str, groups)),
            "fold": folds,
            "split": [SPLITS[part] for part in splits],
        }
    )


def letters(parts):
    """What `table` takes for the splits; "." for an image in no part."""
    told = np.full(len(parts.train), ".")
    for letter, mask in (("t", parts.train), ("v", parts.validation), ("e", parts.test)):
        assert mask.dtype == bool
        assert (told[mask] == ".").all()
        told[mask] = letter
    return "".join(told)


def parts_of(manifest, seed=0):
    return official_parts(manifest, np.random.default_rng(seed))


def no_group_is_in_two_parts(manifest, parts):
    masks = (parts.train, parts.validation, parts.test)
    groups = [set(manifest.group[mask]) for mask in masks]
    return sum(map(len, groups)) == len(set.union(*groups))


# --- as published ---


def test_published_parts_are_taken_as_they_are_and_nothing_is_drawn():
    rng = np.random.default_rng(0)
    parts = official_parts(table("abababab", "ttvveett"), rng)
    assert letters(parts) == "ttvveett"
    assert (parts.source, parts.n_left_out) == ("official", 0)
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("dtype", ["str", object])
def test_the_manifest_is_left_as_it_was(dtype):
    manifest = table("aabbaabbaabb", "ttttvvvveeee", "ABCDAFCIAJKL").astype({"split": dtype})
    before = manifest.copy()
    official_parts(manifest, np.random.default_rng(0))
    pd.testing.assert_frame_equal(manifest, before)


def test_images_that_share_a_group_with_a_test_image_are_left_out_and_counted():
    parts = parts_of(table("aaaabbbab", "ttvvttvee", "ABCAEDGAD"))
    assert letters(parts) == ".tv.t.vee"
    assert parts.n_left_out == 3


def test_test_images_may_share_a_group():
    assert letters(parts_of(table("aabbab", "tvtvee", "ABCDEE"))) == "tvtvee"


def test_validation_images_that_share_a_group_with_a_training_image_become_training_images():
    parts = parts_of(table("aabbaabbab", "ttttvvvvee", "ABCDAFCHXY"))
    assert letters(parts) == "tttttvtvee"
    assert parts.n_left_out == 0


@pytest.mark.parametrize("seed", range(10))
def test_any_groups_are_on_one_side_and_no_other_image_changes_its_part(seed):
    rng = np.random.default_rng(seed)
    splits = rng.choice(list("tve"), 300, p=(0.5, 0.3, 0.2))
    manifest = table(rng.choice(list("abcd"), 300), splits, rng.integers(400, size=300))
    parts = parts_of(manifest)
    expected = []
    for group, split in zip(manifest.group, splits, strict=True):
        together = set(splits[(manifest.group == group).to_numpy()])
        if split == "e":
            expected.append("e")
        else:
            expected.append("." if "e" in together else "t" if "t" in together else "v")
    assert letters(parts) == "".join(expected)
    assert parts.n_left_out == expected.count(".") > 0
    assert ((splits == "v") & (np.array(expected) == "t")).any()
    assert no_group_is_in_two_parts(manifest, parts)


# --- a drawn validation part ---


def test_a_tenth_of_every_class_is_drawn_where_there_is_no_validation_part():
    sizes = {"a": 2, "b": 5, "c": 14, "d": 15, "e": 40, "f": 104, "g": 105}
    tenths = {"a": 1, "b": 1, "c": 1, "d": 2, "e": 4, "f": 10, "g": 11}
    labels = "".join(name * n for name, n in sizes.items())
    manifest = table(labels + "abcdefg", "t" * len(labels) + "e" * 7)
    parts = parts_of(manifest)
    assert manifest.label_name[parts.validation].value_counts().to_dict() == tenths
    assert parts.test.sum() == 7
    assert (parts.train | parts.validation | parts.test).all()
    assert (parts.source, parts.n_left_out) == ("official", 0)


def test_the_draw_is_the_generator_s_and_every_image_has_the_same_chance():
    manifest = table("a" * 10 + "b" * 10 + "ab", "t" * 20 + "ee")
    drawn = [parts_of(manifest, seed).validation for seed in range(400)]
    np.testing.assert_array_equal(drawn[7], parts_of(manifest, 7).validation)
    share = np.mean(drawn, axis=0)[:20]
    assert share.sum() == pytest.approx(2)
    assert share == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 400))


@pytest.mark.parametrize("seed", range(10))
def test_groups_of_any_kind_are_drawn_whole_and_no_class_gets_more_than_its_tenth(seed):
    rng = np.random.default_rng(seed)
    labels, splits = rng.choice(list("abcd"), 600), rng.choice(list("te"), 600, p=(0.9, 0.1))
    manifest = table(labels, splits, rng.integers(600, size=600))
    parts = parts_of(manifest, seed)
    assert no_group_is_in_two_parts(manifest, parts)
    for label in range(4):
        of_class = (manifest.label == label).to_numpy()
        n_train, n_validation = (parts.train & of_class).sum(), (parts.validation & of_class).sum()
        tenth = (n_train + n_validation + 5) // 10
        assert n_validation == tenth
    assert parts.n_left_out == len(manifest) - sum(
        mask.sum() for mask in (parts.train, parts.validation, parts.test)
    )


def test_only_what_is_left_of_the_training_part_is_drawn_from():
    manifest = table("a" * 100 + "b" * 10 + "ab", "t" * 110 + "ee", [*range(110), 200, 201])
    manifest.loc[:79, "group"] = "200"
    for seed in range(20):
        parts = parts_of(manifest, seed)
        assert parts.n_left_out == 80
        assert parts.validation[80:100].sum() == 2


def test_a_class_of_large_groups_gives_its_smallest():
    groups = "P" * 12 + "Q" * 7 + "R" * 11 + "0123456789" + "XY"
    manifest = table("a" * 30 + "b" * 10 + "ab", "t" * 40 + "ee", groups)
    for seed in range(20):
        parts = parts_of(manifest, seed)
        assert set(manifest.group[parts.validation & (manifest.label == 0)]) == {"Q"}


def test_a_group_that_would_leave_another_class_nothing_to_train_on_is_not_drawn():
    labels, groups = "aaabbbb" + "a" * 9 + "b" + "ab", "P" * 7 + "Q" * 9 + "R" + "XY"
    manifest = table(labels, "t" * 17 + "ee", groups)
    for seed in range(20):
        parts = parts_of(manifest, seed)
        assert set(manifest.group[parts.validation]) == {"Q", "R"}


# --- folds in place of an official split ---


def test_folds_stand_in_where_no_image_has_a_part():
    manifest = table("ab" * 10, "-" * 20, folds=np.arange(20) // 2 % 5)
    parts = parts_of(manifest)
    assert letters(parts) == "eevvtttttt" * 2
    assert (parts.source, parts.n_left_out) == ("folds", 0)


def test_groups_that_folds_separate_are_kept_on_one_side():
    manifest = table("ab" * 5, "-" * 10, "ABCDEFGHIJ", folds=np.arange(10) // 2 % 5)
    manifest.loc[[0, 9], "group"] = "same"
    parts = parts_of(manifest)
    assert letters(parts) == "eevvttttt."
    assert parts.n_left_out == 1
    assert no_group_is_in_two_parts(manifest, parts)


def test_two_folds_cannot_stand_in_for_three_parts():
    manifest = table("ab" * 4, "-" * 8, folds=np.arange(8) // 2 % 2)
    refused = "no official split, and 2 folds cannot stand in for its 3 parts; set folds: 3"
    with pytest.raises(ValueError, match=refused):
        parts_of(manifest)


# --- errors ---


@pytest.mark.parametrize(
    ("labels", "splits", "groups", "told"),
    [
        ("aabbab", "tvtvev", "ABCDEF", r"'b' has no test image \(1 train, 2 validation, 0 test"),
        ("aabab", "tvvee", "ABCDE", r"'b' has no train image \(0 train, 1 validation, 1 test"),
        ("aabab", "tvtee", "ABCDE", r"'b' has no validation image \(1 train, 0 validation"),
        ("aabbab", "tvtvee", "ABFDEF", r"'b' has no train image \(0 .*, 1 left out; .* official"),
        ("aabbab", "tvtvee", "ABCCEF", r"'b' has no validation image \(2 train, 0 validation"),
        ("aaabab", "ttttee", "ABCDEF", r"'b' has no validation image \(1 train, 0 validation"),
        ("abab", "ttee", "ABAB", r"'a' has no train image \(0 .* 1 test, 1 left out"),
        ("aabbab", "ttttee", "AAABEF", r"'a' has no validation image \(2 train, 0 validation"),
    ],
)  # fmt: skip
def test_a_class_that_a_part_lacks_is_named_with_its_numbers(labels, splits, groups, told):
    manifest = table(labels, splits, groups)
    with pytest.raises(ValueError, match=f"class {told}"):
        parts_of(manifest)


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        ("tvtve-", "1 of 6 images are in no part of the official split, among them 'image5'"),
        ("-v?vee", "'image2' has the split 'trian', which is none of train, validation, test"),
        ("tvtvtv", "the official split has no test part; add its images, or leave split empty"),
        ("vvvvee", "the official split has no train part"),
    ],
)
def test_a_split_that_is_not_whole_is_refused(splits, told):
    with pytest.raises(ValueError, match=told):
        parts_of(table("aabbab", splits))


# --- real ones ---


@pytest.mark.parametrize(
    ("kind", "folder", "sizes"),
    [
        ("cifar100", "cifar100", (5400, 600, 2000)),  # 60 training images of each class
        ("aircraft", "fgvc_aircraft", None),
        ("dtd", "dtd", None),
    ],
)
def test_real_data_sets_are_divided_as_published(kind, folder, sizes):
    if "HALFSEEN_DATA" not in os.environ:
        pytest.skip("the environment variable HALFSEEN_DATA names no folder of real images")
    root = Path(os.environ["HALFSEEN_DATA"]) / folder
    samples = open_dataset(kind, root=str(root), check_files=False, seed=0).samples()
    manifest = build_manifest(samples, 5, np.random.default_rng(0))
    parts = parts_of(manifest)
    masks = (parts.train, parts.validation, parts.test)
    sizes = sizes or tuple(
        (manifest.split == name).sum() for name in ("train", "validation", "test")
    )
    assert tuple(mask.sum() for mask in masks) == sizes
    assert (parts.source, parts.n_left_out) == ("official", 0)
    for mask in masks:
        assert set(manifest.label[mask]) == set(manifest.label)
