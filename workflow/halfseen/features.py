"""Representations: one HDF5 file per data set and model, a group per variant."""

import h5py
import numpy as np


def read_features(path, variant, manifest):
    """The representations (n, d) float32 of one variant, in the order of `manifest`.

    Raises ValueError that names the first difference unless the file holds exactly the manifest's
    images, in its order, with its labels.
    """
    with h5py.File(path) as file:
        if variant not in file:
            raise ValueError(f"{path} has no variant {variant!r}, only {sorted(file)}")
        ids, labels = file[variant]["image_ids"].asstr()[:], file[variant]["labels"][:]
        difference = _first_difference(ids, labels, manifest)
        if difference:
            raise ValueError(
                f"{path}, variant {variant!r}, does not hold the manifest's images: {difference}; "
                "extract it again"
            )
        return file[variant]["features"][:]


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
