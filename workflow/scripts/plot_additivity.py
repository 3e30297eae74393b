"""How much of the original's representation those of foreground and background explain."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import pandas as pd

from halfseen.figures import plot_additivity
from halfseen.style import save_figure, use_style

use_style()
table = pd.read_csv(snakemake.input.table)
save_figure(plot_additivity(table, snakemake.params.labels), snakemake.output)
