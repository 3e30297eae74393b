"""Masks for other programs: PNG files and COCO's annotations with run-length encoding."""

import json

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from halfseen.files import write_text

# What is told of every annotation beside COCO's own fields, from the table of masks.
ATTRIBUTES = ("prompt", "predicted_iou", "stability", "agreement", "fallback", "passes", "iou")


def run_lengths(mask):
    """COCO's compressed run-length encoding of a mask (h, w) bool, as JSON can hold it."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")}


def write_coco(folder, batches, masks, description):
    """Write `images/ID.png`, `masks/ID.png` (0 and 255) and `annotations.json` below `folder`.

    `batches` are those of `halfseen.shards.read_batches`, `masks` their rows in the table of masks,
    in the same order. The images are the study's crops, to which the masks belong. A category is a
    class, by name; an empty mask has no annotation. Boxes are COCO's: left, top, width, height.
    """
    categories = {name: number for number, name in enumerate(sorted(masks.label_name.unique()), 1)}
    images, annotations, rows = [], [], masks.itertuples()
    for ids, pictures, shapes in batches:
        for image_id, picture, mask in zip(ids, pictures, shapes, strict=True):
            row, name = next(rows), f"{image_id}.png"
            if row.image_id != image_id:
                raise ValueError(
                    f"the mask of image {image_id!r} stands where {row.image_id!r} should"
                )
            _write_png(folder / "images" / name, picture)
            _write_png(folder / "masks" / name, mask.astype(np.uint8) * 255)
            height, width = mask.shape
            about = {"id": len(images) + 1, "file_name": name, "width": width, "height": height}
            images.append(about)
            if mask.any():
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": about["id"],
                        "category_id": categories[row.label_name],
                        "attributes": {key: getattr(row, key) for key in ATTRIBUTES},
                        **_annotation(mask),
                    }
                )
    content = {
        "info": {"description": description},
        "images": images,
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
        "annotations": annotations,
    }
    write_text(folder / "annotations.json", json.dumps(content))


def _annotation(mask):
    encoded = run_lengths(mask)
    return {
        "segmentation": encoded,
        "area": int(mask.sum()),
        "bbox": [float(side) for side in coco_mask.toBbox(encoded)],
        "iscrowd": 0,
    }


def _write_png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
