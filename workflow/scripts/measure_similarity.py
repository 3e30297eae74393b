"""Similarity of the variants of one data set and model: values, nulls, confounds, additivity."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import numpy as np

from halfseen.devices import best_device, use_threads
from halfseen.features import read_features
from halfseen.files import write_table
from halfseen.manifest import read_manifest
from halfseen.similarity_tables import Variants, tables_of_model
from halfseen.study.records import check_records, write_record

use_threads(snakemake.threads)
job = snakemake.params.job
check_records(job.expected)
manifest = read_manifest(snakemake.input.manifest)
path, key = snakemake.input.features, job.features_key
features = {name: read_features(path, name, manifest, key) for name in job.variants}
tables = tables_of_model(
    Variants(features, manifest, best_device(), job.roles),
    job.measures,
    job.similarity,
    np.random.default_rng(job.seed),
    snakemake.resources.mem_mb / 2,
    job.level,
)
for name, table in tables.items():
    table = table.rename(columns={"x": "variant_x", "y": "variant_y"})
    table = table.assign(**job.record["names"])
    write_table(snakemake.output[name], table, may_be_empty=True)
write_record(snakemake.output.record, job.record, job.commit)
