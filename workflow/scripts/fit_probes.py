"""Linear probes of one data set and model: balanced accuracy, and what they predict."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import pandas as pd

from halfseen.features import read_features
from halfseen.files import write_table
from halfseen.manifest import read_manifest
from halfseen.probes import fit_probe

manifest = read_manifest(snakemake.input.manifest)
labels, folds = manifest.label.to_numpy(), manifest.fold.to_numpy()
rows, predictions = [], manifest[["image_id", "label", "fold"]].assign(**snakemake.wildcards)
for variant in snakemake.params.variants:
    features = read_features(snakemake.input.features, variant, manifest)
    results, predictions[variant] = fit_probe(features, labels, folds, **snakemake.params.probe)
    for result in results:
        rows.append(dict(snakemake.wildcards.items()) | {"variant": variant} | result)
        print(rows[-1])
write_table(snakemake.output.predictions, predictions)
write_table(snakemake.output.table, pd.DataFrame(rows).assign(chance=1 / (labels.max() + 1)))
