"""Bring one archive of a data set, verified, and record where it came from."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from pathlib import Path

from halfseen.fetching import fetch_file

fetch_file(
    path=snakemake.output.archive,
    record_path=snakemake.output.record,
    lock_path=Path(snakemake.scriptdir).parent / "resources/archives.lock.yaml",
    name=snakemake.wildcards.archive,
    **vars(snakemake.params.settings),
)
