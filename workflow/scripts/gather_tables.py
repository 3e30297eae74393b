"""The tables of one study: those of its data sets and models together, and their dictionary."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from pathlib import Path

import pandas as pd

from halfseen.files import write_table, write_text
from halfseen.study.records import with_records
from halfseen.tables import read_table

for name, paths in snakemake.input.items():
    table = pd.concat([read_table(path) for path in paths], ignore_index=True)
    write_table(snakemake.output[name], table, may_be_empty=True)
rows = with_records(snakemake.params.artifacts.rows)
write_table(snakemake.output.artifacts, pd.DataFrame(rows))
dictionary = Path(snakemake.scriptdir).parent / "resources/data_dictionary.md"
write_text(snakemake.output.dictionary, dictionary.read_text(encoding="utf-8"))
