"""What of the paper holds on one study: its claims, their cells, and a page of both."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from pathlib import Path

from halfseen.claims import Evidence
from halfseen.claims_page import claims_page
from halfseen.claims_table import judge_claims, paper_evidence
from halfseen.files import write_table, write_text
from halfseen.mask_quality import meaning_text
from halfseen.tables import read_table

params = snakemake.params
evidence = Evidence(
    tables={name: read_table(path) for name, path in snakemake.input.items()},
    datasets=params.datasets,
    models=params.models,
    choices=params.choices,
    labels=params.labels,
)
printed = read_table(Path(snakemake.scriptdir).parent / "resources/paper_table1.csv")
claims, cells = judge_claims(params.ledger, evidence, paper_evidence(printed))
write_table(snakemake.output.csv, claims)
write_table(snakemake.output.cells, cells, may_be_empty=True)
meaning = meaning_text(params.notes, params.labels)
page = claims_page(claims, cells, params.title, params.labels, meaning, params.level)
write_text(snakemake.output.html, page)
print(claims[["id", "verdict", "finding", "reason"]].to_string())
