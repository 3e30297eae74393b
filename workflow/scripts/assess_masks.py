"""Every mask of one data set: where it comes from, its shape, its IoU with the exact mask."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.files import write_table
from halfseen.manifest import read_manifest
from halfseen.mask_quality import mask_table, passing
from halfseen.study.records import check_records, write_record

job = snakemake.params.job
check_records(job.expected)
manifest = read_manifest(snakemake.input.manifest)
table = mask_table(snakemake.input.shards, manifest)
table.insert(0, "dataset", snakemake.wildcards.dataset)
table.insert(2, "label_name", manifest.label_name.to_numpy())
table["passes"] = passing(table, **job.passing).astype(int)
write_table(snakemake.output.table, table)
write_record(snakemake.output.record, job.record, job.commit)
