import json
import shutil

import h5py
import numpy as np
import pytest

from halfseen.datasets.dataset import Sample
from halfseen.manifest import build_manifest
from halfseen.shards import (
    made_by,
    read_batches,
    read_by_image,
    read_column,
    segment_images,
    shard_rows,
    write_shard,
)


class Squares:
    """Twelve grey 224 x 448 images with a white square in their middle, wider than the crop."""

    def __init__(self, exact=lambda image_id: True):
        self.exact = exact

    def samples(self):
        return [
            Sample(f"s{i:02d}", "-", "ab"[i % 2], f"g{i}", (200, 90, 230, 120)) for i in range(12)
        ]

    def image(self, image_id):
        image = np.full((224, 448, 3), int(image_id[1:]), np.uint8)
        image[90:120, 200:230] = 255
        return image

    def mask(self, image_id):
        return self.image(image_id)[..., 0] == 255 if self.exact(image_id) else None


class Boxes:
    """A segmenter whose first candidate is the box, the second everything, the third nothing."""

    def candidates(self, images, prompts):
        logits = np.full((len(images), 3, *images.shape[1:3]), -5.0, np.float32)
        for one, prompt in zip(logits, prompts, strict=True):
            left, top, right, bottom = map(int, prompt["box"])
            one[0, top:bottom, left:right] = 5
            one[1] = 5
        return logits, np.tile(np.float32([0.8, 0.99, 0.9]), (len(images), 1))


@pytest.fixture
def manifest():
    return build_manifest(Squares().samples(), 2, np.random.default_rng(0))


@pytest.fixture
def shard(manifest, tmp_path):
    path = tmp_path / "0.h5"
    content = segment_images(Squares(), manifest, Boxes(), "box", batch_size=5, what="squares")
    write_shard(path, content, {"prompt": "box"})
    return path


def test_images_masks_and_ids_come_back_aligned(shard, manifest):
    batches = list(read_batches([shard], manifest.image_id.tolist(), batch_size=5))
    assert [len(ids) for ids, _, _ in batches] == [5, 5, 2]
    assert np.concatenate([ids for ids, _, _ in batches]).tolist() == manifest.image_id.tolist()
    for ids, images, masks in batches:
        assert images.shape[1:] == (224, 224, 3)
        assert images[:, 0, 0, 0].tolist() == [int(image_id[1:]) for image_id in ids]
        # The mask is exactly the white square, moved by the centre crop along with the image.
        assert np.array_equal(masks, images[..., 0] == 255)
        assert masks[0].sum() == 30 * 30


def test_the_mask_of_everything_is_refused_although_sam_scores_it_best(shard):
    assert set(read_column(shard, "mask_index")) == {0}
    assert set(read_column(shard, "predicted_iou")) == {np.float32(0.8)}
    assert set(read_column(shard, "fallback")) == {""}


def test_provenance_describes_each_mask(shard):
    assert read_column(shard, "area") == pytest.approx([900 / 224**2] * 12)
    assert set(read_column(shard, "components")) == {1}
    assert set(read_column(shard, "border_contact")) == {0}
    assert set(read_column(shard, "stability")) == {1}
    assert json.loads(read_column(shard, "prompt")[0]) == {"box": [88.0, 90.0, 118.0, 120.0]}


def test_exact_masks_take_the_same_way_as_the_images(shard):
    assert np.array_equal(read_column(shard, "exact_masks"), read_column(shard, "masks"))


def test_a_data_set_without_exact_masks_has_no_such_column(manifest, tmp_path):
    dataset = Squares(exact=lambda image_id: False)
    content = segment_images(dataset, manifest, Boxes(), "box", 4, "squares")
    write_shard(tmp_path / "0.h5", content, {})
    assert read_column(tmp_path / "0.h5", "exact_masks") is None


def test_exact_masks_for_some_images_only_are_an_error(manifest):
    dataset = Squares(exact=lambda image_id: image_id != "s07")
    with pytest.raises(ValueError, match="image 's07' has no exact mask but others have"):
        segment_images(dataset, manifest, Boxes(), "box", 4, "squares")


def test_shards_share_out_every_row_once(manifest):
    parts = [shard_rows(manifest, shard, 5).image_id.tolist() for shard in range(5)]
    assert sorted(sum(parts, [])) == sorted(manifest.image_id)
    assert {len(part) for part in parts} == {2, 3}


def test_batches_follow_the_order_asked_for_over_all_shards(shard, manifest, tmp_path):
    paths = []
    for number in range(3):
        rows = shard_rows(manifest, number, 3)
        content = segment_images(Squares(), rows, Boxes(), "box", 4, "squares")
        paths.append(tmp_path / f"part_{number}.h5")
        write_shard(paths[-1], content, {})
    wanted = [f"s{i:02d}" for i in (11, 0, 5, 6, 4, 2, 9)]
    one, three = (list(read_batches(where, wanted, 3)) for where in ([shard], paths))
    assert [ids.tolist() for ids, _, _ in three] == [wanted[:3], wanted[3:6], wanted[6:]]
    assert [images[0, 0, 0, 0] for _, images, _ in three] == [11, 6, 9]
    for batch, same in zip(one, three, strict=True):
        assert all(map(np.array_equal, batch, same))


def test_an_image_that_no_shard_holds_is_named(shard):
    with pytest.raises(ValueError, match="no shard holds the image 's99'"):
        list(read_batches([shard], ["s01", "s99"], 5))


def test_digests_follow_each_image_and_each_mask(shard, manifest, tmp_path):
    other = tmp_path / "other.h5"
    content = segment_images(Squares(), manifest, Boxes(), "box", 4, "squares")
    changed = content["image_ids"][3]
    content["masks"][3] = ~content["masks"][3]
    write_shard(other, content, {"prompt": "box"})
    assert made_by(shard) == {"prompt": "box"}
    assert read_by_image([shard], "image_digests") == read_by_image([other], "image_digests")
    ours, theirs = (read_by_image([path], "mask_digests") for path in (shard, other))
    assert [image_id for image_id in ours if ours[image_id] != theirs[image_id]] == [changed]
    assert len(set(read_by_image([shard], "image_digests").values())) == 12


def test_an_image_in_two_shards_is_refused(shard, tmp_path):
    copy = shutil.copy(shard, tmp_path / "copy.h5")
    with pytest.raises(ValueError, match="image 's00' stands twice in the shards, again in .*copy"):
        read_by_image([shard, copy], "mask_digests")


def test_masks_are_stored_as_bits(shard):
    with h5py.File(shard) as file:
        assert file["masks"].shape == (12, 224, 28)
