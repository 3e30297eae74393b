"""Joint UMAP over the variants of a share of the images, for every model on one data set."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import numpy as np
import pandas as pd

from halfseen.embedding import embed_jointly, sample_images
from halfseen.features import read_features
from halfseen.files import write_table
from halfseen.manifest import read_manifest

manifest = read_manifest(snakemake.input.manifest)
variants, seed, settings = (
    snakemake.params.variants,
    snakemake.params.seed,
    dict(snakemake.params.umap),
)
rng = np.random.default_rng(seed)
chosen = sample_images(len(manifest), settings.pop("share"), settings.pop("at_least"), rng)
tables = []
for model, path in zip(snakemake.params.models, snakemake.input.features, strict=True):
    features = np.stack([read_features(path, name, manifest)[chosen] for name in variants])
    coordinates = embed_jointly(features, seed=seed, **settings)
    for variant, xy in zip(variants, coordinates, strict=True):
        ids = manifest.image_id.iloc[chosen]
        row = {"model": model, "variant": variant, "image_id": ids, "x": xy[:, 0], "y": xy[:, 1]}
        tables.append(pd.DataFrame(row))
    print(f"embedded {len(chosen)} images x {len(variants)} variants of {model}")
table = pd.concat(tables, ignore_index=True)
table.insert(0, "dataset", snakemake.wildcards.dataset)
write_table(snakemake.output.table, table)
