"""Every image of a data set looked at once: which cannot be decoded, which show the same."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pandas as pd

from halfseen.crops import crop_pairs
from halfseen.datasets.decoding import UnreadableImageError
from halfseen.near_duplicates import merged_groups, near_duplicates, thumbnail
from halfseen.progress import progress_bar

BAD_IMAGES = ["image_id", "reason"]
NEAR_DUPLICATES = ["image_id_a", "image_id_b", "found_by", "distance", "correlation"]
NAMED = 5  # how many bad images an error names


@dataclass
class Screening:
    """What is left of a data set's samples, and two tables that say why.

    `samples` are those whose image can be decoded, near-duplicates in one group. `bad_images` has
    the columns `BAD_IMAGES`, `near_duplicates` the columns `NEAR_DUPLICATES`.
    """

    samples: list
    bad_images: pd.DataFrame
    near_duplicates: pd.DataFrame


def screen(dataset, what, n_threads, on_bad_image=None, duplicates=False, crops_of=None):
    """The `Screening` of a data set.

    `on_bad_image`: with "fail", an image that cannot be decoded raises ValueError, with "skip" it
    is left out, and with None no image is read. `duplicates` has near-duplicates searched for and
    their groups joined. `crops_of` names classes whose images are crops of another class's: {class:
    the other class}; each is looked for there.
    """
    samples = dataset.samples()
    none = pd.DataFrame(columns=NEAR_DUPLICATES)
    if on_bad_image is None:
        return Screening(samples, pd.DataFrame(columns=BAD_IMAGES), none)
    thumbnails, reasons = _read_all(dataset, samples, what, n_threads)
    bad = pd.DataFrame(list(reasons.items()), columns=BAD_IMAGES)
    if reasons and on_bad_image == "fail":
        raise ValueError(_told(reasons, len(samples)))
    if len(reasons) == len(samples):
        raise ValueError(f"none of the {len(samples):,} images can be decoded: {_listed(reasons)}")
    samples = [sample for sample in samples if sample.image_id not in reasons]
    if not duplicates:
        return Screening(samples, bad, none)
    pairs = _pairs(dataset, samples, thumbnails, crops_of or {}, n_threads)
    places = {sample.image_id: place for place, sample in enumerate(samples)}
    groups = merged_groups(
        [sample.group for sample in samples],
        pairs.image_id_a.map(places),
        pairs.image_id_b.map(places),
    )
    samples = [replace(one, group=group) for one, group in zip(samples, groups, strict=True)]
    return Screening(samples, bad, pairs)


def _read_all(dataset, samples, what, n_threads):
    """The thumbnails of the images that can be decoded, and {image id: reason} of the others."""

    def read(sample):
        try:
            return thumbnail(dataset.image(sample.image_id))
        except UnreadableImageError as error:
            return error.reason

    thumbnails, reasons = [], {}
    # Decoders release the interpreter lock: threads help.
    with ThreadPoolExecutor(n_threads) as pool, progress_bar(len(samples), what) as progress:
        for sample, found in zip(samples, pool.map(read, samples), strict=True):
            if isinstance(found, str):
                reasons[sample.image_id] = found
            else:
                thumbnails.append(found)
            progress.update(1)
    return thumbnails, reasons


def _pairs(dataset, samples, thumbnails, crops_of, n_threads):
    ids = [sample.image_id for sample in samples]
    found = near_duplicates(thumbnails, n_threads)
    rows = [
        (ids[pair.a], ids[pair.b], "whole", str(pair.distance), pair.correlation)
        for pair in found.itertuples()
    ]
    for crops, wholes in crops_of.items():
        members = [
            [sample.image_id for sample in samples if sample.label_name == label_name]
            for label_name in (crops, wholes)
        ]
        rows += [
            (whole, crop, "crop", "", correlation)
            for crop, whole, correlation in crop_pairs(*members, dataset.image)
        ]
    return pd.DataFrame(rows, columns=NEAR_DUPLICATES)


def _told(reasons, n):
    return (
        f"{len(reasons):,} of {n:,} images cannot be decoded: {_listed(reasons)}; mend or replace "
        f"them, or set on_bad_image: skip in the data set's row, which leaves them out everywhere"
    )


def _listed(reasons):
    named = [f"{image_id} ({reason})" for image_id, reason in list(reasons.items())[:NAMED]]
    return ", ".join(named) + (" ..." if len(reasons) > NAMED else "")
