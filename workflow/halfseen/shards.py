"""Shards: 224 x 224 images with the mask of the target object and where each mask comes from."""

import hashlib

import h5py
import numpy as np

from halfseen.files import atomic_path
from halfseen.study.records import OtherKeyError

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
    """The manifest's rows of one shard: every `n_shards`-th, so that shards take equally long.

    Raises ValueError for a shard that no image is left for.
    """
    if shard >= len(manifest):
        raise ValueError(
            f"shard {shard} of {n_shards} shards would be empty: the data set has {len(manifest)} "
            f"images; lower `shards:` of its row to {len(manifest)} or less"
        )
    return manifest.iloc[shard::n_shards].reset_index(drop=True)


def write_shard(path, shard, key=""):
    """Write a shard as HDF5: images chunked by image, masks packed to bits, provenance as columns.

    `exact_masks`, a list with None where an image has none, may be left out; `has_exact_mask`
    tells which are there. `key` says what the shard was made from. The columns `image_digests` and
    `mask_digests` tell of every image whether it is still the same.
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
        for name, arrays in {"image_digests": images, "mask_digests": masks}.items():
            digests = [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays]
            file.create_dataset(name, data=digests, dtype=h5py.string_dtype())
        file.attrs["key"] = key


def require_keys(keys):
    """Raise OtherKeyError unless each shard of `keys` {path: key} has that key."""
    for path, key in keys.items():
        with h5py.File(path) as file:
            if (found := file.attrs.get("key")) != key:
                raise OtherKeyError(
                    f"{path} was made from other parameters: its key is {found}, {key} is "
                    f"expected; remove it and run again"
                )


def read_column(path, name):
    """One column of a shard: ids, digests, a name of `PROVENANCE`, masks or exact masks as bool.

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
