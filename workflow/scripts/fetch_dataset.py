"""Unpack the archives of one data set, verified once more, or have torchvision bring it."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.archives import unpack
from halfseen.datasets.torchvision_loaders import download
from halfseen.weights import read_record, verified

source, folder = snakemake.params.source, snakemake.output.folder
if source["kind"] == "torchvision":
    download(source["name"], source["parts"], folder, snakemake.params.way.offline)
else:
    files = snakemake.input.archives  # each archive is followed by its record
    pairs = zip(files[::2], files[1::2], strict=True)
    paths = [verified(archive, read_record(record)["sha256"]) for archive, record in pairs]
    rows = zip(paths, snakemake.params.archives, strict=True)
    unpack([{"archive": path, **row} for path, row in rows], folder)
