"""Shards: 224 x 224 images with the mask of the target object and where each mask comes from."""

import hashlib
import json

import h5py
import numpy as np

from halfseen.files import atomic_path

# What is recorded of every mask, with its dtype in the shard.
PROVENANCE = {
    "prompt": h5py.string_dtype(),
    "query": h5py.string_dtype(),
    "mask_index": "int8",
    "score": "float32",
    "predicted_iou": "float32",
    "stability": "float32",
    "area": "float32",
    "components": "int32",
    "border_contact": "float32",
    "cleaned": "float32",
    "agreement": "float32",
    "fallback": h5py.string_dtype(),
}


def shard_rows(manifest, shard, n_shards):
    """The manifest's rows of one shard: every `n_shards`-th, so that shards take equally long."""
    return manifest.iloc[shard::n_shards].reset_index(drop=True)


def write_shard(path, shard, attributes):
    """Write a shard as HDF5: images chunked by image, masks packed to bits, provenance as columns.

    `exact_masks`, a list with None where an image has none, may be left out; `has_exact_mask`
    tells which are there. `attributes` (builtins) say how the shard was made and are kept as JSON.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        images, masks = np.stack(shard["images"]), np.packbits(np.stack(shard["masks"]), axis=-1)
        file.create_dataset("images", data=images, chunks=(1, *images.shape[1:]), compression="lzf")
        file["masks"] = masks
        known = [mask is not None for mask in shard.get("exact_masks", [])]
        if any(known):
            blank = np.zeros(masks.shape[1:], np.uint8)
            file["exact_masks"] = np.stack(
                [
                    blank if mask is None else np.packbits(mask, axis=-1)
                    for mask in shard["exact_masks"]
                ]
            )
            file["has_exact_mask"] = np.array(known)
        file.create_dataset("image_ids", data=shard["image_ids"], dtype=h5py.string_dtype())
        for name, dtype in PROVENANCE.items():
            file.create_dataset(f"provenance/{name}", data=shard[name], dtype=dtype)
        digests = {"images_digest": _digest(images), "masks_digest": _digest(masks)}
        file.attrs["made_by"] = json.dumps(attributes | digests, sort_keys=True)


def made_by(path):
    """How a shard was made: the attributes of `write_shard`, `images_digest`, `masks_digest`."""
    with h5py.File(path) as file:
        return json.loads(file.attrs["made_by"])


def read_column(path, name):
    """One column of a shard: `image_ids`, a name of `PROVENANCE`, `masks` or `exact_masks` as bool.

    None for `exact_masks` and `has_exact_mask` where no image of the shard has one.
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


def read_batches(paths, batch_size):
    """Batches of all shards in turn: image_ids, images (b, 224, 224, 3), masks (b, 224, 224)."""
    for path in paths:
        with h5py.File(path) as file:
            ids = file["image_ids"].asstr()[:]
            for start in range(0, len(ids), batch_size):
                rows = slice(start, start + batch_size)
                masks = np.unpackbits(file["masks"][rows], axis=-1).astype(bool)
                yield ids[rows], file["images"][rows], masks


def _digest(array):
    return hashlib.sha256(array.tobytes()).hexdigest()
