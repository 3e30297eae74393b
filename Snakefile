"""Halfseen: what frozen image encoders still know when part of the picture is missing.

Read in this order: this file, config.yaml, one file of workflow/rules, its script in workflow/scripts, and the
module of workflow/halfseen that the script calls. What is made, with a key in its name that says what it was made from:

    results/manifests/{dataset}-{key}.csv           images, classes, groups and folds
    results/weights/{weights}.ckpt                  verified weight files
    results/archives/{archive}.archive              verified archives of data sets
    results/datasets/{dataset}-{key}/               what their archives hold
    results/shards/{dataset}/{shard}-{key}.h5       224 x 224 images with their masks
    results/features/{dataset}/{model}-{key}.h5     representations, a group per variant
    results/{masks,probes,similarity,neighbors,umap}/...    tables, one observation a row
    results/{study}/                                under plain names: tables, figures, report.html, atlas.html
"""

import sys
from copy import deepcopy
from pathlib import Path

from snakemake.settings.enums import RerunTrigger
from snakemake.utils import min_version

min_version("9.27")

ROOT = Path(workflow.basedir)
if set("{}") & set(str(ROOT)):
    raise WorkflowError(f"Snakemake cannot run from a folder with braces in its path; move {ROOT}")
# The one entry that lets rules and every job's script import the package; Absolute imports only.
sys.path.insert(0, str(ROOT / "workflow"))

# None of these needs a package that Snakemake itself does without.
from halfseen.choices import read_choices
from halfseen.commits import commit_of
from halfseen.config import check_config, take_labels
from halfseen.fetching import missing_files
from halfseen.ledger import MEASURE_KINDS, read_ledger, tables_of
from halfseen.study.artifacts import FILES, PART, RULES, digest
from halfseen.study.checks import check_study
from halfseen.study.cleanup import unneeded_files
from halfseen.study.code import Code
from halfseen.study.described import (
    atlas_settings,
    choices_for_claims,
    config_used,
    made_rows,
    pinned_packages,
    places,
    settings_for_choices,
    trained_models,
)
from halfseen.study.news import news_text
from halfseen.study.results import TABLES, artifact_rows, figures
from halfseen.study.study import FIGURE_MEASURES, Study


configfile: "config.yaml"


# As it is given: for a Snakemake of its own, which fills in the defaults itself.
GIVEN = deepcopy(config)
check_config(config, ROOT / "workflow/schemas/config.schema.yaml")
LABELS = take_labels(config)
CODE = Code()
COMMIT = commit_of(ROOT)

study = Study(config, code=CODE)
STUDY = study.name
RESULTS = f"results/{STUDY}"

if workflow.is_main_process:
    check_study(study)


report: "workflow/report/workflow.rst"


wildcard_constraints:
    dataset="|".join(config["datasets"]),
    model="|".join(config["models"]),
    weights="|".join(config["weights"]),
    archive="|".join(config["archives"]) or "(?!)",
    shard=r"\d+",
    part=r"\d+of\d+",
    key="[0-9a-f]+",


include: "workflow/rules/common.smk"
include: "workflow/rules/lookups.smk"
include: "workflow/rules/runs.smk"
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
    print(news_text(study), end="", file=sys.stderr)
    refuse_unknown_hashes(workflow.dag.needrun_jobs())
    missing = missing_files(files_of_run(), config["local_folder"], config["offline"])
    if missing:
        raise WorkflowError(
            f"{len(missing)} file(s) of this run may not be asked for over the network:\n"
            + "\n".join(missing)
        )


onsuccess:
    ran = {job.rule.name for job in workflow.dag.jobs}
    if ran & {"clean", "plan"}:
        log = (rules.clean if "clean" in ran else rules.plan).log[0]
        print(Path(log).read_text(), end="")
    elif Path(rules.make_report.output.report).exists():
        print(f"Table:   {rules.write_table1.output.markdown}")
        print(f"Figures: {RESULTS}/figures/")
        print(f"Report:  {rules.make_report.output.report}")
        print(f"Atlas:   {rules.make_atlas.output.html}")
