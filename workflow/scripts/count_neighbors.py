"""Composition, retrieval, purity and hubness of nearest neighbours, for one data set and model."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import numpy as np

from halfseen.devices import best_device, use_full_float32, use_threads
from halfseen.features import read_features
from halfseen.files import write_table
from halfseen.manifest import read_manifest
from halfseen.neighbors import ImageDraws, neighbor_tables, sample_images
from halfseen.study.records import check_records, write_record

use_threads(snakemake.threads)
use_full_float32()
job = snakemake.params.job
check_records(job.expected)
manifest = read_manifest(snakemake.input.manifest)
path, key, settings = snakemake.input.features, job.features_key, job.neighbors
features = np.stack([read_features(path, name, manifest, key) for name in job.variants])
labels, seed = manifest.label.to_numpy(), job.seed
queries = sample_images(labels, settings["most_queries"], np.random.default_rng(seed))
bootstrap = job.bootstrap
composition, measures = neighbor_tables(
    features,
    labels,
    job.variants,
    settings["k"],
    settings["metrics"],
    ImageDraws(queries, labels, bootstrap["draws"], bootstrap["level"], seed),
    whole=job.whole,
    device=best_device(),
    memory_mb=snakemake.resources.mem_mb / 8,
)
names = job.record["names"]
write_table(snakemake.output.table, composition.assign(**names))
write_table(snakemake.output.measures, measures.assign(**names))
write_record(snakemake.output.record, job.record, job.commit)
