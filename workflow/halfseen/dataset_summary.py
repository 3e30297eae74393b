"""What a study's data sets hold: images, classes, groups, near-duplicates, what was left out."""

import pandas as pd


def summarise_dataset(dataset, manifest, near_duplicates, bad_images):
    """The row of one data set: a dict of its name and numbers.

    `near_duplicate_images` counts the images that have at least one near-duplicate,
    `near_duplicate_groups` the groups of the manifest that these form.
    """
    per_class = manifest.groupby("label_name").size()
    alike = manifest.image_id.isin([*near_duplicates.image_id_a, *near_duplicates.image_id_b])
    return {
        "dataset": dataset,
        "n_images": len(manifest),
        "n_classes": len(per_class),
        "fewest_of_a_class": int(per_class.min()),
        "most_of_a_class": int(per_class.max()),
        "n_groups": manifest.group.nunique(),
        "near_duplicate_images": int(alike.sum()),
        "near_duplicate_groups": manifest.group[alike].nunique(),
        "skipped_images": len(bad_images),
    }


def dataset_summary_text(summary, labels):
    """A table of rows of `summarise_dataset` as strings with readable heads."""
    numbers = summary.map(lambda value: f"{value:,}" if isinstance(value, int) else value)
    fewest, most = numbers.fewest_of_a_class, numbers.most_of_a_class
    return pd.DataFrame(
        {
            "Data set": summary.dataset.map(labels["datasets"]),
            "Images": numbers.n_images,
            "Classes": numbers.n_classes,
            "Images per class": fewest.where(fewest == most, fewest + " to " + most),
            "Groups": numbers.n_groups,
            "Near-duplicate images": numbers.near_duplicate_images,
            "in groups": numbers.near_duplicate_groups,
            "Skipped images": numbers.skipped_images,
        }
    )
