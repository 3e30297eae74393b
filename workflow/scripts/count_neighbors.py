"""Composition of the nearest neighbours by variant, for one data set and model."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from itertools import product

import numpy as np
import pandas as pd

from halfseen.features import read_features
from halfseen.files import write_table
from halfseen.manifest import read_manifest
from halfseen.neighbors import composition_null, neighbor_composition

manifest = read_manifest(snakemake.input.manifest)
variants = snakemake.params.variants
settings = dict(snakemake.params.neighbors)
features = np.stack([read_features(snakemake.input.features, name, manifest) for name in variants])
share, null = neighbor_composition(features, **settings), composition_null(*features.shape[:2])
rows = [
    dict(snakemake.wildcards.items())
    | {
        "variant": variants[i],
        "neighbor_variant": variants[j],
        "share": share[i, j],
        "null": null[i, j],
    }
    for i, j in product(range(len(variants)), repeat=2)
]
write_table(snakemake.output.table, pd.DataFrame(rows).assign(n=len(manifest), **settings))
