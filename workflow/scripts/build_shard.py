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
from halfseen.study.records import check_records, write_record

keep_freed_memory()
use_threads(snakemake.threads)
job, output = snakemake.params.job, snakemake.output
check_records(job.expected)
manifest, row = read_manifest(snakemake.input.manifest), job.segmenter
rows = shard_rows(manifest, int(snakemake.wildcards.shard), job.n_shards)
if row["kind"] == "given":
    masks_of, batch_size = GivenMasks(row["folder"]), 1
else:
    check_boxes(manifest, job.masking["prompt"])
    device = device_named(row["device"])
    network = (row[key] for key in ("kind", "weights", "sha256", "input_px"))
    segmenter = load_segmenter(*network, device, row["precision"])
    masks_of = SamMasks(segmenter, **job.masking, detectors=load_detectors(job.detectors, device))
    batch_size = row["batch_size"] or default_batch_size(device, on_gpu=4, on_cpu=1)
dataset = open_dataset(**job.source, folder=snakemake.input.get("folder"), seed=job.seed)
what = f"masks of {snakemake.wildcards.dataset}"
shard = segment_images(dataset, rows, masks_of, batch_size, what)
write_shard(output.shard, shard, job.record["key"])
write_record(output.record, job.record, job.commit)
