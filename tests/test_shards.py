import shutil
import time

import h5py
import numpy as np
import pandas as pd
import pytest

from halfseen.shards import (
    PROVENANCE,
    read_batches,
    read_by_image,
    read_column,
    shard_rows,
    write_shard,
)

IDS = [f"s{i:02d}" for i in range(12)]


@pytest.fixture
def content():
    """Twelve grey images with a white square, whose mask is exact, and numbered provenance."""
    images = [np.full((224, 224, 3), i, np.uint8) for i in range(12)]
    for i, image in enumerate(images):
        image[90 : 100 + i, 88:118] = 255
    columns = {
        name: [i * 0.125 if isinstance(dtype, str) else f"{name} {i}" for i in range(12)]
        for name, dtype in PROVENANCE.items()
    }
    masks = [image[..., 0] == 255 for image in images]
    return columns | {"images": images, "masks": masks, "exact_masks": masks, "image_ids": IDS}


@pytest.fixture
def shard(content, tmp_path):
    path = tmp_path / "0.h5"
    write_shard(path, content, "k")
    return path


def test_images_masks_and_ids_come_back_aligned(shard):
    batches = list(read_batches([shard], IDS, batch_size=5))
    assert [len(ids) for ids, _, _ in batches] == [5, 5, 2]
    assert np.concatenate([ids for ids, _, _ in batches]).tolist() == IDS
    for ids, images, masks in batches:
        assert images.shape[1:] == (224, 224, 3)
        assert images[:, 0, 0, 0].tolist() == [int(image_id[1:]) for image_id in ids]
        assert np.array_equal(masks, images[..., 0] == 255)


def test_provenance_comes_back(shard, content):
    for name, dtype in PROVENANCE.items():
        expected = np.array(content[name], dtype=dtype if isinstance(dtype, str) else object)
        assert read_column(shard, name).tolist() == expected.tolist()


def test_exact_masks_come_back(shard, content):
    assert np.array_equal(read_column(shard, "exact_masks"), np.stack(content["exact_masks"]))
    assert read_column(shard, "has_exact_mask").tolist() == [True] * 12


@pytest.mark.parametrize("exact", [[None] * 12, None])
def test_a_shard_without_exact_masks_has_no_such_column(content, exact, tmp_path):
    if exact is None:
        del content["exact_masks"]
    else:
        content["exact_masks"] = exact
    write_shard(tmp_path / "0.h5", content)
    assert read_column(tmp_path / "0.h5", "exact_masks") is None
    assert read_column(tmp_path / "0.h5", "has_exact_mask") is None


def test_exact_masks_of_some_images_say_of_which(content, tmp_path):
    content["exact_masks"] = [None if i in (0, 7) else content["masks"][i] for i in range(12)]
    write_shard(tmp_path / "0.h5", content)
    known = read_column(tmp_path / "0.h5", "has_exact_mask")
    assert np.flatnonzero(~known).tolist() == [0, 7]
    exact = read_column(tmp_path / "0.h5", "exact_masks")
    assert np.array_equal(exact[known], np.stack(content["masks"])[known])
    assert not exact[~known].any()


def test_shards_share_out_every_row_once():
    manifest = pd.DataFrame({"image_id": IDS})
    parts = [shard_rows(manifest, shard, 5).image_id.tolist() for shard in range(5)]
    assert sorted(sum(parts, [])) == IDS
    assert {len(part) for part in parts} == {2, 3}


def test_a_shard_that_no_image_is_left_for_is_refused_with_the_remedy():
    manifest = pd.DataFrame({"image_id": IDS})
    assert shard_rows(manifest, 11, 13).image_id.tolist() == IDS[11:]
    with pytest.raises(ValueError, match="shard 12 of 13 .* has 12 images; lower `shards:` .* 12 "):
        shard_rows(manifest, 12, 13)


def part(content, rows):
    """What a shard of only some of the images holds."""
    return {name: [values[row] for row in rows] for name, values in content.items()}


def test_batches_follow_the_order_asked_for_over_all_shards(shard, content, tmp_path):
    paths = [tmp_path / f"part_{number}.h5" for number in range(3)]
    for number, path in enumerate(paths):
        write_shard(path, part(content, range(number, 12, 3)))
    wanted = [f"s{i:02d}" for i in (11, 0, 5, 6, 4, 2, 9)]
    one, three = (list(read_batches(where, wanted, 3)) for where in ([shard], paths))
    assert [ids.tolist() for ids, _, _ in three] == [wanted[:3], wanted[3:6], wanted[6:]]
    assert [images[0, 0, 0, 0] for _, images, _ in three] == [11, 6, 9]
    for batch, same in zip(one, three, strict=True):
        assert all(map(np.array_equal, batch, same))


def test_an_image_that_no_shard_holds_is_named(shard):
    with pytest.raises(ValueError, match="no shard holds the image 's99'"):
        list(read_batches([shard], ["s01", "s99"], 5))


def test_digests_follow_each_image_and_each_mask(shard, content, tmp_path):
    other = tmp_path / "other.h5"
    content["masks"] = [*content["masks"][:3], ~content["masks"][3], *content["masks"][4:]]
    write_shard(other, content, "k")
    assert read_by_image([shard], "image_digests") == read_by_image([other], "image_digests")
    ours, theirs = (read_by_image([path], "mask_digests") for path in (shard, other))
    assert [image_id for image_id in ours if ours[image_id] != theirs[image_id]] == ["s03"]
    assert len(set(read_by_image([shard], "image_digests").values())) == 12


def test_an_image_in_two_shards_is_refused(shard, tmp_path):
    copy = shutil.copy(shard, tmp_path / "copy.h5")
    with pytest.raises(ValueError, match="image 's00' stands twice in the shards, again in .*copy"):
        read_by_image([shard, copy], "mask_digests")


def test_masks_are_stored_as_bits(shard):
    with h5py.File(shard) as file:
        assert file["masks"].shape == (12, 224, 28)


def test_the_same_content_gives_the_same_bytes_at_another_time(shard, content, tmp_path):
    time.sleep(1.1)  # HDF5 counts its timestamps in seconds
    write_shard(tmp_path / "later.h5", content, "k")
    assert (tmp_path / "later.h5").read_bytes() == shard.read_bytes()
