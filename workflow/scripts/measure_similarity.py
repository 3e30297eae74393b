"""Similarity of the variants of one data set and model: values, nulls, confounds, additivity."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import numpy as np

from halfseen.devices import best_device, use_threads
from halfseen.features import read_features
from halfseen.files import write_table
from halfseen.manifest import read_manifest
from halfseen.similarity_tables import (
    Variants,
    additivity_table,
    calibration_table,
    confound_table,
    curve_table,
    similarity_table,
    size_table,
)

use_threads(snakemake.threads)
manifest = read_manifest(snakemake.input.manifest)
features = {
    name: read_features(snakemake.input.features, name, manifest)
    for name in snakemake.params.variants
}
variants = Variants(features, manifest, best_device())
measures, settings = snakemake.params.measures, snakemake.params.similarity
rng = np.random.default_rng(snakemake.params.seed)
memory_mb = snakemake.resources.mem_mb / 2
tables = {
    "table": similarity_table(variants, measures, settings["jackknife_groups"], rng, memory_mb),
    "calibration": calibration_table(
        variants, measures, settings["permutations"], settings["permuted_images"], rng
    ),
    "confounds": confound_table(variants),
    "curves": curve_table(variants, settings["removed_components"]),
    "sizes": size_table(variants, measures, rng),
    "additivity": additivity_table(variants),
}
for name, table in tables.items():
    table = table.rename(columns={"x": "variant_x", "y": "variant_y"})
    table = table.assign(**dict(snakemake.wildcards.items()))
    write_table(snakemake.output[name], table, may_be_empty=True)
