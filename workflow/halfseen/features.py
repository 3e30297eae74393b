"""Representations: one HDF5 file per data set and model, a group per variant."""

import h5py
import numpy as np


def read_features(path, variant, manifest):
    """The representations (n, d) float32 of one variant, in the order of `manifest`.

    Raises ValueError unless the file holds exactly the manifest's images, in its order, with its
    labels.
    """
    with h5py.File(path) as file:
        if variant not in file:
            raise ValueError(f"{path} has no variant {variant!r}, only {sorted(file)}")
        ids, labels = file[variant]["image_ids"].asstr()[:], file[variant]["labels"][:]
        if not np.array_equal(ids, manifest.image_id) or not np.array_equal(labels, manifest.label):
            raise ValueError(
                f"{path}, variant {variant!r}, does not hold the manifest's images; "
                "extract it again"
            )
        return file[variant]["features"][:]
