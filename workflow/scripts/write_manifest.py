"""List the images of one data set with their classes, groups and folds."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import numpy as np

from halfseen.datasets.kinds import open_dataset
from halfseen.manifest import build_manifest, write_manifest

dataset = open_dataset(**snakemake.params.source, seed=snakemake.params.seed)
rng = np.random.default_rng(snakemake.params.seed)
manifest = build_manifest(dataset.samples(), snakemake.params.folds, rng)
write_manifest(snakemake.output.manifest, manifest)
print(
    f"{len(manifest)} images, {manifest.label.nunique()} classes, {manifest.group.nunique()} groups"
)
print(manifest.groupby(["fold", "label"]).size().describe().to_string())
