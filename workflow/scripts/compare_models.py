"""Similarity across the models of one data set: all pairs, the models' patterns, a map."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import pandas as pd

from halfseen.devices import best_device, use_threads
from halfseen.features import read_features
from halfseen.files import write_table
from halfseen.manifest import read_manifest
from halfseen.similarity_tables import Variants, map_table, model_table, pattern_table
from halfseen.tables import own_cells

use_threads(snakemake.threads)
manifest = read_manifest(snakemake.input.manifest)
models, predictions = {}, {}
inputs = snakemake.input.features, snakemake.input.predictions
for model, features, predicted in zip(snakemake.params.models, *inputs, strict=True):
    read = {name: read_features(features, name, manifest) for name in snakemake.params.variants}
    models[model] = Variants(read, manifest, best_device())
    protocol = [("protocol", "==", snakemake.params.protocol)]
    cells = own_cells(pd.read_parquet(predicted, filters=protocol)).set_index("image_id")
    for name, rows in cells.groupby("variant", sort=False):
        predictions[model, name] = rows.predicted.loc[manifest.image_id].to_numpy()
table = model_table(
    models,
    predictions,
    snakemake.params.measures,
    snakemake.params.pixels,
    snakemake.resources.mem_mb / 2,
)
for name, rows in (
    ("table", table),
    ("patterns", pattern_table(table, snakemake.params.models[0])),
    ("map", map_table(table)),
):
    write_table(snakemake.output[name], rows.assign(dataset=snakemake.wildcards.dataset))
