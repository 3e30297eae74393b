"""Table 1: balanced accuracy of the probes beside the paper's, in four formats."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from pathlib import Path

import pandas as pd

from halfseen.comparison import beside_paper, beside_published
from halfseen.files import write_table, write_text
from halfseen.pages import table_page
from halfseen.tables import (
    latex,
    markdown,
    published_cells,
    read_table,
    table1,
    table1_text,
)

resources = Path(snakemake.scriptdir).parent / "resources"
probes, cells = pd.read_csv(snakemake.input.probes), pd.read_csv(snakemake.input.cells)
table = beside_paper(table1(probes, cells), read_table(resources / "paper_table1.csv"))
write_table(snakemake.output.csv, table)
text = table1_text(table, snakemake.params.labels)
write_text(snakemake.output.markdown, markdown(text))
write_text(snakemake.output.latex, latex(text))
note = (
    "Balanced accuracy of the probes: mean (standard deviation) over the cross-validation folds; "
    "of a probe on a published split, one number. A data set without one has folds stand in for "
    "it, one of five tested. The paper tells neither the penalty nor the scaling of "
    "its probes, so a row of its own numbers is no like-for-like comparison with any of ours."
)
write_text(snakemake.output.html, table_page("Table 1", text, note))
known = read_table(resources / "published_probes.csv")
published = beside_published(published_cells(probes, cells), known)
write_table(snakemake.output.published, published, may_be_empty=True)
print(markdown(text))
