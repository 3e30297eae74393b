"""Quality of the masks of every data set of one study, on one page."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import pandas as pd

from halfseen.files import write_table
from halfseen.mask_quality import summarise_masks, summary_text
from halfseen.tables import write_html

summary = summarise_masks(pd.read_csv(snakemake.input.masks, keep_default_na=False))
write_table(snakemake.output.csv, summary)
note = "IoU is measured against the exact mask, where the data set has one."
write_html(snakemake.output.html, "Masks", summary_text(summary, snakemake.params.labels), note)
print(summary.to_string())
