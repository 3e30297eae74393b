"""Similarity of every pair of variants of one data set and model, under every measure."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.devices import use_threads
from halfseen.features import read_features
from halfseen.files import write_table
from halfseen.manifest import read_manifest
from halfseen.representations import Representation
from halfseen.similarity import similarity_of_all

use_threads(snakemake.threads)
manifest = read_manifest(snakemake.input.manifest)
representations = {
    name: Representation(read_features(snakemake.input.features, name, manifest), name)
    for name in snakemake.params.variants
}
table = similarity_of_all(representations, snakemake.params.measures).table
table = table.rename(columns={"x": "variant_x", "y": "variant_y"}).assign(
    **dict(snakemake.wildcards.items())
)
names = [*snakemake.wildcards.keys(), "measure", "variant_x", "variant_y"]
numbers = ["similarity", "null", "n", "components_x", "components_y"]
write_table(snakemake.output.table, table[names + numbers])
