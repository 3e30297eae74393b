"""How sure the probes of one data set are: intervals, paired differences, agreement."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

import numpy as np
import pandas as pd

from halfseen.files import write_table
from halfseen.uncertainty import agreement_table, cell_table, difference_table, named_margins

predictions = pd.concat([pd.read_parquet(path) for path in snakemake.input.predictions])
draws, level = snakemake.params.bootstrap["draws"], snakemake.params.bootstrap["level"]
for table, output in (
    (cell_table, snakemake.output.cells),
    (difference_table, snakemake.output.differences),
    (named_margins, snakemake.output.margins),
):
    rng = np.random.default_rng(snakemake.params.seed)
    write_table(output, table(predictions, draws, rng, level), may_be_empty=True)
write_table(snakemake.output.agreement, agreement_table(predictions), may_be_empty=True)
