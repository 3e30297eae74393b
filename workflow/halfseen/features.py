"""The files of representations: a group per variant, each under a key of its own.

A file holds the variants of one data set and model that a study selects; its own key stands in its
name and in it. What an earlier file holds under the same key of a variant is taken over.
"""

import json
from pathlib import Path

import h5py
import numpy as np

from halfseen.files import atomic_path
from halfseen.study.artifacts import digest
from halfseen.study.records import OtherKeyError

# Rows that are copied at a time.
BLOCK_ROWS = 4096


def read_features(path, variant, manifest, key=None):
    """The representations (n, d) float32 of one variant, in the order of `manifest`.

    Raises OtherKeyError unless the file has the `key`, and ValueError that names the first
    difference unless it holds exactly the manifest's images, in its order, with its labels.
    """
    with h5py.File(path) as file:
        if key is not None and file.attrs.get("key") != key:
            raise OtherKeyError(
                f"{path} was made from other parameters: its key is {file.attrs.get('key')}, {key} "
                f"is expected; remove it and run again"
            )
        if variant not in file:
            raise ValueError(f"{path} has no variant {variant!r}, only {sorted(file)}")
        ids, labels = file[variant]["image_ids"].asstr()[:], file[variant]["labels"][:]
        difference = _first_difference(ids, labels, manifest)
        if difference:
            raise ValueError(
                f"{path}, variant {variant!r}, does not hold the manifest's images: {difference}; "
                "remove it and run again"
            )
        return file[variant]["features"][:]


def write_features(path, key, keys, variants, manifest, encode, rows=None, what=""):
    """Write a file of representations under `key`, computing only what no earlier file holds.

    `keys` {variant: its key}, `variants` {variant: row}. `encode(store, missing)` computes the
    variants `missing` {variant: row}: it calls `store(variant, start, features)` with rows (b, d)
    and returns a dict that says how they were computed. `rows` (a slice) makes a part of the
    `manifest`'s images. Earlier files are looked for beside `path`; they may be of other studies
    and models, since a key says all. Raises ValueError for features that are not finite.
    """
    whole = range(len(manifest))
    part = whole if rows is None else whole[rows]
    images = manifest.iloc[part.start : part.stop]
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["key"] = key
        kept = _take_over(file, Path(path).parent, keys, rows, images)
        missing = {name: row for name, row in variants.items() if name not in kept}
        told = f"kept {sorted(kept) or 'no variant'}, computing {sorted(missing) or 'none'}"
        print(f"{what}: {told}", flush=True)
        store = _Store(file, images.image_id.to_numpy(), len(part))
        told = encode(store, missing) if missing and len(part) else {}
        for name, row in missing.items() if len(part) else ():
            file[name].attrs.update(sorted(told.items()))
            _describe(file[name], images, row, part_key(keys[name], rows))


def gather_features(path, key, keys, variants, manifest, parts, rows_of_parts):
    """Write the representations that the files `parts` hold, in their order, as one job would have.

    `rows_of_parts` are the rows (slices) that each holds. The file equals that of `write_features`.
    Raises OtherKeyError for a part that does not hold its rows under these keys.
    """

    def copy(store, missing):
        told = {}
        for part, rows in zip(parts, rows_of_parts, strict=True):
            if rows.start < rows.stop:
                copied = _copy_part(store, part, rows, missing, keys)
                told = told or copied
        return told

    write_features(path, key, keys, variants, manifest, copy, what=Path(path).name)


def part_key(key, rows):
    """The key of a variant's `rows` (a slice) of all images; that of all for None."""
    return key if rows is None else digest([key, rows.start, rows.stop])


class _Store:
    """Where an encoder puts its rows."""

    def __init__(self, file, ids, n):
        self.file, self.ids, self.n = file, ids, n

    def __call__(self, variant, start, features):
        bad = ~np.isfinite(features).all(axis=1)
        if bad.any():
            image_id = self.ids[start : start + len(features)][bad][0]
            raise ValueError(
                f"{bad.sum()} rows of variant {variant!r} are not finite, among them {image_id!r}"
            )
        if variant not in self.file:
            self.file.create_group(variant).create_dataset(
                "features", (self.n, features.shape[1]), dtype="float32"
            )
        self.file[variant]["features"][start : start + len(features)] = features


def _describe(group, images, row, key):
    ids = images.image_id.tolist()
    group.create_dataset("image_ids", data=ids, dtype=h5py.string_dtype())
    group["labels"] = images.label.to_numpy()
    group.attrs["variant"] = json.dumps(row, sort_keys=True)
    group.attrs["key"] = key


def _take_over(file, folder, keys, rows, images):
    """Copy the variants that an earlier file in `folder` holds under their key; their names."""
    kept = set()
    for path in sorted(folder.glob("[!.]*.h5")):
        if len(kept) == len(keys):
            break
        try:
            with h5py.File(path) as old:
                held = {group.attrs.get("key"): group for group in old.values()}
                for name in [name for name in keys if name not in kept]:
                    for key, of_rows in _sources(keys[name], rows):
                        if key in held and _holds(held[key], images, of_rows):
                            _copy_rows(held[key], file, name, of_rows)
                            _describe(file[name], images, json.loads(held[key].attrs["variant"]),
                                      part_key(keys[name], rows))  # fmt: skip
                            kept.add(name)
                            break
        except OSError as reason:
            print(f"{path} cannot be read ({reason}); nothing is taken from it")
    return kept


def _sources(key, rows):
    """(key, rows in its group) of the groups that a variant's rows can be taken from."""
    yield part_key(key, rows), None
    if rows is not None:
        yield key, rows


def _holds(group, images, rows):
    """Whether a group holds exactly these images at its `rows`."""
    ids = group["image_ids"].asstr()[rows or slice(None)]
    return np.array_equal(ids, images.image_id.to_numpy())


def _copy_rows(group, file, name, rows):
    features = group["features"]
    n = len(features) if rows is None else rows.stop - rows.start
    copy = file.create_group(name).create_dataset(
        "features", (n, features.shape[1]), dtype="float32"
    )
    first = 0 if rows is None else rows.start
    for start in range(0, n, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, n)
        copy[start:stop] = features[first + start : first + stop]
    told = {key: group.attrs[key] for key in group.attrs if key not in ("variant", "key")}
    file[name].attrs.update(sorted(told.items()))


def _copy_part(store, path, rows, missing, keys):
    with h5py.File(path) as part:
        for name in missing:
            if name not in part or part[name].attrs.get("key") != part_key(keys[name], rows):
                raise OtherKeyError(
                    f"{path} does not hold variant {name!r} of rows {rows.start} to {rows.stop} as "
                    "the manifest, the shards and the model are now; remove it and run again"
                )
            features = part[name]["features"]
            for start in range(0, len(features), BLOCK_ROWS):
                block = features[start : start + BLOCK_ROWS]
                store(name, rows.start + start, block)
        first = part[next(iter(missing))]
        return {key: first.attrs[key] for key in first.attrs if key not in ("variant", "key")}


def _first_difference(ids, labels, manifest):
    """What a file's ids and labels first differ in from the manifest, in words; "" if in none."""
    if len(ids) != len(manifest):
        return f"it has {len(ids):,} images, the manifest {len(manifest):,}"
    for what, own, theirs in (
        ("id", ids, manifest.image_id.to_numpy()),
        ("label", labels, manifest.label.to_numpy()),
    ):
        wrong = np.flatnonzero(own != theirs)
        if len(wrong):
            row = wrong[0]
            return f"{what} {own[row]} of image {row + 1:,}, {ids[row]!r}, is {theirs[row]} there"
    return ""
