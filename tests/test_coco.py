import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from halfseen.coco import ATTRIBUTES, run_lengths, write_coco

IDS = ["0045128", "cat/one.jpg", "cat/two.png"]


@pytest.fixture
def rng():
    return np.random.default_rng(4)


@pytest.fixture
def shown(rng):
    """Images and masks (3, 7, 9) of `IDS`; the last mask is empty."""
    images = rng.integers(0, 256, (3, 7, 9, 3), dtype=np.uint8)
    masks = rng.random((3, 7, 9)) < 0.4
    masks[2] = False
    masks[1] = False
    masks[1, 2:5, 3:8] = True
    return images, masks


@pytest.fixture
def table():
    columns = dict.fromkeys(ATTRIBUTES, "")
    return pd.DataFrame({"image_id": IDS, "label_name": ["zebra", "cat", "cat"]} | columns).assign(
        predicted_iou=[0.9, 0.5, 0.0], passes=[1, 0, 0], fallback=["", "", "empty for box: gone"]
    )


@pytest.fixture
def written(shown, table, tmp_path):
    images, masks = shown
    batches = [(IDS[:2], images[:2], masks[:2]), (IDS[2:], images[2:], masks[2:])]
    write_coco(tmp_path, batches, table, "Pets")
    return tmp_path


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 1])
def test_decoding_gives_the_mask_back_and_json_holds_it(share, rng):
    mask = rng.random((31, 17)) < share
    encoded = json.loads(json.dumps(run_lengths(mask)))
    assert encoded["size"] == [31, 17]
    assert np.array_equal(coco_mask.decode(encoded), mask)


def test_pycocotools_reads_the_annotations_and_gives_every_mask_back(written, shown):
    coco = COCO(written / "annotations.json")
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == [
        f"{image_id}.png" for image_id in IDS
    ]
    assert [one["name"] for one in coco.loadCats(coco.getCatIds())] == ["cat", "zebra"]
    for image_id, mask in zip(coco.getImgIds(), shown[1], strict=True):
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
        assert len(annotations) == mask.any()
        for one in annotations:
            assert np.array_equal(coco.annToMask(one), mask)
            assert one["area"] == mask.sum()
    (second,) = coco.loadAnns(coco.getAnnIds(imgIds=[2]))
    assert second["bbox"] == [3, 2, 5, 3]
    assert coco.loadCats([second["category_id"]])[0]["name"] == "cat"
    assert second["attributes"]["predicted_iou"] == 0.5
    (first,) = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert coco.loadCats([first["category_id"]])[0]["name"] == "zebra"
    assert first["attributes"]["passes"] == 1


def test_the_png_files_hold_crops_and_masks(written, shown):
    for image_id, image, mask in zip(IDS, *shown, strict=True):
        with Image.open(written / "images" / f"{image_id}.png") as file:
            assert np.array_equal(np.asarray(file), image)
        with Image.open(written / "masks" / f"{image_id}.png") as file:
            assert np.array_equal(np.asarray(file), mask * 255)


def test_a_mask_of_another_image_is_refused(shown, table, tmp_path):
    images, masks = shown
    with pytest.raises(ValueError, match="the mask of image 'cat/one.jpg' stands where '0045128'"):
        write_coco(tmp_path, [(IDS[1:2], images[1:2], masks[1:2])], table, "Pets")
