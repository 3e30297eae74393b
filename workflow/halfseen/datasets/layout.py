"""How a user's folder of images is laid out: `class/image.jpg`, with masks below `masks`.

Read by the Snakefile: imports nothing that Snakemake does not need itself.
"""

import os

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
MASKS = "masks"


def class_counts(root: str | os.PathLike) -> dict[str, int]:
    """{class: images} of a folder, by name; empty for one that is not there."""
    counts = {}
    for entry in sorted(os.scandir(root) if os.path.isdir(root) else (), key=lambda e: e.name):
        if entry.is_dir() and entry.name != MASKS:
            files = os.scandir(entry.path)
            counts[entry.name] = sum(
                os.path.splitext(file.name)[1].lower() in SUFFIXES for file in files
            )
    return {name: count for name, count in counts.items() if count}
