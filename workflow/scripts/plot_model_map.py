"""A map of all models and variants by the angles between their representations."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import pandas as pd

from halfseen.figures import plot_model_map
from halfseen.style import colors_of, save_figure, use_style

use_style()
table, labels = pd.read_csv(snakemake.input.table), snakemake.params.labels
colors = colors_of(snakemake.params.places)
save_figure(plot_model_map(table, labels, colors), snakemake.output)
