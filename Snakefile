"""Halfseen: what frozen image encoders still know when part of the picture is missing.

Read in this order: this file, config.yaml, one file of workflow/rules, its script in workflow/scripts, and the
module of workflow/halfseen that the script calls. What is made:

    results/manifests/{dataset}.csv           images, classes, groups and folds
    results/weights/{weights}.ckpt            verified weight files
    results/archives/{archive}.archive        verified archives of data sets
    results/datasets/{dataset}/               what their archives hold
    results/shards/{dataset}/{shard}.h5       224 x 224 images with their masks
    results/features/{dataset}/{model}.h5     representations, a group per variant
    results/{masks,probes,similarity,neighbors,umap}/...    tables, one observation a row
    results/{study}/                          tables, table1.*, figures/, report.html and atlas.html of a study
"""

import sys
from copy import deepcopy
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")

ROOT = Path(workflow.basedir)
# The one entry that lets rules and every job's script import the package; Absolute imports only.
sys.path.insert(0, str(ROOT / "workflow"))

# None of these needs a package that Snakemake itself does without.
from halfseen.choices import read_choices
from halfseen.circles import has_doses
from halfseen.commits import commit_of
from halfseen.config import check_config, take_labels
from halfseen.digests import code_digest, content_digest
from halfseen.fetching import is_of_row, missing_files
from halfseen.ledger import MEASURE_KINDS, read_ledger, tables_of


configfile: "config.yaml"


# As it was before defaults were filled in: what `snakemake plan` hands on.
GIVEN = deepcopy(config)
check_config(config, ROOT / "workflow/schemas/config.schema.yaml")
LABELS = take_labels(config)

STUDY = config["study"]
DATASETS = lookup(dpath=f"studies/{STUDY}/datasets", within=config)
MODELS = lookup(dpath=f"studies/{STUDY}/models", within=config)
VARIANTS = lookup(dpath=f"studies/{STUDY}/variants", within=config)
MEASURES = lookup(dpath=f"studies/{STUDY}/measures", within=config)
PROTOCOLS = lookup(dpath=f"studies/{STUDY}/probes", within=config)
RESULTS = f"results/{STUDY}"


report: "workflow/report/workflow.rst"


wildcard_constraints:
    dataset="|".join(config["datasets"]),
    model="|".join(config["models"]),
    weights="|".join(config["weights"]),
    archive="|".join(config["archives"]),
    shard=r"\d+",
    part=r"\d+",


include: "workflow/rules/common.smk"
include: "workflow/rules/files.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/analyses.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/upkeep.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        rules.make_report.output,
        rules.make_atlas.output,


# Hours before the job that would miss it.
onstart:
    missing = missing_files(files_of_run(), config["local_folder"], config["offline"])
    if missing:
        raise WorkflowError(
            f"{len(missing)} file(s) of this run may not be asked for over the network:\n"
            + "\n".join(missing)
        )


onsuccess:
    if rules.clean_orphans.rule in {job.rule for job in workflow.dag.jobs}:
        print(Path(rules.clean_orphans.log[0]).read_text() or "Nothing is left over.")
    elif rules.plan.rule in {job.rule for job in workflow.dag.jobs}:
        print(Path(rules.plan.log[0]).read_text())
    elif Path(rules.make_report.output.report).exists():
        print(f"Table:   {rules.write_table1.output.markdown}")
        print(f"Figures: {RESULTS}/figures/")
        print(f"Report:  {rules.make_report.output.report}")
        print(f"Atlas:   {rules.make_atlas.output.html}")
