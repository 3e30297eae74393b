"""Composition, retrieval, purity and hubness of nearest neighbours, for one data set and model."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import numpy as np

from halfseen.devices import best_device, use_full_float32, use_threads
from halfseen.features import read_features
from halfseen.files import write_table
from halfseen.manifest import read_manifest
from halfseen.neighbors import ImageDraws, neighbor_tables, sample_images

use_threads(snakemake.threads)
use_full_float32()
manifest = read_manifest(snakemake.input.manifest)
variants, settings = list(snakemake.params.variants), snakemake.params.neighbors
features = np.stack([read_features(snakemake.input.features, name, manifest) for name in variants])
labels, seed = manifest.label.to_numpy(), snakemake.params.seed
queries = sample_images(labels, settings["most_queries"], np.random.default_rng(seed))
bootstrap = snakemake.params.bootstrap
composition, measures = neighbor_tables(
    features,
    labels,
    variants,
    settings["k"],
    settings["metrics"],
    ImageDraws(queries, labels, bootstrap["draws"], bootstrap["level"], seed),
    device=best_device(),
    memory_mb=snakemake.resources.mem_mb / 8,
)
names = dict(snakemake.wildcards.items())
write_table(snakemake.output.table, composition.assign(**names))
write_table(snakemake.output.measures, measures.assign(**names))
