"""Crop the images of one shard and segment the object in each."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.datasets.kinds import open_dataset
from halfseen.devices import device_named, keep_freed_memory, use_threads
from halfseen.manifest import read_manifest
from halfseen.segmenters import load_segmenter
from halfseen.shards import segment_images, shard_rows, write_shard
from halfseen.weights import read_record

keep_freed_memory()
use_threads(snakemake.threads)
row = snakemake.params.segmenter
weights, record = snakemake.input.weights
sha256 = row["sha256"] or read_record(record)["sha256"]
device = device_named(row["device"])
segmenter = load_segmenter(row["kind"], weights, sha256, row["input_px"], device, row["precision"])
folder = snakemake.input.get("folder") or None
dataset = open_dataset(**snakemake.params.source, folder=folder, seed=snakemake.params.seed)
manifest = read_manifest(snakemake.input.manifest)
rows = shard_rows(manifest, int(snakemake.wildcards.shard), snakemake.params.n_shards)
what = f"masks of {snakemake.wildcards.dataset}"
shard = segment_images(dataset, rows, segmenter, snakemake.params.prompt, batch_size=1, what=what)
params = {key: value for key, value in snakemake.params.items() if key != "n_shards"}
write_shard(snakemake.output.shard, shard, params | {"weights_sha256": sha256})
