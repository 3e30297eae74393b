"""Representations of a range of one data set's images by one model: a group per variant."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from functools import partial

from halfseen.devices import best_device, keep_freed_memory, use_full_float32, use_threads
from halfseen.encoders import load_encoder
from halfseen.extraction import encode_variants, part_of, require_same_images
from halfseen.features import write_features
from halfseen.manifest import read_manifest
from halfseen.shards import require_keys
from halfseen.study.records import check_records

keep_freed_memory()
use_threads(snakemake.threads)
use_full_float32()
job, shards = snakemake.params.job, snakemake.input.shards
check_records(job.expected)
require_keys(job.shard_keys)
manifest = read_manifest(snakemake.input.manifest)
ids = manifest.image_id.tolist()
require_same_images(shards, ids)
part = int(snakemake.wildcards.part.partition("of")[0])
rows = part_of(len(ids), part, job.n_parts, job.batch_size)
load = partial(load_encoder, **job.model, seed=job.seed, device=best_device())
what = f"{snakemake.wildcards.model} on {snakemake.wildcards.dataset}, part {part}"
encode = encode_variants(shards, ids[rows], load, job.batch_size, what)
key = job.record["key"]
write_features(snakemake.output.features, key, job.keys, job.variants, manifest, encode, rows, what)
