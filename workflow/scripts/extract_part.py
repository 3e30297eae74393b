"""Representations of a range of one data set's images by one model: a group per variant."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from functools import partial

from halfseen.devices import best_device, keep_freed_memory, use_full_float32, use_threads
from halfseen.encoders import load_encoder
from halfseen.extraction import (
    feature_inputs,
    model_and_batch,
    part_inputs,
    part_of,
    update_features,
)
from halfseen.manifest import read_manifest

keep_freed_memory()
use_threads(snakemake.threads)
use_full_float32()
model, batch_size = model_and_batch(snakemake.params.model, snakemake.input.weights)
manifest = read_manifest(snakemake.input.manifest)
part, params = int(snakemake.wildcards.part), snakemake.params
rows = part_of(len(manifest), part, params.n_parts, batch_size)
inputs = feature_inputs(snakemake.input.shards, manifest, model, params.seed, params.key_code)
update_features(
    path=snakemake.output.features,
    shards=snakemake.input.shards,
    manifest=manifest.iloc[rows],
    variants=params.variants,
    inputs=part_inputs(inputs, rows),
    load=partial(load_encoder, **model, seed=params.seed, device=best_device()),
    batch_size=batch_size,
    what=f"{snakemake.wildcards.model} on {snakemake.wildcards.dataset}, part {part}",
)
