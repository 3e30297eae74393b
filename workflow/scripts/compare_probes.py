"""How sure the probes of one data set are: intervals, paired differences, agreement."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from functools import partial

import numpy as np
import pandas as pd

from halfseen.files import write_table
from halfseen.study.records import check_records, write_record
from halfseen.uncertainty import (
    agreement_table,
    cell_table,
    difference_table,
    margins_of,
    named_margins,
)

job = snakemake.params.job
check_records(job.expected)
predictions = pd.concat([pd.read_parquet(path) for path in snakemake.input.predictions])
draws, level = job.bootstrap["draws"], job.bootstrap["level"]
for table, output in (
    (cell_table, snakemake.output.cells),
    (difference_table, snakemake.output.differences),
    (partial(named_margins, margins=margins_of(job.roles)), snakemake.output.margins),
):
    rng = np.random.default_rng(job.seed)
    write_table(output, table(predictions, draws, rng, level), may_be_empty=True)
agreement = agreement_table(predictions, job.roles.get("whole"))
write_table(snakemake.output.agreement, agreement, may_be_empty=True)
write_record(snakemake.output.record, job.record, job.commit)
