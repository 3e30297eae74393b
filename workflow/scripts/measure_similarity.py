"""Similarity of the variants of one data set and model: values, nulls, confounds, additivity."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import numpy as np

from halfseen.devices import best_device, use_threads
from halfseen.features import read_features
from halfseen.files import write_table
from halfseen.manifest import read_manifest
from halfseen.similarity_tables import Variants, tables_of_model

use_threads(snakemake.threads)
manifest = read_manifest(snakemake.input.manifest)
names = snakemake.params.variants
features = {name: read_features(snakemake.input.features, name, manifest) for name in names}
tables = tables_of_model(
    Variants(features, manifest, best_device()),
    snakemake.params.measures,
    snakemake.params.similarity,
    np.random.default_rng(snakemake.params.seed),
    snakemake.resources.mem_mb / 2,
)
for name, table in tables.items():
    table = table.rename(columns={"x": "variant_x", "y": "variant_y"})
    table = table.assign(**dict(snakemake.wildcards.items()))
    write_table(snakemake.output[name], table, may_be_empty=True)
