"""One file of representations from the parts that several jobs extracted."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.extraction import feature_inputs, gather_features
from halfseen.manifest import read_manifest
from halfseen.weights import read_record

params, model = snakemake.params, dict(snakemake.params.model)
batch_size = model.pop("batch_size")
if snakemake.input.weights:
    model["sha256"] = model["sha256"] or read_record(snakemake.input.weights[1])["sha256"]
manifest = read_manifest(snakemake.input.manifest)
gather_features(
    path=snakemake.output.features,
    parts=snakemake.input.parts,
    manifest=manifest,
    variants=params.variants,
    inputs=feature_inputs(snakemake.input.shards, manifest, model, params.seed, params.key_code),
    batch_size=batch_size,
    what=f"{snakemake.wildcards.model} on {snakemake.wildcards.dataset}",
)
