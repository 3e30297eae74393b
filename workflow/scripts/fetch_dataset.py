"""Unpack the archives of one data set, verified once more, into its folder."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.archives import unpack
from halfseen.weights import read_record, verified

files = zip(snakemake.input.archives, snakemake.input.records, strict=True)
paths = [verified(archive, read_record(record)["sha256"]) for archive, record in files]
rows = zip(paths, snakemake.params.archives, strict=True)
unpack([{"archive": path, **row} for path, row in rows], snakemake.output.folder)
