from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from halfseen.datasets.caltech101 import Caltech101
from halfseen.datasets.folder import Folder
from halfseen.screening import BAD_IMAGES, NEAR_DUPLICATES, screen


def photograph(seed, height=120, width=160):
    rng = np.random.default_rng(seed)
    grey = gaussian_filter(rng.normal(size=(height, width)), 3)
    grey = np.clip(128 + 50 * grey / grey.std(), 0, 255)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95)


@pytest.fixture
def root(tmp_path):
    """Ten photographs of two classes; owl/0 is a copy of fox/3 and owl/1 of owl/0."""
    for number in range(5):
        save(tmp_path / f"fox/{number}.jpg", photograph(number))
        same = 3 if number < 2 else 10 + number
        save(tmp_path / f"owl/{number}.jpg", photograph(same))
    return tmp_path


def spoil(root):
    """Make three images bad, each in another way."""
    (root / "fox/1.jpg").write_bytes(b"")
    (root / "fox/2.jpg").write_bytes(b"<html>404</html>")
    whole = (root / "owl/4.jpg").read_bytes()
    (root / "owl/4.jpg").write_bytes(whole[:-200])  # its header is whole


def screened(root, **keywords):
    return screen(Folder(root), "images", n_threads=2, **keywords)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_images_that_cannot_be_decoded_stop_the_run_with_number_reasons_and_remedy(root, n_threads):
    spoil(root)
    told = (
        r"^3 of 10 images cannot be decoded: fox/1.jpg \(cannot identify .*\), fox/2.jpg "
        r"\(cannot identify .*\), owl/4.jpg \(image file is truncated.*\); mend .*on_bad_image"
    )
    with pytest.raises(ValueError, match=told):
        screen(Folder(root), "images", n_threads, on_bad_image="fail")


def test_only_the_first_bad_images_are_named(root):
    for path in root.glob("*/*.jpg"):
        if path.name != "4.jpg":
            path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"^8 of 10 .*owl/0.jpg \([^)]*\) \.\.\.; mend") as told:
        screened(root, on_bad_image="fail")
    assert "owl/1.jpg" not in str(told.value)


@pytest.mark.parametrize("duplicates", [False, True])
def test_skipped_images_are_listed_with_their_reason_and_no_longer_samples(root, duplicates):
    everything = [sample.image_id for sample in Folder(root).samples()]
    spoil(root)
    found = screened(root, on_bad_image="skip", duplicates=duplicates)
    bad = ["fox/1.jpg", "fox/2.jpg", "owl/4.jpg"]
    assert list(found.bad_images) == BAD_IMAGES
    assert found.bad_images.image_id.tolist() == bad
    assert "truncated" in found.bad_images.reason[2]
    left = [image_id for image_id in everything if image_id not in bad]
    assert [sample.image_id for sample in found.samples] == left


