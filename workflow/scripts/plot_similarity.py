"""Figures 2 and 3: the similarity of every pair of variants under one measure."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import pandas as pd

from halfseen.figures import plot_similarity
from halfseen.style import save_figure, use_style

use_style()
labels, measure = snakemake.params.labels, snakemake.params.measure
table = pd.read_csv(snakemake.input.table)
figure = plot_similarity(table[table.measure == measure], labels, labels["measures"][measure])
save_figure(figure, snakemake.output)
