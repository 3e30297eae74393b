"""Linear CKA with the original as the leading principal components are removed."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import pandas as pd

from halfseen.figures import plot_component_curves
from halfseen.style import colors_of, save_figure, use_style

use_style()
table, labels = pd.read_csv(snakemake.input.table), snakemake.params.labels
colors = colors_of(snakemake.params.places)
save_figure(plot_component_curves(table, labels, colors), snakemake.output)
