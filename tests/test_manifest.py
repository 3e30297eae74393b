import numpy as np
import pandas as pd
import pytest
import yaml

from halfseen.datasets.dataset import Sample
from halfseen.datasets.kinds import open_dataset
from halfseen.manifest import COLUMNS, build_manifest, draw_folds, read_manifest, write_manifest


def rng(seed=0):
    return np.random.default_rng(seed)


def samples_of(labels, groups=None):
    groups = range(len(labels)) if groups is None else groups
    return [
        Sample(f"image{i}", f"{label}/{i}.jpg", label, f"group{group}")
        for i, (label, group) in enumerate(zip(labels, groups, strict=True))
    ]


def test_a_row_says_what_its_sample_says_and_labels_number_the_sorted_names():
    samples = [
        Sample("z9", "p/z9.jpg", "snail", "g1", (1, 2, 30.5, 40), "test"),
        Sample("a1", "p/a1.jpg", "fox", "g2", split="validation"),
        Sample("m5", "p/m5.jpg", "fox", "g3", (0, 0, 5, 6)),
        Sample("b2", "p/b2.jpg", "snail", "g4"),
    ]
    manifest = build_manifest(samples, 2, rng())
    assert list(manifest) == COLUMNS
    assert manifest.image_id.tolist() == ["z9", "a1", "m5", "b2"]
    assert manifest.path.tolist() == ["p/z9.jpg", "p/a1.jpg", "p/m5.jpg", "p/b2.jpg"]
    assert manifest.label_name.tolist() == ["snail", "fox", "fox", "snail"]
    assert manifest.label.tolist() == [1, 0, 0, 1]
    assert manifest.group.tolist() == ["g1", "g2", "g3", "g4"]
    assert manifest.split.tolist() == ["test", "validation", "", ""]
    boxes = manifest[["left", "top", "right", "bottom"]].to_numpy()
    nowhere = [np.nan] * 4
    np.testing.assert_array_equal(boxes, [[1, 2, 30.5, 40], nowhere, [0, 0, 5, 6], nowhere])


def test_single_images_are_shared_out_exactly_by_class():
    labels = np.repeat([0, 1, 2], [10, 25, 40])
    folds = draw_folds(labels, np.arange(75), 5, rng())
    assert [np.bincount(folds[labels == label]).tolist() for label in range(3)] == [
        [2] * 5,
        [5] * 5,
        [8] * 5,
    ]


@pytest.mark.parametrize("seed", range(12))
def test_groups_are_never_split_and_every_class_is_in_every_fold(seed):
    labels = rng(seed).integers(4, size=200)
    groups = rng(seed + 100).integers(60, size=200)  # of any size, across classes
    folds = draw_folds(labels, groups, 5, rng(seed))
    pairs = set(zip(groups.tolist(), folds.tolist(), strict=True))
    assert len(pairs) == len(set(groups.tolist()))
    counts = pd.crosstab(labels, folds)
    assert counts.shape == (4, 5)
    assert (counts > 0).all(axis=None)


def test_of_20_shuffles_the_one_with_the_fullest_rarest_class_is_taken():
    from sklearn.model_selection import StratifiedGroupKFold

    labels, groups = rng(0).integers(4, size=60), rng(7).integers(20, size=60)

    def rarest(folds):
        return min(np.bincount(folds[labels == label], minlength=3).min() for label in range(4))

    found, draws = [], rng(0)
    for _ in range(20):
        splitter = StratifiedGroupKFold(3, shuffle=True, random_state=int(draws.integers(2**31)))
        folds = np.empty(60, dtype=int)
        for fold, (_, test) in enumerate(splitter.split(labels, labels, groups)):
            folds[test] = fold
        found.append(folds)
    best = max(found, key=rarest)
    assert rarest(found[0]) < rarest(best)
    np.testing.assert_array_equal(draw_folds(labels, groups, 3, rng(0)), best)


def test_the_search_ends_with_the_first_shuffle_that_cannot_be_bettered(monkeypatch):
    import sklearn.model_selection

    states = []

    class Counted(sklearn.model_selection.StratifiedGroupKFold):
        def __init__(self, n_splits, shuffle, random_state):
            states.append(random_state)
            super().__init__(n_splits, shuffle=shuffle, random_state=random_state)

    monkeypatch.setattr(sklearn.model_selection, "StratifiedGroupKFold", Counted)
    labels = np.repeat([0, 1, 2], [11, 25, 40])
    folds = draw_folds(labels, np.arange(76), 5, rng())
    assert len(states) == 1
    assert min(np.bincount(folds[labels == 0])) == 11 // 5
    # a group of 7 of the 11 leaves 4 for the other folds: one each, never two
    groups = np.arange(76)
    groups[:7] = 0
    folds = draw_folds(labels, groups, 5, rng())
    assert min(np.bincount(folds[labels == 0])) == 1
    assert len(states) == 1 + 20


