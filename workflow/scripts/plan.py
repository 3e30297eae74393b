"""Print what a study will take, before anything starts."""

from halfseen.logs import log_to

log_to(snakemake.log[0])

from pathlib import Path

import yaml

from halfseen.costs import Costs
from halfseen.files import write_table
from halfseen.plan import (
    dataset_size,
    described,
    listed_jobs,
    measured_paces,
    plan_table,
    requests_text,
    short_requests,
)

params = snakemake.params
rates = yaml.safe_load(Path(params.rates).read_text("utf-8"))
config = dict(params.config)
jobs = listed_jobs(params.listing, params.outputs, params.requests)
sizes = {
    name: dataset_size(config["datasets"][name], manifest, rates["rates"])
    for name, manifest in params.manifests.items()
}
costs = Costs(config, sizes, rates)
paces = measured_paces(params.measured, params.benchmarks, costs)
table = plan_table(jobs, costs, paces)
write_table(params.table, table.round(6))
print(described(table, sizes, params.cores), end="")
print(requests_text(short_requests(jobs, costs, paces), params.of_profile), end="")
