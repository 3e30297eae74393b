"""One file of representations from the parts that several jobs extracted."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.extraction import feature_inputs, gather_features, model_and_batch
from halfseen.manifest import read_manifest

params = snakemake.params
model, batch_size = model_and_batch(params.model, snakemake.input.weights)
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
