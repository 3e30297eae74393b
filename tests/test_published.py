"""The published data sets: in their official layouts, small, and the real ones where there are."""

import csv
import hashlib
import os
import pickle
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from halfseen.datasets import kinds
from halfseen.datasets.aircraft import Aircraft
from halfseen.datasets.caltech101 import Caltech101
from halfseen.datasets.cifar100 import Cifar100
from halfseen.datasets.dataset import Sample
from halfseen.datasets.decoding import UnreadableImageError
from halfseen.datasets.dtd import Dtd
from halfseen.datasets.kinds import open_dataset
from halfseen.datasets.published import PublishedDataset
from halfseen.datasets.torchvision_loaders import download, open_part
from halfseen.datasets.torchvision_sets import TorchvisionDataset, split_names


def pixels(seed, shape=(40, 50, 3)):
    return np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def write_cifar(root):
    """CIFAR-100's pickles: 6 training and 4 test images of 2 classes."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for name, n in (("train", 6), ("test", 4)):
        images = pixels(n, (n, 32, 32, 3))
        part = {
            "filenames": [f"fox_s_{i:06d}.png" for i in range(n)],
            "batch_label": "a batch",
            "fine_labels": [i % 2 for i in range(n)],
            "coarse_labels": [0] * n,
            "data": images.transpose(0, 3, 1, 2).reshape(n, 3072),
        }
        (folder / name).write_bytes(pickle.dumps(part))
    meta = {"fine_label_names": ["fox", "owl"], "coarse_label_names": ["animal"]}
    (folder / "meta").write_bytes(pickle.dumps(meta))
    return root


def write_caltech(root):
    """Caltech-101: 3 images of each of 2 classes, 4 of the background and the stray file in it."""
    for name, n in (("fox", 3), ("Owl", 3), ("BACKGROUND_Google", 4)):
        for i in range(1, n + 1):
            path = root / f"caltech101/101_ObjectCategories/{name}/image_{i:04d}.jpg"
            save(path, pixels(i))
    (root / "caltech101/101_ObjectCategories/BACKGROUND_Google/tmp").write_text("no image")
    return root


BOXES = {"0000007": (1, 1, 50, 40), "0000008": (11, 6, 30, 25), "0000009": (0, 0, 60, 70)}


def write_aircraft(root):
    """FGVC-Aircraft: 3 images of 50 x 40 px of 2 variants."""
    data = root / "fgvc-aircraft-2013b/data"
    for number, image_id in enumerate(BOXES):
        save(data / f"images/{image_id}.jpg", pixels(number))
    (data / "variants.txt").write_text("A380\nDC-3 (old)\n")
    parts = {
        "train": "0000007 A380\n",
        "val": "0000008 DC-3 (old)\n",
        "trainval": "0000008 DC-3 (old)\n0000007 A380\n",
        "test": "0000009 A380\n",
    }
    for part, lines in parts.items():
        (data / f"images_variant_{part}.txt").write_text(lines)
    lines = [" ".join(map(str, (name, *box))) for name, box in BOXES.items()]
    (data / "images_box.txt").write_text("\n".join(lines) + "\n")
    return root


def write_dtd(root):
    """DTD: 3 images of each of 2 textures, shared out over the parts of partition 1."""
    data = root / "dtd/dtd"
    names = [f"{kind}/{kind}_{i:04d}.jpg" for i in (3, 1, 2) for kind in ("dotted", "banded")]
    for number, name in enumerate(names):
        save(data / "images" / name, pixels(number))
    (data / "labels").mkdir()
    for part, lines in (("train", names[:3]), ("val", names[3:5]), ("test", names[5:])):
        (data / f"labels/{part}1.txt").write_text("\n".join(lines) + "\n")
    return root


SMALL = {
    "cifar100": (Cifar100, write_cifar, {"n_images": 10, "n_classes": 2, "check_files": False}),
    "caltech101": (Caltech101, write_caltech, {"n_images": 6, "n_classes": 2}),
    "aircraft": (Aircraft, write_aircraft, {"n_images": 3, "n_classes": 2}),
    "dtd": (Dtd, write_dtd, {"n_images": 6, "n_classes": 2}),
}
FILES = ["caltech101", "aircraft", "dtd"]


def small(name, root, **changes):
    kind, write, row = SMALL[name]
    return kind(root=write(root), **row | changes)


# --- every kind ---


IDS = {
    "cifar100": [f"train/fox_s_{i:06d}.png" for i in range(6)]
    + [f"test/fox_s_{i:06d}.png" for i in range(4)],
    "caltech101": [f"{name}/image_{i:04d}.jpg" for name in ("Owl", "fox") for i in (1, 2, 3)],
    "aircraft": ["0000008", "0000007", "0000009"],
    "dtd": [f"{kind}/{kind}_{i:04d}.jpg" for i in (3, 1, 2) for kind in ("dotted", "banded")],
}
SPLITS = {
    "cifar100": ["train"] * 6 + ["test"] * 4,
    "caltech101": [""] * 6,
    "aircraft": ["validation", "train", "test"],
    "dtd": ["train"] * 3 + ["validation"] * 2 + ["test"],
}
CLASSES = {
    "cifar100": ["fox", "owl"] * 5,
    "caltech101": ["Owl"] * 3 + ["fox"] * 3,
    "aircraft": ["DC-3 (old)", "A380", "A380"],
    "dtd": ["dotted", "banded"] * 3,
}


@pytest.mark.parametrize("name", SMALL)
def test_lists_the_images_of_all_parts_by_the_data_set_s_own_key(tmp_path, name):
    samples = small(name, tmp_path).samples()
    assert [sample.image_id for sample in samples] == IDS[name]
    assert [sample.label_name for sample in samples] == CLASSES[name]
    assert [sample.group for sample in samples] == IDS[name]
    assert all((tmp_path / sample.path).is_file() for sample in samples)


@pytest.mark.parametrize("name", SMALL)
def test_an_image_is_of_the_part_that_the_data_set_puts_it_into(tmp_path, name):
    assert [sample.split for sample in small(name, tmp_path).samples()] == SPLITS[name]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("what", "found"), [("n_images", 0), ("n_classes", 1)])
def test_a_declared_number_that_is_not_found_is_refused_with_both(tmp_path, name, what, found):
    row = SMALL[name][2]
    dataset = small(name, tmp_path, **{what: row[what] + 7})
    told = f"holds {row[what]} {what[2:]} but the row declares {what}: {row[what] + 7}"
    with pytest.raises(ValueError, match=told):
        dataset.samples()


@pytest.mark.parametrize("name", SMALL)
def test_a_part_of_every_class_is_drawn_by_the_seed_after_the_counts_were_checked(tmp_path, name):
    kind, write, row = SMALL[name]
    write(tmp_path)

    def drawn(seed, n=1):
        return kind(root=tmp_path, **row, images_per_class=n, seed=seed).samples()

    for sample_list in (drawn(0), drawn(0, 2)):
        ids = [sample.image_id for sample in sample_list]
        assert ids == sorted(ids, key=IDS[name].index)
    names = [sample.label_name for sample in drawn(0)]
    assert sorted(names) == sorted(set(CLASSES[name]))
    assert drawn(3) == drawn(3)
    assert len({str(drawn(seed)) for seed in range(9)}) > 1
    assert drawn(0, 99) == kind(root=tmp_path, **row).samples()


class Listed(PublishedDataset):
    """60 training images and 12 test images of each of two classes."""

    def listed(self):
        parts = ["train"] * 60 + ["test"] * 12
        for number, (label, part) in enumerate(product("ab", parts)):
            yield Sample(str(number), f"{number}.png", label, str(number), split=part), number


@pytest.mark.parametrize(("n", "train", "test"), [(1, 1, 1), (2, 1, 1), (8, 6, 2), (72, 60, 12)])
def test_a_part_of_a_class_keeps_the_proportion_of_its_published_parts(tmp_path, n, train, test):
    for seed in range(5):
        drawn = Listed(root=tmp_path, check_files=False, images_per_class=n, seed=seed).samples()
        for label in "ab":
            parts = Counter(sample.split for sample in drawn if sample.label_name == label)
            assert sum(parts.values()) == n
            assert parts["train"] <= train
            assert parts["test"] <= test


@pytest.mark.parametrize("name", SMALL)
def test_opening_and_reading_an_image_check_nothing(tmp_path, name):
    dataset = small(name, tmp_path, n_images=99, check_files=True)
    assert dataset.image(IDS[name][-1]).dtype == np.uint8
    assert dataset.mask(IDS[name][-1]) is None


@pytest.mark.parametrize("name", SMALL)
def test_an_image_that_is_not_listed_is_named(tmp_path, name):
    with pytest.raises(KeyError, match="has no image 'fox/9'; it was changed after its manifest"):
        small(name, tmp_path).image("fox/9")


@pytest.mark.parametrize("name", SMALL)
def test_a_root_that_is_missing_or_empty_is_named_and_nothing_is_made_in_it(tmp_path, name):
    kind, _, row = SMALL[name]
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/nowhere is no folder; expected "):
        kind(root=tmp_path / "nowhere", **row)
    with pytest.raises((ValueError, FileNotFoundError), match=str(tmp_path)):
        kind(root=tmp_path, **row).samples()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FILES)
def test_an_image_is_its_file_decoded(tmp_path, name):
    dataset = small(name, tmp_path, **({"crop_banner": False} if name == "aircraft" else {}))
    for sample in dataset.samples():
        with Image.open(tmp_path / sample.path) as image:
            np.testing.assert_array_equal(dataset.image(sample.image_id), np.asarray(image))


@pytest.mark.parametrize("name", ["aircraft", "dtd"])  # Caltech-101 has no list of its files
def test_a_listed_file_that_is_missing_is_named_unless_files_are_not_checked(tmp_path, name):
    dataset = small(name, tmp_path)
    path = tmp_path / dataset.samples()[1].path
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"^1 of . files .* among them {path}; unpack"):
        dataset.samples()
    kind, _, row = SMALL[name]
    unchecked = kind(root=tmp_path, **row, check_files=False)
    assert [sample.image_id for sample in unchecked.samples()] == IDS[name]
    with pytest.raises(UnreadableImageError, match="No such file"):
        unchecked.image(IDS[name][1])


# --- CIFAR-100 ---


def test_cifar_pixels_come_from_the_right_part_and_row(tmp_path):
    dataset = small("cifar100", tmp_path)
    for name, n in (("train", 6), ("test", 4)):
        for row, image in enumerate(pixels(n, (n, 32, 32, 3))):
            np.testing.assert_array_equal(dataset.image(f"{name}/fox_s_{row:06d}.png"), image)


@pytest.mark.parametrize("changed", ["train", "test", "meta"])
def test_a_cifar_pickle_that_is_not_the_published_one_is_named(tmp_path, monkeypatch, changed):
    from torchvision.datasets import CIFAR100

    folder = write_cifar(tmp_path) / "cifar-100-python"
    sums = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in
            ("train", "test", "meta")}  # fmt: skip
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", CIFAR100.meta | {"md5": sums["meta"]})
    row = SMALL["cifar100"][2] | {"check_files": True}
    assert len(Cifar100(tmp_path, **row).samples()) == 10
    (folder / changed).write_bytes((folder / changed).read_bytes() + b"x")
    with pytest.raises(ValueError, match=f"{folder}/{changed} is missing or is not the published"):
        Cifar100(tmp_path, **row).samples()
    assert len(Cifar100(tmp_path, **row | {"check_files": False}).samples()) == 10


# --- Caltech-101 ---


def test_the_background_is_a_class_where_the_row_says_so_and_its_stray_file_is_no_image(tmp_path):
    samples = small("caltech101", tmp_path, n_images=10, n_classes=3, background_class=True)
    ids = [sample.image_id for sample in samples.samples()]
    assert ids[:4] == [f"BACKGROUND_Google/image_{i:04d}.jpg" for i in (1, 2, 3, 4)]
    assert ids[4:] == IDS["caltech101"]


def test_a_stray_file_in_a_class_of_caltech_is_no_image(tmp_path):
    dataset = small("caltech101", tmp_path)
    (tmp_path / "caltech101/101_ObjectCategories/fox/Thumbs.db").write_text("no image")
    assert [sample.image_id for sample in dataset.samples()] == IDS["caltech101"]


# --- FGVC-Aircraft ---


def test_the_banner_is_cut_off_unless_the_row_says_that_it_is_gone(tmp_path):
    cut = small("aircraft", tmp_path)
    whole = Aircraft(tmp_path, crop_banner=False, n_images=3, n_classes=2)
    assert cut.image("0000007").shape == (20, 50, 3)
    np.testing.assert_array_equal(cut.image("0000007"), whole.image("0000007")[:20])
    assert whole.image("0000007").shape == (40, 50, 3)


@pytest.mark.parametrize(
    ("crop_banner", "expected"),
    [
        (False, {"0000007": (0, 0, 50, 40), "0000008": (10, 5, 30, 25), "0000009": (0, 0, 50, 40)}),
        (True, {"0000007": (0, 0, 50, 20), "0000008": (10, 5, 30, 20), "0000009": (0, 0, 50, 20)}),
    ],
)
def test_boxes_count_from_0_exclude_their_end_and_are_inside_the_image(
    tmp_path, crop_banner, expected
):
    samples = small("aircraft", tmp_path, crop_banner=crop_banner).samples()
    assert {sample.image_id: sample.box for sample in samples} == expected


def test_an_aircraft_without_a_box_or_with_one_outside_of_its_image_is_named(tmp_path):
    dataset = small("aircraft", tmp_path)
    path = tmp_path / "fgvc-aircraft-2013b/data/images_box.txt"
    path.write_text("0000008 51 1 60 9\n")
    with pytest.raises(ValueError, match="the box .* of image '0000008' is outside of its 50 x 20"):
        dataset.samples()
    path.write_text("0000008 1 1 9 9\n")
    with pytest.raises(ValueError, match="has no box of image '0000007'"):
        dataset.samples()


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("lines", ["", "0000008 DC-3 (old)\n0000007 A380\n"])
def test_training_and_validation_aircraft_must_divide_those_of_both(tmp_path, part, lines):
    dataset = small("aircraft", tmp_path)
    (tmp_path / f"fgvc-aircraft-2013b/data/images_variant_{part}.txt").write_text(lines)
    with pytest.raises(ValueError, match="do not divide the images of images_variant_trainval"):
        dataset.samples()


def test_an_aircraft_that_cannot_be_read_has_no_box_and_stops_nothing(tmp_path):
    dataset = small("aircraft", tmp_path)
    (tmp_path / "fgvc-aircraft-2013b/data/images/0000007.jpg").write_bytes(b"")
    assert [sample.box is None for sample in dataset.samples()] == [False, True, False]


# --- any set of torchvision ---


def test_a_set_of_files_has_their_paths_as_keys(tmp_path):
    write_dtd(tmp_path)
    parts = [{"split": "train"}, {"split": "val"}, {"split": "test"}]
    dataset = TorchvisionDataset(tmp_path, "DTD", parts, n_images=6, n_classes=2)
    samples = dataset.samples()
    assert [sample.image_id for sample in samples] == [f"dtd/dtd/images/{i}" for i in IDS["dtd"]]
    assert [sample.label_name for sample in samples] == CLASSES["dtd"]
    assert [sample.split for sample in samples] == SPLITS["dtd"]
    for sample in samples:
        with Image.open(tmp_path / sample.path) as image:
            np.testing.assert_array_equal(dataset.image(sample.image_id), np.asarray(image))
    (tmp_path / samples[4].path).write_bytes(b"")
    with pytest.raises(UnreadableImageError, match=samples[4].path):
        dataset.image(samples[4].image_id)
    (tmp_path / samples[4].path).unlink()
    with pytest.raises(FileNotFoundError, match=f"1 files .* among them {tmp_path}/dtd"):
        dataset.samples()


def test_a_set_without_files_has_part_and_index_as_keys(tmp_path):
    import scipy.io

    for split, n in (("train", 3), ("test", 2)):
        content = {
            "X": pixels(n, (32, 32, 3, n)),
            "y": np.arange(1, n + 1)[:, None].astype(np.uint8) * 5,  # 10 stands for the digit 0
        }
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", content)
    from torchvision.datasets import SVHN

    parts = [{"split": "train"}, {"split": "test"}]
    with pytest.MonkeyPatch.context() as patch:
        sums = {
            split: [url, file, hashlib.md5((tmp_path / file).read_bytes()).hexdigest()]
            for split, (url, file, _) in SVHN.split_list.items()
            if split in ("train", "test")
        }
        patch.setattr(SVHN, "split_list", sums)
        dataset = TorchvisionDataset(tmp_path, "SVHN", parts)
        ids = [f"train/{i:06d}" for i in range(3)] + ["test/000000", "test/000001"]
        assert [sample.image_id for sample in dataset.samples()] == ids
    assert [sample.label_name for sample in dataset.samples()] == ["5", "0", "15", "5", "0"]
    test = pixels(2, (32, 32, 3, 2))
    np.testing.assert_array_equal(dataset.image("test/000001"), test[..., 1])


def test_grey_images_become_rgb(tmp_path):
    for name in ("fox", "owl"):
        save(tmp_path / f"eurosat/2750/{name}/1.jpg", pixels(0)[..., 0])
    dataset = TorchvisionDataset(tmp_path, "EuroSAT")
    image = dataset.image("eurosat/2750/owl/1.jpg")
    assert image.shape == (40, 50, 3)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (
            [{"split": "test"}, {"split": "val"}, {"split": "train"}],
            ["test", "validation", "train"],
        ),
        ([{"split": "trainval"}, {"split": "test"}], ["train", "test"]),
        ([{"split": "valid"}, {"split": "test"}, {"train": True}], ["validation", "test", "train"]),
        ([{"train": True}, {"train": False}], ["train", "test"]),
        (
            [{"split": "letters", "train": True}, {"split": "letters", "train": False}],
            ["train", "test"],
        ),
        ([{"split": "test", "train": True}, {"split": "train"}], ["", ""]),
        ([{"split": "train"}, {"split": "test"}, {"split": "extra"}], ["", "", ""]),
        ([{"split": "train"}, {"split": "val"}], ["", ""]),
        ([{"train": False}], [""]),
        ([{}], [""]),
    ],
)
def test_the_arguments_of_all_parts_together_tell_the_official_split(parts, expected):
    assert split_names(parts) == expected


def test_an_unknown_set_is_refused_with_the_nearest_name(tmp_path):
    told = "torchvision has no data set 'Food10l'; did you mean 'Food101'"
    with pytest.raises(ValueError, match=told):
        TorchvisionDataset(tmp_path, "Food10l").samples()
    with pytest.raises(ValueError, match=told):
        download("Food10l", [{}], tmp_path)


def test_an_argument_that_a_set_does_not_take_is_named(tmp_path):
    write_dtd(tmp_path)
    with pytest.raises(
        ValueError, match="DTD cannot open .*'split': 'trian'.*Unknown value 'trian"
    ):
        TorchvisionDataset(tmp_path, "DTD", [{"split": "trian"}]).samples()


def test_a_set_whose_labels_are_no_classes_is_refused(tmp_path):
    save(tmp_path / "clevr/CLEVR_v1.0/images/test/1.png", pixels(0))
    dataset = TorchvisionDataset(tmp_path, "CLEVRClassification", [{"split": "test"}])
    with pytest.raises(ValueError, match="CLEVRClassification is no classification set"):
        dataset.samples()


def test_download_asks_torchvision_for_every_part(tmp_path, monkeypatch):
    import torchvision.datasets

    asked = []

    class Recorder:
        def __init__(self, root, download=False, **keywords):
            asked.append((root, download, keywords))

    monkeypatch.setattr(torchvision.datasets, "Food101", Recorder)
    download("Food101", [{"split": "train"}, {"split": "test"}], tmp_path / "new")
    assert asked == [
        (str(tmp_path / "new"), True, {"split": "train"}),
        (str(tmp_path / "new"), True, {"split": "test"}),
    ]
    assert (tmp_path / "new").is_dir()


# --- the root ---


def test_a_root_names_an_environment_variable(tmp_path, monkeypatch):
    write_dtd(tmp_path / "pictures")
    monkeypatch.setenv("PICTURES_HERE", str(tmp_path))
    row = {"kind": "dtd", "root": "${PICTURES_HERE}/pictures", **SMALL["dtd"][2]}
    assert len(open_dataset(**row, folder="elsewhere").samples()) == 6
    monkeypatch.delenv("PICTURES_HERE")
    with pytest.raises(ValueError, match="PICTURES_HERE, which is not set; set it, or write"):
        open_dataset(**row)


def test_the_folder_stands_in_for_a_missing_root(tmp_path):
    write_dtd(tmp_path)
    for root in ({}, {"root": None}):
        dataset = open_dataset("dtd", folder=tmp_path, **root, **SMALL["dtd"][2])
        assert len(dataset.samples()) == 6
    with pytest.raises(ValueError, match="'dtd' has neither root nor archives; set root"):
        open_dataset("dtd", **SMALL["dtd"][2])


def test_a_drawn_kind_takes_no_folder():
    row = {"n_images": 10, "n_classes": 2, "seed": 0}
    for kind in kinds.DRAWN:
        more = {"background_correlation": 0} if kind == "emoji_scenes" else {}
        assert type(open_dataset(kind, folder=None, **row, **more)) is kinds.KINDS[kind]


# --- the real ones ---


@pytest.fixture(scope="module")
def data():
    if "HALFSEEN_DATA" not in os.environ:
        pytest.skip("the environment variable HALFSEEN_DATA names no folder of real images")
    return Path(os.environ["HALFSEEN_DATA"])


def listed(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_real_cifar_has_the_pixels_and_classes_of_its_list(data):
    row = {"n_images": 8000, "n_classes": 100, "check_files": False}
    dataset = Cifar100(data / "cifar100", **row)
    samples = {sample.image_id: sample for sample in dataset.samples()}
    assert len(samples) == 8000
    for part in ("train", "test"):
        for line in listed(data / f"cifar100/{part}_manifest.csv"):
            image_id = f"{part}/{line['filename']}"
            assert samples[image_id].label_name == line["fine"]
            image = dataset.image(image_id)
            planes = (image, np.ascontiguousarray(image.transpose(2, 0, 1)))
            sums = {hashlib.sha256(pixels.tobytes()).hexdigest() for pixels in planes}
            assert line["sha256_pixels"] in sums
    with pytest.raises(ValueError, match="is not the published file"):
        Cifar100(data / "cifar100", **row | {"check_files": True}).samples()


def test_real_caltech_is_what_torchvision_lists(data):
    from torchvision.datasets import Caltech101 as Oracle

    dataset = Caltech101(data / "caltech101", n_images=1617, n_classes=101, check_files=False)
    samples, oracle = dataset.samples(), Oracle(str(data / "caltech101"))
    assert len(samples) == len(oracle)
    classes = [oracle.categories[label] for label in oracle.y]
    assert [sample.label_name for sample in samples] == classes
    for place in range(0, len(samples), 97):
        ours, theirs = dataset.image(samples[place].image_id), oracle[place][0].convert("RGB")
        np.testing.assert_array_equal(ours, np.asarray(theirs))
    both = Caltech101(data / "caltech101", n_images=1633, n_classes=102, background_class=True)
    assert len(both.samples()) == 1633


def test_real_aircraft_have_their_variants_and_boxes(data):
    root = data / "fgvc_aircraft"
    dataset = Aircraft(root, n_images=300, n_classes=20, crop_banner=False)
    samples = {sample.image_id: sample for sample in dataset.samples()}
    lines = listed(root / "manifest.csv")
    assert {line["id"]: line["variant"] for line in lines} == {
        image_id: sample.label_name for image_id, sample in samples.items()
    }
    parts = {"train": "train", "val": "validation", "test": "test"}
    for line in lines:
        assert samples[line["id"]].split == parts[line["official_split"]]
        left, top, right, bottom = samples[line["id"]].box
        width, height = int(line["width"]), int(line["height"])
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert left == max(int(line["box_xmin"]) - 1, 0)
        assert right == min(int(line["box_xmax"]), width)
    assert dataset.image("0045128").shape == (689, 943, 3)


def test_real_dtd_has_every_texture_of_its_list(data):
    samples = Dtd(data / "dtd", n_images=210, n_classes=10).samples()
    lines = {f"{line['class']}/{line['file']}" for line in listed(data / "dtd/manifest.csv")}
    assert {sample.image_id for sample in samples} == lines
    assert all(sample.image_id.startswith(f"{sample.label_name}/") for sample in samples)


def test_torchvision_opens_the_same_images_by_name(data):
    ours = Dtd(data / "dtd", n_images=210, n_classes=10)
    parts = [{"split": split} for split in ("train", "val", "test")]
    theirs = TorchvisionDataset(data / "dtd", "DTD", parts, n_images=210, n_classes=10)
    for one, other in zip(ours.samples(), theirs.samples(), strict=True):
        assert (one.path, one.label_name) == (other.path, other.label_name)
    assert len(open_part("DTD", data / "dtd", split="val")) > 0
