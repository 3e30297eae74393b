localrules:
    clean_orphans,


# Not part of a study: `snakemake clean_orphans` names what rows that are gone have left on disk, and deletes it with
# `--config delete_orphans=True`. It has no output, and no benchmark, which would be one, so that it always runs.
rule clean_orphans:
    log:
        "results/logs/clean_orphans.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        folder="results",
        features="results/features",
        patterns=patterns_of_rules,
        rows=rows_that_are_there,
        variants=list(config["variants"]),
        delete=config["delete_orphans"],
        code=code("clean_orphans.py"),
    script:
        "../scripts/clean_orphans.py"
