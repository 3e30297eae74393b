"""The manifest: one row an image, with its label, group, fold and split; all later joins on it."""

import numpy as np
import pandas as pd

from halfseen.files import write_table

COLUMNS = [
    "image_id",
    "path",
    "label",
    "label_name",
    "group",
    "fold",
    "split",
    "left",
    "top",
    "right",
    "bottom",
]
TEXT = ["image_id", "path", "label_name", "group", "split"]
BOX = ["left", "top", "right", "bottom"]
SHUFFLES = 20


def build_manifest(samples, n_folds, rng):
    """The manifest of `samples` as a table with the columns `COLUMNS`, in the order of the samples.

    Labels number the sorted class names. Folds 0 .. n_folds - 1 are stratified by class and never
    separate a group; `split` is the data set's own part, "" where it publishes none; box columns
    are NaN where it gives none. Raises ValueError for duplicate ids and for a class that some fold
    would lack.
    """
    manifest = pd.DataFrame(
        {
            "image_id": [sample.image_id for sample in samples],
            "path": [sample.path for sample in samples],
            "label_name": [sample.label_name for sample in samples],
            "group": [sample.group for sample in samples],
            "split": [sample.split for sample in samples],
        }
    )
    repeated = manifest.image_id[manifest.image_id.duplicated()]
    if len(repeated):
        raise ValueError(f"{len(repeated)} image ids occur twice, among them {repeated.iloc[0]!r}")
    names = sorted(manifest.label_name.unique())
    manifest["label"] = manifest.label_name.map({name: label for label, name in enumerate(names)})
    manifest["fold"] = draw_folds(manifest.label_name, manifest.group, n_folds, rng)
    boxes = [sample.box or (np.nan,) * 4 for sample in samples]
    manifest[BOX] = np.array(boxes, dtype=float)
    return manifest[COLUMNS]


def draw_folds(labels, groups, n_folds, rng):
    """The fold (n,) of every image: stratified by label, groups kept whole.

    The best of 20 shuffles of scikit-learn's StratifiedGroupKFold, which is greedy: the one whose
    rarest class in a fold is most frequent. The first that cannot be bettered ends the search: one
    shuffle takes 54 s for 59,000 groups of 60,000 images of 100 classes. Raises ValueError that
    names a class which some fold lacks.
    """
    # slow to import, and readers do without
    from sklearn.model_selection import StratifiedGroupKFold

    names, labels, per_class = np.unique(labels, return_inverse=True, return_counts=True)
    groups = np.asarray(groups)
    if len(names) < 2:
        raise ValueError("the data set has a single class; a probe needs two")
    if per_class.min() < n_folds:
        rarest = names.tolist()[per_class.argmin()]
        raise ValueError(
            f"class {rarest!r} has {per_class.min()} images, fewer than the {n_folds} folds"
        )
    best, best_count = None, -1
    for _ in range(SHUFFLES):
        folds = np.empty(len(labels), dtype=int)
        splitter = StratifiedGroupKFold(
            n_folds, shuffle=True, random_state=int(rng.integers(2**31))
        )
        for fold, (_, test) in enumerate(splitter.split(labels, labels, groups)):
            folds[test] = fold
        count = _fold_counts(labels, folds, n_folds).min()
        if count > best_count:
            best, best_count = folds, count
        if best_count == per_class.min() // n_folds:
            break
    if best_count < 1:
        label, fold = np.argwhere(_fold_counts(labels, best, n_folds) == 0)[0]
        raise ValueError(
            f"fold {fold} has no image of class {names.tolist()[label]!r}: "
            f"its {per_class[label]} images are in too few groups"
        )
    return best


def write_manifest(path, manifest):
    """Write a manifest to `path`; the box columns are left empty where there is no box."""
    table = manifest.copy()
    table[BOX] = table[BOX].astype(object).where(table[BOX].notna(), "")
    write_table(path, table)


def read_manifest(path):
    """The manifest at `path`: ids and groups as text, boxes as float, NaN where there is none."""
    manifest = pd.read_csv(
        path,
        dtype=dict.fromkeys(TEXT, str) | dict.fromkeys(BOX, float),
        keep_default_na=False,
        na_values=dict.fromkeys(BOX, [""]),
    )
    missing = [name for name in COLUMNS if name not in manifest]
    if missing:
        raise ValueError(
            f"{path} lacks the columns {missing}; make it again with rule write_manifest"
        )
    return manifest


def _fold_counts(labels, folds, n_folds):
    counts = np.zeros((labels.max() + 1, n_folds), dtype=int)
    np.add.at(counts, (labels, folds), 1)
    return counts
