"""Every variant of every image through one encoder, each variant under a content key."""

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import torch

from halfseen.devices import default_batch_size
from halfseen.digests import content_digest
from halfseen.encoder_checks import FirstBatch, frozen
from halfseen.files import atomic_path
from halfseen.progress import progress_bar
from halfseen.recipes import own_view
from halfseen.shards import read_batches, read_by_image
from halfseen.variants import MASKED, hide, visible_pixels
from halfseen.weights import read_record

# Keys of a model's row that change no feature: every job asserts it of the last two.
NOT_IN_KEY = {"weights", "batch_size", "compile"}
# A multiple of the batches that a CPU and a GPU take where the row names none.
COMMON_BATCH = 256
# Rows that are copied at a time.
BLOCK_ROWS = 4096


def model_and_batch(row, weights):
    """A model's row with the path and the hash of its weights, and its batch size: (dict, size).

    `weights` are the paths of the file and of its record, nothing for a model without weights.
    """
    model = dict(row)
    batch_size = model.pop("batch_size")
    if weights:
        model["weights"], record = weights
        model["sha256"] = model["sha256"] or read_record(record)["sha256"]
    return model, batch_size


def feature_inputs(shards, manifest, model, seed, code):
    """Everything but the variant that representations depend on, as builtins for `variant_key`.

    `model` is the row with its weights' `sha256`; the path of the file does not count, nor how the
    images are split over shards or batches. Raises ValueError for shards that do not hold exactly
    the manifest's images.
    """
    ids = manifest.image_id.tolist()
    images = read_by_image(shards, "image_digests")
    masks = read_by_image(shards, "mask_digests")
    _require_same_images(images.keys(), ids)
    return {
        "images": _digest_of_all(images[image_id] for image_id in ids),
        "masks": _digest_of_all(masks[image_id] for image_id in ids),
        "image_ids": _digest_of_all(ids),
        "labels": content_digest(manifest.label.tolist()),
        "model": {key: value for key, value in model.items() if key not in NOT_IN_KEY},
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
    too. `load()` gives the encoder and is called only when something is to be computed;
    `batch_size` None is the device's own. Each group holds `features` (n, d) float32, `image_ids`
    and `labels`, in the manifest's order, and says in which `precision` they were computed. Memory
    does not grow with the number of images. Raises ValueError for non-finite features and for an
    encoder that is not frozen or whose features depend on the batch or on the order.
    """

    def encode(file, missing):
        encoder = load()
        size = batch_size or default_batch_size(encoder.device)
        batches = read_batches(shards, manifest.image_id.tolist(), size)
        with frozen(encoder, what):
            return _encode_batches(file, batches, len(manifest), missing, encoder, size, what)

    _update(path, manifest, variants, inputs, encode, what)


def part_of(n, part, n_parts, batch_size):
    """The rows of `n` images, a slice, that one of `n_parts` jobs encodes: whole batches.

    So every image is encoded in the batch that one job for all would put it in, on a CPU and on a
    GPU, and every number is the same. Parts beyond the last batch are empty.
    """
    size = batch_size or COMMON_BATCH
    n_batches = -(-n // size)
    start, stop = (n_batches * place // n_parts * size for place in (part, part + 1))
    return slice(min(start, n), min(stop, n))


def part_inputs(inputs, rows):
    """The inputs of a part's groups: those of all images, and which rows they are (a slice)."""
    return inputs | {"rows": [rows.start, rows.stop]}


def gather_features(path, parts, manifest, variants, inputs, batch_size, what):
    """Write the representations that the files `parts` hold, in their order, as one job would have.

    The file is the same byte for byte as that of `update_features`; it keeps groups likewise.
    Raises ValueError for a part that does not hold its rows of these inputs.
    """
    places = [part_of(len(manifest), k, len(parts), batch_size) for k in range(len(parts))]

    def copy(file, missing):
        attributes = {}
        for part, rows in zip(parts, places, strict=True):
            if rows.start < rows.stop:
                found = _copy_part(file, part, rows, manifest, missing, part_inputs(inputs, rows))
                attributes = attributes or found
        return attributes

    _update(path, manifest, variants, inputs, copy, what)


class WithinMemory:
    """Encodes batches in parts that fit the device's memory, found by halving."""

    def __init__(self, encoder, size, what):
        self.encoder, self.size, self.what = encoder, size, what

    def encode(self, pixels, visible, fill):
        """Representations (b, d) of normalised pixels (b, 3, h, w) where `visible` (b, h, w).

        Out of memory, a part is halved, for good, and tried again; what is done is kept. Raises
        RuntimeError where a single image does not fit.
        """
        parts, start = [], 0
        while start < len(pixels):
            rows = slice(start, start + self.size)
            part = self._encode_or_none(pixels[rows], visible[rows], fill)
            if part is None:
                self._halve()
            else:
                parts.append(part)
                start += len(part)
        return np.concatenate(parts)

    def _encode_or_none(self, pixels, visible, fill):
        try:
            return self.encoder.encode(hide(pixels, visible, fill), visible)
        except torch.OutOfMemoryError:
            # Halving waits until this frame and the tensors that the error holds are gone.
            return None

    def _halve(self):
        if self.size == 1:
            raise RuntimeError(
                f"{self.what}: not even one image fits the memory of {self.encoder.device}; give "
                "its row `precision: bfloat16`, or run on a GPU with more memory or on the CPU"
            )
        self.size //= 2
        torch.cuda.empty_cache()
        print(f"{self.what}: out of memory, {self.size} images a batch from here on", flush=True)


def _holds(path, variants, inputs):
    """Whether the file is there already, of these inputs, and lacks none of the variants."""
    if not Path(path).exists():
        return False
    with h5py.File(path) as file:
        keys = {name: group.attrs["key"] for name, group in file.items()}
        wanted = {name: variant_key(inputs, row) for name, row in variants.items()}
        same = file.attrs["made_by"] == json.dumps(inputs, sort_keys=True)
    return same and keys == keys | wanted


def _update(path, manifest, variants, inputs, fill, what):
    """Write the file at `path`; `fill(file, missing)` stores the features of what is not kept."""
    with atomic_path(path) as temporary:
        if _holds(path, variants, inputs):
            print(f"{what}: every variant still holds", flush=True)
            shutil.copyfile(path, temporary)
            return
        with h5py.File(temporary, "w") as file:
            _write_groups(file, path, manifest, variants, inputs, fill, what)


def _write_groups(file, path, manifest, variants, inputs, fill, what):
    kept = _copy_valid_groups(path, file, inputs, variants)
    missing = {name: row for name, row in variants.items() if name not in kept}
    print(
        f"{what}: kept {sorted(kept) or 'no variant'}, computing {sorted(missing) or 'none'}",
        flush=True,
    )
    ids, labels = manifest.image_id.tolist(), manifest.label.to_numpy()
    # A part may have no image.
    missing = missing if ids else {}
    attributes = fill(file, missing) if missing else {}
    for name, row in missing.items():
        group = file[name]
        group.create_dataset("image_ids", data=ids, dtype=h5py.string_dtype())
        group["labels"] = labels
        # In the order in which a part gives them back.
        group.attrs.update(sorted(attributes.items()))
        group.attrs["variant"] = json.dumps(row, sort_keys=True)
        group.attrs["key"] = variant_key(inputs, row)
    file.attrs["made_by"] = json.dumps(inputs, sort_keys=True)


def _copy_part(file, path, rows, manifest, variants, inputs):
    """Store a part's features at its `rows`; the attributes that tell how they were computed."""
    with h5py.File(path) as part:
        for name, row in variants.items():
            if name not in part or part[name].attrs["key"] != variant_key(inputs, row):
                raise ValueError(
                    f"{path} does not hold variant {name!r} of rows {rows.start} to {rows.stop} as "
                    "the manifest, the shards and the model are now; remove it and run again"
                )
        for start in range(rows.start, rows.stop, BLOCK_ROWS):
            block = slice(start, min(start + BLOCK_ROWS, rows.stop))
            ids = manifest.image_id.to_numpy()[block]
            own = slice(block.start - rows.start, block.stop - rows.start)
            for name in variants:
                _store(file, name, block, part[name]["features"][own], len(manifest), ids)
        first = part[next(iter(variants))]
        return {key: first.attrs[key] for key in first.attrs if key not in ("variant", "key")}


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


def _encode_batches(file, batches, n, variants, encoder, size, what):
    """Fill the groups of `variants` batch by batch; the attributes that tell how it was done."""
    device, fitting = torch.device(encoder.device), WithinMemory(encoder, size, what)
    start, first = 0, None
    with progress_bar(n * len(variants), what) as progress:
        for ids, *tensors in _one_ahead(_prepared(batches, variants, encoder.recipe, device)):
            images, *shown = (tensor.to(device, non_blocking=True) for tensor in tensors)
            pixels = encoder.normalised(images)
            for (name, variant), visible in zip(variants.items(), shown, strict=True):
                features = fitting.encode(pixels, visible, variant["fill"])
                _store(file, name, slice(start, start + len(ids)), features, n, ids)
                progress.update(len(ids))
                if first is None:
                    again = partial(_encode_again, pixels, visible, variant["fill"])
                    first, attributes = _checked(again, features, fitting, name)
            start += len(ids)
    first.check_once_more()
    return attributes


def _checked(again, features, fitting, variant):
    """The first batch, of one variant, checked, and the attributes that say how exact it is."""
    what = f"{fitting.what}, variant {variant!r}"
    encoder, exact = fitting.encoder, fitting.encoder.precision == "float32"
    first = FirstBatch(partial(again, fitting), features, asserted=exact, what=what)
    apart = {"compared_on": variant, "batch_difference": first.check_batch_and_order()}
    if encoder != encoder.plain():
        plain = WithinMemory(encoder.plain(), fitting.size, what)
        everything = range(len(features))
        apart["float32_difference"], apart["float32_cosine"] = first.check_against(
            again(plain, everything)
        )
    # What is asserted need not be recorded.
    return first, {"precision": encoder.precision} | ({} if exact else apart)


def _encode_again(pixels, visible, fill, fitting, rows):
    rows = list(rows)
    return fitting.encode(pixels[rows], visible[rows], fill)


def _prepared(batches, variants, recipe, device):
    """Batches as tensors on the CPU: ids, the model's view, and what each variant shows of it.

    For a GPU they are page-locked, so that they are copied while it computes.
    """
    for ids, images, masks in batches:
        images, masks = own_view(torch.from_numpy(images), masks, recipe)
        shown = [visible_pixels(row["keep"], masks, row["radius"]) for row in variants.values()]
        tensors = [images, *map(torch.from_numpy, shown)]
        yield ids, *(tensor.pin_memory() if device.type == "cuda" else tensor for tensor in tensors)


def _one_ahead(batches):
    """`batches`, the next one being made in a thread of its own while one is worked on."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


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


def _require_same_images(held, ids):
    lacking = [image_id for image_id in ids if image_id not in held]
    if lacking:
        raise ValueError(
            f"the shards lack {len(lacking)} images of the manifest, among them {lacking[0]!r}"
        )
    unknown = held - set(ids)
    if unknown:
        raise ValueError(
            f"the shards hold images that the manifest lacks, among them {min(unknown)!r}"
        )


def _digest_of_all(words):
    return hashlib.sha256("\n".join(words).encode()).hexdigest()
