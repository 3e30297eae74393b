"""Histograms of the masks' area, predicted IoU and stability."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.figures import plot_mask_quality
from halfseen.style import save_figure, use_style
from halfseen.tables import read_table

use_style()
masks = read_table(snakemake.input.masks)
figure = plot_mask_quality(masks, snakemake.params.labels, snakemake.params.passing)
save_figure(figure, snakemake.output)
