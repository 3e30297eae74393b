"""Crop the images of one shard and segment the object in each."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.datasets.kinds import open_dataset
from halfseen.detectors import load_detectors
from halfseen.devices import default_batch_size, device_named, keep_freed_memory, use_threads
from halfseen.manifest import read_manifest
from halfseen.segmentation import GivenMasks, SamMasks, check_boxes, segment_images
from halfseen.segmenters import load_segmenter
from halfseen.shards import shard_rows, write_shard
from halfseen.weights import read_record

keep_freed_memory()
use_threads(snakemake.threads)
row, masking = snakemake.params.segmenter, snakemake.params.masking
manifest = read_manifest(snakemake.input.manifest)
rows = shard_rows(manifest, int(snakemake.wildcards.shard), snakemake.params.n_shards)
if row["kind"] == "given":
    masks_of, batch_size, sha256 = GivenMasks(row["folder"]), 1, None
else:
    check_boxes(manifest, masking["prompt"])
    weights, record = snakemake.input.weights
    sha256, device = row["sha256"] or read_record(record)["sha256"], device_named(row["device"])
    segmenter = load_segmenter(
        row["kind"], weights, sha256, row["input_px"], device, row["precision"]
    )
    detectors = load_detectors(snakemake.params.detectors, snakemake.input.detectors, device)
    masks_of = SamMasks(segmenter, **masking, detectors=detectors)
    batch_size = row["batch_size"] or default_batch_size(device, on_gpu=4, on_cpu=1)
folder = snakemake.input.get("folder") or None
dataset = open_dataset(**snakemake.params.source, folder=folder, seed=snakemake.params.seed)
what = f"masks of {snakemake.wildcards.dataset}"
shard = segment_images(dataset, rows, masks_of, batch_size, what)
params = {key: value for key, value in snakemake.params.items() if key != "n_shards"}
write_shard(snakemake.output.shard, shard, params | {"weights_sha256": sha256})
