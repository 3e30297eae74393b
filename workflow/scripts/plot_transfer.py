"""Transfer: balanced accuracy of every pair of training and test variant."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.figures import plot_transfer
from halfseen.style import save_figure, use_style
from halfseen.tables import read_table, transfer_cells

use_style()
cells = transfer_cells(
    read_table(snakemake.input.cells), snakemake.params.protocol, snakemake.wildcards.centering
)
save_figure(plot_transfer(cells, snakemake.params.labels), snakemake.output)
