"""Dose and response: accuracy and similarity by how much of the image circles show."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import pandas as pd

from halfseen.circles import CIRCLES
from halfseen.doses import dose_table
from halfseen.figures import plot_dose_response
from halfseen.style import colors_of, save_figure, use_style

use_style()
params = snakemake.params
cells, similarity = (pd.read_csv(snakemake.input[name]) for name in ("cells", "similarity"))
table = dose_table(cells, similarity, params.variants, params.protocol, params.measure)
table.to_csv(snakemake.output.csv, index=False)
colors = colors_of(params.places)
by_kind = {
    kind: next(colors[name] for name, row in params.variants.items() if row["keep"] == kind)
    for kind in CIRCLES
    if kind in set(table.keep)
}
figures = [snakemake.output[suffix] for suffix in ("pdf", "svg", "png")]
save_figure(plot_dose_response(table, params.labels, by_kind), figures)
