localrules:
    clean,
    plan,


# What the costs of jobs depend on.
PLANNED = (
    "study",
    "studies",
    "folds",
    "datasets",
    "segmenters",
    "prompts",
    "models",
    "probes",
    "similarity",
    "neighbors",
    "umap",
    "weights",
    "archives",
)


# Not part of a study: `snakemake clean` names what no study of the configuration needs and how much it takes, and
# removes it with `--config remove_unneeded=True`. It has no output, and no benchmark, which would be one, so that it
# always runs.
rule clean:
    log:
        "results/logs/clean.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        files=unneeded,
        is_removed=config["remove_unneeded"],
    script:
        "../scripts/clean.py"


# `snakemake plan` prints what the study will take before anything starts, and leaves it as a table. Without an output,
# like clean, it always runs.
rule plan:
    log:
        f"results/logs/plan/{STUDY}.log",
    conda:
        "../../envs/figures.yaml"
    params:
        config={key: config[key] for key in PLANNED},
        listing=listing_of_study,
        outputs=outputs_of_rules,
        requests=requests_of_jobs,
        of_profile=resources_of_profile,
        manifests=manifests_of_datasets,
        benchmarks=benchmarks_of_rules,
        rates=str(ROOT / "workflow/resources/default_rates.yaml"),
        measured="results/benchmarks",
        table=f"{RESULTS}/plan.csv",
        cores=cores_of_run,
    script:
        "../scripts/plan.py"
