"""Figure 4: whose neighbours are whose, and UMAP."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import pandas as pd

from halfseen.figures import plot_neighbors
from halfseen.style import colors_of, save_figure, use_style

use_style()
labels = snakemake.params.labels
neighbors, umap = pd.read_csv(snakemake.input.neighbors), pd.read_csv(snakemake.input.umap)
# The first of each setting is the one that is drawn.
settings = ["centering", "metric", "k"]
neighbors = neighbors[(neighbors[settings] == neighbors[settings].iloc[0]).all(axis=1)]
umap = umap[umap.seed == umap.seed.iloc[0]]
colors = colors_of(snakemake.params.places)
save_figure(plot_neighbors(neighbors, umap, labels, colors), snakemake.output)
