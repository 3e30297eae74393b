"""Unpack the archives of one data set, verified once more, or have torchvision bring it."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.archives import unpack
from halfseen.datasets.torchvision_loaders import download
from halfseen.study.records import write_record
from halfseen.weights import verified

job, folder = snakemake.params.job, snakemake.output.folder
if job.source["kind"] == "torchvision":
    download(job.source["name"], job.source["parts"], folder, job.offline)
else:
    rows = zip(job.fetched["archives"], job.archives, strict=True)
    unpack([row | {"archive": verified(path, row["sha256"])} for path, row in rows], folder)
write_record(snakemake.output.record, job.record, job.commit)
