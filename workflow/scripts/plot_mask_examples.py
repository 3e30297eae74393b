"""Contact sheet of the best, median and worst masks of one data set, and of its fallbacks."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.examples import example_masks
from halfseen.figures import plot_mask_examples
from halfseen.style import save_figure, use_style
from halfseen.tables import read_table

use_style()
groups = example_masks(snakemake.input.shards, read_table(snakemake.input.masks), 5)
save_figure(plot_mask_examples(groups, snakemake.params.label), snakemake.output)
