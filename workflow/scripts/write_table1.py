"""Table 1: balanced accuracy of the probes, in four formats."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import pandas as pd

from halfseen.files import write_table, write_text
from halfseen.tables import latex, markdown, table1, table1_text, write_html

table = table1(pd.read_csv(snakemake.input.probes))
write_table(snakemake.output.csv, table)
text = table1_text(table, snakemake.params.labels)
write_text(snakemake.output.markdown, markdown(text))
write_text(snakemake.output.latex, latex(text))
note = (
    "Balanced accuracy of linear probes: mean (standard deviation) over the cross-validation folds."
)
write_html(snakemake.output.html, "Table 1", text, note)
print(markdown(text))
