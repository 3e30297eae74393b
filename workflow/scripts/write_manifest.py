"""List the images of one data set with their classes, groups and folds."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import numpy as np

from halfseen.datasets.kinds import open_dataset
from halfseen.files import write_table
from halfseen.manifest import build_manifest, write_manifest
from halfseen.screening import screen

params, output = snakemake.params, snakemake.output
folder = snakemake.input.get("folder") or None
dataset = open_dataset(**params.source, folder=folder, seed=params.seed)
what = f"images of {snakemake.wildcards.dataset}"
screening = screen(dataset, what, snakemake.threads, **params.screening)
rng = np.random.default_rng(params.seed)
manifest = build_manifest(screening.samples, params.folds, rng)
write_table(output.bad_images, screening.bad_images, may_be_empty=True)
write_table(output.near_duplicates, screening.near_duplicates, may_be_empty=True)
write_manifest(output.manifest, manifest)
print(
    f"{len(manifest)} images, {manifest.label.nunique()} classes, {manifest.group.nunique()} groups"
)
print(f"{len(screening.near_duplicates)} pairs of near-duplicates")
print(f"{len(screening.bad_images)} images left out\n{screening.bad_images.to_string()}")
print(manifest.groupby(["fold", "label"]).size().describe().to_string())
