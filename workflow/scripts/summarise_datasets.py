"""What the data sets of one study hold, on one page."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import pandas as pd

from halfseen.dataset_summary import dataset_summary_text, summarise_dataset
from halfseen.files import write_table, write_text
from halfseen.manifest import read_manifest
from halfseen.pages import table_page

inputs, rows = snakemake.input, []
for number, dataset in enumerate(snakemake.params.datasets):
    paths = inputs.near_duplicates[number], inputs.bad_images[number]
    tables = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths]
    rows.append(summarise_dataset(dataset, read_manifest(inputs.manifests[number]), *tables))
summary = pd.DataFrame(rows)
write_table(snakemake.output.csv, summary)
text = dataset_summary_text(summary, snakemake.params.labels)
note = "Images of a group are never separated by a fold; near-duplicates share one."
write_text(snakemake.output.html, table_page("Data sets", text, note))
print(summary.to_string())