def test_a_data_set_without_a_single_good_image_is_refused(root):
    for path in root.glob("*/*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="none of the 10 images can be decoded: fox/0.jpg"):
        screened(root, on_bad_image="skip")


def test_a_fault_of_the_program_is_no_bad_image(root):
    class Faulty(Folder):
        def image(self, image_id):
            raise ZeroDivisionError(image_id)

    with pytest.raises(ZeroDivisionError):
        screen(Faulty(root), "images", 2, on_bad_image="skip")


def test_near_duplicates_share_a_group_across_classes_and_bad_images_between_them(root):
    (root / "fox/1.jpg").write_bytes(b"")
    found = screened(root, on_bad_image="skip", duplicates=True)
    assert list(found.near_duplicates) == NEAR_DUPLICATES
    pairs = found.near_duplicates[["image_id_a", "image_id_b"]].to_numpy().tolist()
    assert pairs == [
        ["fox/3.jpg", "owl/0.jpg"],
        ["fox/3.jpg", "owl/1.jpg"],
        ["owl/0.jpg", "owl/1.jpg"],
    ]
    assert set(found.near_duplicates.found_by) == {"whole"}
    groups = {sample.image_id: sample.group for sample in found.samples}
    assert {groups.pop(name) for name in ("fox/3.jpg", "owl/0.jpg", "owl/1.jpg")} == {"fox/3.jpg"}
    assert all(group == image_id for image_id, group in groups.items())


def test_groups_of_the_data_set_s_own_are_kept_and_joined_as_a_whole(root):
    class Grouped(Folder):
        def samples(self):
            number = {"0": "even", "2": "even", "4": "even"}
            return [
                replace(one, group=number.get(one.image_id[4], one.image_id))
                for one in super().samples()
            ]

    found = screen(Grouped(root), "images", 2, on_bad_image="fail", duplicates=True)
    groups = {sample.image_id: sample.group for sample in found.samples}
    joined = {image_id for image_id, group in groups.items() if group == "even"}
    even = {f"{name}/{number}.jpg" for name in ("fox", "owl") for number in (0, 2, 4)}
    assert joined == even | {"fox/3.jpg", "owl/1.jpg"}  # owl/0, fox/3 and owl/1 are one photograph
    assert len(set(groups.values())) == 3


def test_a_sample_keeps_all_but_its_group(root):
    class Divided(Folder):
        def samples(self):
            parts = ("train", "validation", "test")
            samples = enumerate(super().samples())
            return [replace(one, split=parts[n % 3], box=(0, 0, n, n)) for n, one in samples]

    before = Divided(root).samples()
    after = screen(Divided(root), "images", 1, on_bad_image="fail", duplicates=True).samples
    assert len({sample.group for sample in after}) < len(after)
    assert [replace(one, group="") for one in after] == [replace(one, group="") for one in before]


def test_near_duplicates_are_left_alone_where_the_row_says_so(root):
    found = screened(root, on_bad_image="fail", duplicates=False)
    assert found.samples == Folder(root).samples()
    assert found.near_duplicates.empty


def test_no_image_is_read_where_no_rule_for_bad_ones_is_given(root, monkeypatch):
    monkeypatch.setattr(Folder, "image", None)
    found = screened(root)
    assert found.samples == Folder(root).samples()
    assert (list(found.bad_images), list(found.near_duplicates)) == (BAD_IMAGES, NEAR_DUPLICATES)


def test_a_crop_joins_the_group_of_its_photograph_unless_one_of_them_is_bad(tmp_path):
    images = tmp_path / "caltech101/101_ObjectCategories"
    (images / "BACKGROUND_Google").mkdir(parents=True)
    for number in range(4):
        whole = photograph(number, 200, 300)
        save(images / f"Faces/image_{number:04d}.jpg", whole)
        left = 20 * number
        save(images / f"Faces_easy/image_{3 - number:04d}.jpg", whole[20:180, left : left + 120])
    (images / "Faces/image_0001.jpg").write_bytes(b"")
    (images / "Faces_easy/image_0000.jpg").write_bytes(b"")
    dataset = Caltech101(tmp_path, n_images=8, n_classes=2)
    crops_of = {"Faces_easy": "Faces"}
    found = screen(dataset, "images", 1, "skip", duplicates=True, crops_of=crops_of)
    rows = found.near_duplicates
    assert rows[["image_id_a", "image_id_b", "found_by", "distance"]].to_numpy().tolist() == [
        ["Faces/image_0002.jpg", "Faces_easy/image_0001.jpg", "crop", ""],
        ["Faces/image_0000.jpg", "Faces_easy/image_0003.jpg", "crop", ""],
    ]
    assert (rows.correlation > 0.85).all()
    groups = [sample.group for sample in found.samples]
    assert len(found.samples) == 6
    assert len(set(groups)) == 4
    without = screen(dataset, "images", 1, "skip", duplicates=True, crops_of={})
    assert without.near_duplicates.empty
