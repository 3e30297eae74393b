"""Crop the images of one shard and segment the object in each."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.datasets.kinds import open_dataset
from halfseen.devices import best_device, keep_freed_memory, use_threads
from halfseen.manifest import read_manifest
from halfseen.segmentation import GivenMasks, SamMasks, check_boxes, segment_images
from halfseen.segmenters import load_segmenter
from halfseen.shards import shard_rows, write_shard
from halfseen.weights import read_record

keep_freed_memory()
use_threads(snakemake.threads)
row, masking, sha256 = snakemake.params.segmenter, snakemake.params.masking, None
manifest = read_manifest(snakemake.input.manifest)
if row["kind"] == "given":
    masks_of = GivenMasks(row["folder"])
else:
    check_boxes(manifest, masking["prompt"])
    weights, record = snakemake.input.weights
    sha256 = row["sha256"] or read_record(record)["sha256"]
    segmenter = load_segmenter(row["kind"], weights, sha256, row["input_px"], best_device())
    masks_of = SamMasks(segmenter, **masking)
dataset = open_dataset(**snakemake.params.source, seed=snakemake.params.seed)
rows = shard_rows(manifest, int(snakemake.wildcards.shard), snakemake.params.n_shards)
what = f"masks of {snakemake.wildcards.dataset}"
shard = segment_images(dataset, rows, masks_of, row["batch_size"], what)
params = {key: value for key, value in snakemake.params.items() if key != "n_shards"}
write_shard(snakemake.output.shard, shard, params | {"weights_sha256": sha256})
