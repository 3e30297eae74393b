"""Shards: 224 x 224 images with the mask of the target object and where each mask comes from."""

import hashlib
import json

import h5py
import numpy as np

from halfseen.files import atomic_path
from halfseen.geometry import SIZE_PX, crop_box, resize_and_crop, resize_and_crop_mask
from halfseen.masks import choose_mask, mask_shape, stability_score
from halfseen.progress import progress_bar
from halfseen.prompts import PROMPTS

# What is recorded of every mask, with its dtype in the shard.
PROVENANCE = {
    "prompt": h5py.string_dtype(),
    "mask_index": "int8",
    "predicted_iou": "float32",
    "stability": "float32",
    "area": "float32",
    "components": "int32",
    "border_contact": "float32",
    "fallback": h5py.string_dtype(),
}


def shard_rows(manifest, shard, n_shards):
    """The manifest's rows of one shard: every `n_shards`-th, so that shards take equally long."""
    return manifest.iloc[shard::n_shards].reset_index(drop=True)


def segment_images(dataset, rows, segmenter, prompt, batch_size, what):
    """Crop and segment the images of `rows` of a manifest: a dict of arrays for `write_shard`.

    `images` (n, 224, 224, 3) uint8; `masks` and, where the data set has them, `exact_masks` (n,
    224, 224) bool; `image_ids`; and the columns of `PROVENANCE`.
    """
    parts = []
    with progress_bar(len(rows), what) as progress:
        for start in range(0, len(rows), batch_size):
            batch = rows.iloc[start : start + batch_size]
            parts += _segment_batch(dataset, batch, segmenter, PROMPTS[prompt])
            progress.update(len(batch))
    shard = {name: [part[name] for part in parts] for name in parts[0]}
    exact = [mask is not None for mask in shard["exact_masks"]]
    if any(exact) and not all(exact):
        lacking = shard["image_ids"][exact.index(False)]
        raise ValueError(
            f"image {lacking!r} has no exact mask but others have; give one for every image or none"
        )
    if not any(exact):
        del shard["exact_masks"]
    return shard


def write_shard(path, shard, attributes):
    """Write a shard as HDF5: images chunked by image, masks packed to bits, provenance as columns.

    `attributes` (builtins) say how the shard was made and are kept as JSON. The columns
    `image_digests` and `mask_digests` tell of every image whether it is still the same.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        images, masks = np.stack(shard["images"]), np.packbits(np.stack(shard["masks"]), axis=-1)
        file.create_dataset("images", data=images, chunks=(1, *images.shape[1:]), compression="lzf")
        file["masks"] = masks
        if "exact_masks" in shard:
            file["exact_masks"] = np.packbits(np.stack(shard["exact_masks"]), axis=-1)
        file.create_dataset("image_ids", data=shard["image_ids"], dtype=h5py.string_dtype())
        for name, dtype in PROVENANCE.items():
            file.create_dataset(f"provenance/{name}", data=shard[name], dtype=dtype)
        for name, arrays in {"image_digests": images, "mask_digests": masks}.items():
            digests = [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays]
            file.create_dataset(name, data=digests, dtype=h5py.string_dtype())
        file.attrs["made_by"] = json.dumps(attributes, sort_keys=True)


def made_by(path):
    """How a shard was made: the attributes of `write_shard`."""
    with h5py.File(path) as file:
        return json.loads(file.attrs["made_by"])


def read_column(path, name):
    """One column of a shard: ids, digests, a name of `PROVENANCE`, masks or exact masks as bool.

    None for `exact_masks` where the data set has none.
    """
    with h5py.File(path) as file:
        if name in PROVENANCE:
            column = file[f"provenance/{name}"]
        elif name in file:
            column = file[name]
        else:
            return None
        if name in ("masks", "exact_masks"):
            return np.unpackbits(column[:], axis=-1).astype(bool)
        return column.asstr()[:] if h5py.check_string_dtype(column.dtype) else column[:]


def read_by_image(paths, name):
    """{image_id: value} of one column of all shards; ValueError for an image that stands twice."""
    values = {}
    for path in paths:
        ids = read_column(path, "image_ids")
        if twice := values.keys() & set(ids):
            raise ValueError(f"image {min(twice)!r} stands twice in the shards, again in {path}")
        values |= zip(ids, read_column(path, name), strict=True)
    return values


def read_batches(paths, image_ids, batch_size):
    """Batches of `image_ids`, in their order: ids, images (b, 224, 224, 3), masks (b, 224, 224).

    So the batches do not depend on how many shards the images are split over. Holds one batch, and
    of the shards no more than the ids. Raises ValueError for an image that no shard holds.
    """
    places = {}
    for path in paths:
        ids = read_column(path, "image_ids")
        places |= {image_id: (path, row) for row, image_id in enumerate(ids)}
    for start in range(0, len(image_ids), batch_size):
        ids = np.asarray(image_ids[start : start + batch_size], dtype=object)
        if unknown := [image_id for image_id in ids if image_id not in places]:
            raise ValueError(f"no shard holds the image {unknown[0]!r}")
        yield ids, *_read_images([places[image_id] for image_id in ids])


def _read_images(places):
    images, masks = [None] * len(places), [None] * len(places)
    # Only the files of this batch are open: a data set may have more shards than a process files.
    for path in {path for path, _ in places}:
        with h5py.File(path) as file:
            for position, (where, row) in enumerate(places):
                if where == path:
                    images[position], masks[position] = file["images"][row], file["masks"][row]
    return np.stack(images), np.unpackbits(np.stack(masks), axis=-1).astype(bool)


def _segment_batch(dataset, batch, segmenter, prompt_for):
    sources = [dataset.image(image_id) for image_id in batch.image_id]
    images = np.stack([resize_and_crop(source) for source in sources])
    boxes = [
        None
        if np.isnan(row.left)
        else crop_box((row.left, row.top, row.right, row.bottom), *source.shape[:2])
        for row, source in zip(batch.itertuples(), sources, strict=True)
    ]
    prompts, fallbacks = zip(*(prompt_for(box, SIZE_PX) for box in boxes), strict=True)
    logits, predicted_iou = segmenter.candidates(images, prompts)
    return [
        {"image_ids": image_id, "images": image, "exact_masks": _exact_mask(dataset, image_id)}
        | _chosen_mask(*candidates)
        for image_id, image, *candidates in zip(
            batch.image_id, images, prompts, fallbacks, logits, predicted_iou, strict=True
        )
    ]


def _chosen_mask(prompt, fallback, logits, predicted_iou):
    mask, index, reason = choose_mask(logits > 0, predicted_iou, fallback)
    return {
        "masks": mask,
        "prompt": json.dumps(prompt),
        "mask_index": index,
        "predicted_iou": predicted_iou[index] if index >= 0 else 0.0,
        "stability": stability_score(logits[index]) if index >= 0 else 0.0,
        "fallback": reason,
    } | mask_shape(mask)


def _exact_mask(dataset, image_id):
    mask = dataset.mask(image_id)
    return None if mask is None else resize_and_crop_mask(mask)
