"""Joint UMAP over the variants of a share of the images, for every model on one data set."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import numpy as np
import pandas as pd

from halfseen.devices import best_device, use_full_float32, use_threads
from halfseen.embedding import coordinate_rows, embed_jointly, sample_images, trustworthiness
from halfseen.features import read_features
from halfseen.files import write_table
from halfseen.manifest import read_manifest
from halfseen.study.records import check_records, write_record

use_threads(snakemake.threads)
use_full_float32()
job = snakemake.params.job
check_records(job.expected)
manifest = read_manifest(snakemake.input.manifest)
variants, settings = job.variants, dict(job.umap)
rng = np.random.default_rng(job.seed)
chosen = sample_images(len(manifest), settings.pop("share"), settings.pop("at_least"), rng)
seeds, k, metric = settings.pop("seeds"), settings["n_neighbors"], settings["metric"]
told = {"k": k, "metric": metric, "n": len(chosen), "n_variants": len(variants)}
coordinates, trusts = [], []
for model, path, key in zip(job.models, snakemake.input.features, job.features_keys, strict=True):
    names = {"dataset": snakemake.wildcards.dataset, "model": model}
    features = np.stack([read_features(path, name, manifest, key)[chosen] for name in variants])
    embeddings = [embed_jointly(features, seed=seed, **settings) for seed in seeds]
    trust = trustworthiness(features, embeddings, k, metric, best_device())
    for seed, xy, value in zip(seeds, embeddings, trust, strict=True):
        rows = coordinate_rows(xy, variants, manifest.image_id.iloc[chosen])
        coordinates.append(rows.assign(**names, seed=seed))
        trusts.append(names | {"seed": seed, "trustworthiness": value} | told)
    print(f"embedded {len(chosen)} images x {len(variants)} variants of {model}: trust {trust}")
write_table(snakemake.output.table, pd.concat(coordinates, ignore_index=True))
write_table(snakemake.output.trust, pd.DataFrame(trusts))
write_record(snakemake.output.record, job.record, job.commit)
