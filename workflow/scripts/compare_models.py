"""Similarity across the models of one data set: all pairs, the models' patterns, a map."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import pandas as pd

from halfseen.devices import best_device, use_threads
from halfseen.features import read_features
from halfseen.files import write_table
from halfseen.manifest import read_manifest
from halfseen.similarity_tables import Variants, map_table, model_table, pattern_table
from halfseen.study.records import check_records, write_record
from halfseen.tables import own_cells

use_threads(snakemake.threads)
job = snakemake.params.job
check_records(job.expected)
manifest = read_manifest(snakemake.input.manifest)
models, predictions = {}, {}
inputs = job.models, snakemake.input.features, job.features_keys, snakemake.input.predictions
for model, path, key, predicted in zip(*inputs, strict=True):
    features = {name: read_features(path, name, manifest, key) for name in job.variants}
    models[model] = Variants(features, manifest, best_device())
    protocol = [("protocol", "==", job.protocol)]
    cells = own_cells(pd.read_parquet(predicted, filters=protocol)).set_index("image_id")
    for name, rows in cells.groupby("variant", sort=False):
        predictions[model, name] = rows.predicted.loc[manifest.image_id].to_numpy()
table = model_table(models, predictions, job.measures, job.picture, snakemake.resources.mem_mb / 2)
for name, rows in (
    ("table", table),
    ("patterns", pattern_table(table, job.models[0])),
    ("map", map_table(table)),
):
    write_table(
        snakemake.output[name], rows.assign(dataset=snakemake.wildcards.dataset), may_be_empty=True
    )
write_record(snakemake.output.record, job.record, job.commit)
