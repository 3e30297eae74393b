"""Figure 1: examples of the variants."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import numpy as np

from halfseen.examples import example_variants
from halfseen.figures import plot_variants
from halfseen.manifest import read_manifest
from halfseen.style import save_figure, use_style

use_style()
rng = np.random.default_rng(snakemake.params.seed)
examples = []
for dataset, manifest in zip(snakemake.params.datasets, snakemake.input.manifests, strict=True):
    shards = [path for path in snakemake.input.shards if f"/{dataset}/" in path]
    chosen = example_variants(shards, read_manifest(manifest), snakemake.params.variants, 2, rng)
    examples += [(dataset, *example) for example in chosen]
save_figure(plot_variants(examples, snakemake.params.labels), snakemake.output)
