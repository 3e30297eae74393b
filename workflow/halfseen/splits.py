"""The published split of a data set: images to train on, to choose with and to test on."""

from dataclasses import dataclass

import numpy as np

from halfseen.datasets.dataset import SPLITS

LEFT_OUT = "left out"


@dataclass(frozen=True, eq=False)
class Parts:
    """Three boolean arrays (n,) over the rows of a manifest, no image and no group in two of them.

    `source` is "official" where the data set publishes its split and "folds" where folds stand in.
    `n_left_out` images are in no part: they share a group with a test image.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    source: str
    n_left_out: int


def official_parts(manifest, rng):
    """The `Parts` of a manifest: its column `split`, or folds where that is empty everywhere.

    Folds stand in so: 0 is the test part, 1 the validation part, the others are the training part.
    The test part is never changed. Training and validation images whose group has a test image are
    left out; validation images whose group has a training image are moved to the training part, so
    that a last fit on both parts still sees them all. Where no validation part is published, a
    tenth of what is left of the training part is drawn with `rng`: by class, in whole groups, at
    least one image of each class.

    Raises ValueError for a split that only some images have, a name that is none of `SPLITS`, a
    missing training or test part, fewer than 3 folds, and a class that a part would lack.
    """
    parts, source = _published_parts(manifest)
    groups = manifest.group.factorize()[0]
    has_validation = (parts == "validation").any()
    left_out = (parts != "test") & np.isin(groups, groups[parts == "test"])
    parts[left_out] = LEFT_OUT
    parts[(parts == "validation") & np.isin(groups, groups[parts == "train"])] = "train"
    train = np.flatnonzero(parts == "train")
    if not has_validation and len(train):
        drawn = _drawn_tenth(manifest.label.to_numpy()[train], groups[train], rng)
        parts[train[drawn]] = "validation"
    _check_classes(parts, manifest, source)
    return Parts(*(parts == name for name in SPLITS), source, int(left_out.sum()))


def _published_parts(manifest):
    """The part (n,) of every image, as text, and where it comes from."""
    parts = manifest.split.to_numpy(dtype=object)
    if (parts == "").all():
        folds = manifest.fold.to_numpy()
        if len(np.unique(folds)) < len(SPLITS):
            raise ValueError(
                f"the data set has no official split, and {len(np.unique(folds))} folds cannot "
                f"stand in for its {len(SPLITS)} parts; set folds: 3 or more"
            )
        names = np.where(folds == 0, "test", np.where(folds == 1, "validation", "train"))
        return names.astype(object), "folds"
    unknown = ~np.isin(parts, ["", *SPLITS])
    if unknown.any():
        raise ValueError(
            f"image {manifest.image_id[unknown].iloc[0]!r} has the split {parts[unknown][0]!r}, "
            f"which is none of {', '.join(SPLITS)}; correct the data set's loader"
        )
    if (parts == "").any():
        raise ValueError(
            f"{(parts == '').sum()} of {len(parts)} images are in no part of the official split, "
            f"among them {manifest.image_id[parts == ''].iloc[0]!r}; name a part for all or none"
        )
    for name in ("train", "test"):
        if name not in parts:
            raise ValueError(
                f"the official split has no {name} part; add its images, or leave split empty"
            )
    return parts.copy(), "official"


def _drawn_tenth(labels, groups, rng):
    """A mask (n,): a tenth, rounded, of every class, in whole groups; never all of a class.

    Groups are taken in random order as long as no class gets more than its tenth. A class without
    an image then has its smallest group, if that leaves others to train on.
    """
    members = np.bincount(labels)
    wanted = np.minimum(np.maximum((members + 5) // 10, 1), members - 1)
    _, groups = np.unique(groups, return_inverse=True)  # those of these images alone, from 0
    (of_group, classes), counts = np.unique([groups, labels], axis=1, return_counts=True)
    bounds = np.searchsorted(of_group, np.arange(groups.max() + 2))
    taken, chosen = np.zeros_like(members), np.zeros(len(bounds) - 1, dtype=bool)

    def fits(group, most):
        inside = slice(bounds[group], bounds[group + 1])
        return (taken[classes[inside]] + counts[inside] <= most[classes[inside]]).all()

    def take(group):
        inside = slice(bounds[group], bounds[group + 1])
        taken[classes[inside]] += counts[inside]
        chosen[group] = True

    order = rng.permutation(len(chosen))
    for group in order:
        if fits(group, wanted):
            take(group)
    size = np.bincount(groups)
    for label in np.flatnonzero(members):
        holding = order[np.isin(order, of_group[classes == label])] if not taken[label] else []
        possible = [group for group in holding if fits(group, members - 1)]
        if possible:
            take(min(possible, key=lambda group: size[group]))
    return chosen[groups]


def _check_classes(parts, manifest, source):
    """Raise ValueError that names a class which a part lacks."""
    for name in SPLITS:
        present = set(manifest.label[parts == name])
        lacking = manifest[~manifest.label.isin(present)]
        if len(lacking):
            label_name = lacking.label_name.iloc[0]
            own = parts[(manifest.label_name == label_name).to_numpy()]
            counts = ", ".join(f"{(own == part).sum()} {part}" for part in (*SPLITS, LEFT_OUT))
            raise ValueError(
                f"class {label_name!r} has no {name} image ({counts}; parts from: {source}); "
                f"take more images of it, or check the groups that join its images"
            )
