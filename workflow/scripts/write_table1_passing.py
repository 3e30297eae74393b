"""Table 1 again, on the images whose masks pass."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import pandas as pd

from halfseen.files import write_table, write_text
from halfseen.pages import table_page
from halfseen.tables import read_table, table1_passing, table1_passing_text

protocol = [("protocol", "==", snakemake.params.protocol)]
predictions = pd.concat(
    [pd.read_parquet(path, filters=protocol) for path in snakemake.input.predictions]
)
table = table1_passing(predictions, read_table(snakemake.input.masks))
write_table(snakemake.output.csv, table)
note = (
    "Balanced accuracy of the probes of Table 1 on the images whose masks pass, in brackets on all "
    "images; folds are pooled. The probes were fitted on all images."
)
text = table1_passing_text(table, snakemake.params.labels)
write_text(snakemake.output.html, table_page("Table 1 where the masks pass", text, note))
print(text.to_string())
