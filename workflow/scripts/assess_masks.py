"""Every mask of one data set: where it comes from, its shape, its IoU with the exact mask."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.files import write_table
from halfseen.manifest import read_manifest
from halfseen.mask_quality import mask_table

manifest = read_manifest(snakemake.input.manifest)
table = mask_table(snakemake.input.shards, manifest)
table.insert(0, "dataset", snakemake.wildcards.dataset)
write_table(snakemake.output.table, table)
