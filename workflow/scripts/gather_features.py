"""One file of representations from the parts that several jobs extracted."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.extraction import part_of
from halfseen.features import gather_features
from halfseen.manifest import read_manifest
from halfseen.study.records import check_records, write_record

job, parts = snakemake.params.job, snakemake.input.parts
check_records(job.expected)
manifest = read_manifest(snakemake.input.manifest)
rows = [part_of(len(manifest), k, len(parts), job.batch_size) for k in range(len(parts))]
key = job.record["key"]
gather_features(snakemake.output.features, key, job.keys, job.variants, manifest, parts, rows)
write_record(snakemake.output.record, job.record, job.commit)
