localrules:
    clean_orphans,
    plan,


# Not part of a study: `snakemake clean_orphans` names what rows that are gone have left on disk, and deletes it with
# `--config delete_orphans=True`. It has no output, and no benchmark, which would be one, so that it always runs.
rule clean_orphans:
    log:
        "results/logs/clean_orphans.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        folder="results",
        features=features_that_are_there,
        patterns=patterns_of_rules,
        rows=rows_that_are_there,
        variants=list(config["variants"]),
        delete=config["delete_orphans"],
        code=code("clean_orphans.py"),
    script:
        "../scripts/clean_orphans.py"


# `snakemake plan` prints what the study will take before anything starts, and leaves it as a table. Without an output,
# like clean_orphans, it always runs.
rule plan:
    log:
        f"results/logs/plan/{STUDY}.log",
    conda:
        "../../envs/figures.yaml"
    params:
        config=tables_of_plan,
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
        code=code("plan.py"),
    script:
        "../scripts/plan.py"
