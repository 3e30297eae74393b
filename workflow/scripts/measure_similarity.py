"""Similarity of every pair of variants of one data set and model, under every measure."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from itertools import product

import pandas as pd

from halfseen.features import read_features
from halfseen.files import write_table
from halfseen.manifest import read_manifest
from halfseen.similarity import similarity_row, spectrum

manifest = read_manifest(snakemake.input.manifest)
variants = snakemake.params.variants
spectra = {
    name: spectrum(read_features(snakemake.input.features, name, manifest)) for name in variants
}
rows = [
    dict(snakemake.wildcards.items())
    | {"measure": measure, "variant_x": x, "variant_y": y}
    | similarity_row(spectra[x], spectra[y], **row)
    for (measure, row), x, y in product(snakemake.params.measures.items(), variants, variants)
]
write_table(snakemake.output.table, pd.DataFrame(rows))
