"""The paper's Table 1 beside ours, what it tells and leaves open, and a page of both."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from halfseen.comparison_page import choices_table, comparison_page
from halfseen.files import write_table, write_text
from halfseen.paper_comparison import compare_with_paper, comparison_summary
from halfseen.tables import read_table

params = snakemake.params
compared = compare_with_paper(read_table(snakemake.input.table1))
choices = choices_table(params.choices, params.labels)
write_table(snakemake.output.csv, compared, may_be_empty=True)
write_table(snakemake.output.choices, choices)
page = comparison_page(compared, choices, params.title, params.labels)
write_text(snakemake.output.html, page)
print(comparison_summary(compared).to_string())
print(choices.to_string())
