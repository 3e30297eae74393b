"""Every variant of every image through one encoder, each variant under a content key."""

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import torch

from halfseen.digests import content_digest
from halfseen.files import atomic_path
from halfseen.progress import progress_bar
from halfseen.shards import made_by, read_batches
from halfseen.variants import MASKED, compose, visible_pixels


def feature_inputs(shards, manifest, model, seed, code):
    """Everything but the variant that representations depend on, as builtins for `variant_key`.

    `model` is the row with its weights' `sha256`; the path of the file does not count.
    """
    return {
        "images": [made_by(shard)["images_digest"] for shard in shards],
        "masks": [made_by(shard)["masks_digest"] for shard in shards],
        "image_ids": hashlib.sha256("\n".join(manifest.image_id).encode()).hexdigest(),
        "labels": content_digest(manifest.label.tolist()),
        "model": {key: value for key, value in model.items() if key != "weights"},
        "seed": seed,
        "dtype": "float32",
        "code": code,
    }


def variant_key(inputs, variant):
    """Content key of one variant's group: changes with anything that could change its features.

    Variants that do not look at the object's mask do not depend on the masks.
    """
    used = (
        inputs if variant["keep"] in MASKED else {k: v for k, v in inputs.items() if k != "masks"}
    )
    return content_digest({**used, "variant": variant})


def update_features(path, shards, manifest, variants, inputs, load, batch_size, what):
    """Write the representations of all `variants` (name -> row), computing only what is missing.

    Groups of the file that is there already whose key still holds are kept, those of other variants
    too. `load()` gives the encoder and is called only when something is to be computed. Each group
    holds `features` (n, d) float32, `image_ids` and `labels`, in the manifest's order. Raises
    ValueError for non-finite features and for shards that do not hold the manifest's images.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        kept = _copy_valid_groups(path, file, inputs, variants)
        missing = {name: row for name, row in variants.items() if name not in kept}
        print(
            f"{what}: kept {sorted(kept) or 'no variant'}, computing {sorted(missing) or 'none'}",
            flush=True,
        )
        if missing:
            _encode_shards(file, shards, manifest, missing, load(), batch_size, what)
        for name, row in missing.items():
            file[name].create_dataset(
                "image_ids", data=manifest.image_id.tolist(), dtype=h5py.string_dtype()
            )
            file[name]["labels"] = manifest.label.to_numpy()
            file[name].attrs["variant"] = json.dumps(row, sort_keys=True)
            file[name].attrs["key"] = variant_key(inputs, row)
        file.attrs["made_by"] = json.dumps(inputs, sort_keys=True)


def _copy_valid_groups(path, file, inputs, variants):
    kept = set()
    if not Path(path).exists():
        return kept
    with h5py.File(path) as old:
        for name, group in old.items():
            row = json.loads(group.attrs["variant"])
            if group.attrs["key"] == variant_key(inputs, row) and variants.get(name, row) == row:
                old.copy(group, file, name)
                kept.add(name)
    return kept


def _encode_shards(file, shards, manifest, variants, encoder, batch_size, what):
    position = {image_id: row for row, image_id in enumerate(manifest.image_id)}
    filled = np.zeros(len(manifest), dtype=bool)
    with progress_bar(len(manifest) * len(variants), what) as progress:
        for ids, images, masks in read_batches(shards, batch_size):
            rows = _rows_of(ids, position)
            filled[rows] = True
            pixels = torch.from_numpy(images).to(encoder.device)
            for name, variant in variants.items():
                visible = torch.from_numpy(
                    visible_pixels(variant["keep"], masks, variant["radius"])
                ).to(encoder.device)
                masked = compose(pixels, visible, encoder.mean, encoder.std, variant["fill"])
                _store(file, name, rows, encoder.encode(masked, visible), len(manifest), ids)
                progress.update(len(ids))
    if not filled.all():
        lacking = manifest.image_id[~filled]
        raise ValueError(
            f"the shards lack {len(lacking)} images of the manifest, among them {lacking.iloc[0]!r}"
        )


def _rows_of(ids, position):
    unknown = [image_id for image_id in ids if image_id not in position]
    if unknown:
        raise ValueError(
            f"the shards hold images that the manifest lacks, among them {unknown[0]!r}"
        )
    return np.array([position[image_id] for image_id in ids])


def _store(file, variant, rows, features, n, ids):
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{bad.sum()} rows of variant {variant!r} are not finite, among them {ids[bad][0]!r}"
        )
    if variant not in file:
        file.create_group(variant).create_dataset(
            "features", (n, features.shape[1]), dtype="float32"
        )
    file[variant]["features"][rows] = features
