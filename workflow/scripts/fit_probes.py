"""Probes of one data set and model by every protocol: accuracies, predictions, the choice of C."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from functools import partial

from halfseen.devices import best_device, use_threads
from halfseen.features import read_features
from halfseen.files import write_parquet, write_table
from halfseen.manifest import read_manifest
from halfseen.probes import Representations, cost_grids, run_protocols
from halfseen.study.records import check_records, write_record
from halfseen.uncertainty import CELL

use_threads(snakemake.threads)
job = snakemake.params.job
check_records(job.expected)
manifest = read_manifest(snakemake.input.manifest)
read = partial(read_features, snakemake.input.features, manifest=manifest, key=job.features_key)
probed = run_protocols(
    Representations(read, manifest, job.variants),
    cost_grids(job.protocols),
    job.seed,
    device=best_device(),
    memory_mb=snakemake.resources.mem_mb / 2,
    **job.solver,
)
names = job.record["names"]
write_table(snakemake.output.table, probed.cells.assign(**names))
write_table(snakemake.output.selection, probed.selection.assign(**names), may_be_empty=True)
# Names repeat in millions of rows; as categories they take a byte or four each.
categories = dict.fromkeys([*CELL, "image_id"], "category")
write_parquet(snakemake.output.predictions, probed.predictions.assign(**names).astype(categories))
write_record(snakemake.output.record, job.record, job.commit)