def test_the_default_data_sets_have_two_images_of_every_class_in_every_fold(root):
    config = yaml.safe_load((root / "config.yaml").read_text())
    seed, n_folds = config["seed"], config["folds"]
    for name in config["studies"]["quickstart"]["datasets"]:
        row = config["datasets"][name]
        others = ("label", "segmenter", "prompt", "second_prompt", "shards")
        source = {key: row[key] for key in row if key not in others}
        samples = open_dataset(**source, seed=seed).samples()
        manifest = build_manifest(samples, n_folds, rng(seed))
        assert len(manifest) == row["n_images"]
        assert (manifest.groupby("group").fold.nunique() == 1).all()
        counts = pd.crosstab(manifest.label_name, manifest.fold)
        assert counts.shape == (row["n_classes"], n_folds)
        assert (counts >= 2).all(axis=None), f"{name}\n{counts}"


def test_folds_are_decided_by_the_random_generator():
    samples = samples_of(["a", "b"] * 30)
    folds = [build_manifest(samples, 5, rng(seed)).fold.tolist() for seed in (1, 1, 2)]
    assert folds[0] == folds[1] != folds[2]


def test_an_id_that_occurs_twice_is_named():
    samples = samples_of(["a", "b"] * 5)
    with pytest.raises(ValueError, match="2 image ids occur twice, among them 'image3'"):
        build_manifest([*samples, samples[3], samples[4]], 2, rng())


def test_a_class_with_fewer_images_than_folds_is_named():
    samples = samples_of(["fox"] * 9 + ["owl"] * 3 + ["snail"] * 4)
    with pytest.raises(ValueError, match="class 'owl' has 3 images, fewer than the 5 folds"):
        build_manifest(samples, 5, rng())


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match="a single class; a probe needs two"):
        build_manifest(samples_of(["a"] * 9), 2, rng())


def test_a_class_in_too_few_groups_is_named():
    samples = samples_of(["fox"] * 9 + ["owl"] * 6, [*range(9), 9, 9, 9, 10, 10, 10])
    told = r"fold [012] has no image of class 'owl': its 6 images are in too few groups"
    with pytest.raises(ValueError, match=told):
        build_manifest(samples, 3, rng())


STRANGE = ["007", "NA", "null", "1e5", "None", "nan", " x", 'a,"b"', "snö/é 1.jpg", "True"]


def test_a_manifest_comes_back_from_its_file(tmp_path):
    boxes = [(0.5, 1 / 3, 30, 40), None] * 5
    samples = [
        Sample(text, text, ("007", "NA")[i % 2], text, box, ("", "train", "test")[i % 3])
        for i, (text, box) in enumerate(zip(STRANGE, boxes, strict=True))
    ]
    manifest = build_manifest(samples, 2, rng())
    write_manifest(tmp_path / "manifest.csv", manifest)
    back = read_manifest(tmp_path / "manifest.csv")
    assert back.image_id.tolist() == STRANGE
    pd.testing.assert_frame_equal(back, manifest)


def test_ids_classes_and_groups_that_are_all_numbers_stay_text(tmp_path):
    numbers = ["007", "08", "1e5", "100"]
    samples = [Sample(n, n, ("01", "1.0")[i % 2], n) for i, n in enumerate(numbers)]
    write_manifest(tmp_path / "manifest.csv", build_manifest(samples, 2, rng()))
    back = read_manifest(tmp_path / "manifest.csv")
    for column in ("image_id", "path", "group"):
        assert back[column].tolist() == numbers
    assert back.label_name.tolist() == ["01", "1.0"] * 2


def test_boxes_that_no_image_has_are_empty_fields_and_come_back_as_nan(tmp_path):
    manifest = build_manifest(samples_of(["a", "b"] * 2), 2, rng())
    write_manifest(tmp_path / "manifest.csv", manifest)
    lines = (tmp_path / "manifest.csv").read_text().splitlines()
    assert lines[0] == "image_id,path,label,label_name,group,fold,split,left,top,right,bottom"
    assert all(line.endswith(",,,,,") for line in lines[1:])
    back = read_manifest(tmp_path / "manifest.csv")
    pd.testing.assert_frame_equal(back, manifest)


def test_a_file_that_lacks_columns_is_refused_with_the_rule_that_makes_it(tmp_path):
    (tmp_path / "old.csv").write_text("image_id,path,label,label_name,left,top,right\n1,p,0,a,,,\n")
    told = r"old.csv lacks the columns \['group', 'fold', 'split', 'bottom'\].*rule write_manifest"
    with pytest.raises(ValueError, match=told):
        read_manifest(tmp_path / "old.csv")
