"""List the images of one data set with their classes, groups and folds."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import numpy as np

from halfseen.datasets.kinds import open_dataset
from halfseen.files import write_table
from halfseen.manifest import build_manifest, write_manifest
from halfseen.screening import screen
from halfseen.study.records import check_records, write_record

job, output = snakemake.params.job, snakemake.output
check_records(job.expected)
dataset = open_dataset(**job.source, folder=snakemake.input.get("folder"), seed=job.seed)
what = f"images of {snakemake.wildcards.dataset}"
screening = screen(dataset, what, snakemake.threads, **job.screening)
manifest = build_manifest(screening.samples, job.folds, np.random.default_rng(job.seed))
write_table(output.bad_images, screening.bad_images, may_be_empty=True)
write_table(output.near_duplicates, screening.near_duplicates, may_be_empty=True)
write_manifest(output.manifest, manifest)
write_record(output.record, job.record, job.commit)
print(
    f"{len(manifest)} images, {manifest.label.nunique()} classes, {manifest.group.nunique()} groups"
)
print(f"{len(screening.near_duplicates)} pairs of near-duplicates")
print(f"{len(screening.bad_images)} images left out\n{screening.bad_images.to_string()}")
print(manifest.groupby(["fold", "label"]).size().describe().to_string())
