rule fit_probes:
    input:
        manifest=rules.write_manifest.output.manifest,
        features=rules.extract_features.output.features,
    output:
        table="results/probes/{dataset}/{model}.csv",
        predictions="results/probes/{dataset}/{model}.predictions.parquet",
        selection="results/probes/{dataset}/{model}.selection.csv",
    log:
        "results/logs/fit_probes/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/fit_probes/{dataset}/{model}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(480),
    params:
        variants=VARIANTS,
        protocols=rows_of("probes"),
        solver=config["solver"],
        seed=config["seed"],
        code=code("fit_probes.py"),
    script:
        "../scripts/fit_probes.py"


# One job for all models of a data set: its intervals are of differences between models, too.
rule compare_probes:
    input:
        predictions=collect(rules.fit_probes.output.predictions, model=MODELS, allow_missing=True),
    output:
        cells=f"{RESULTS}/probes/{{dataset}}.cells.csv",
        differences=f"{RESULTS}/probes/{{dataset}}.differences.csv",
        margins=f"{RESULTS}/probes/{{dataset}}.margins.csv",
        agreement=f"{RESULTS}/probes/{{dataset}}.agreement.csv",
    log:
        f"results/logs/compare_probes/{STUDY}/{{dataset}}.log",
    benchmark:
        f"results/benchmarks/compare_probes/{STUDY}/{{dataset}}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        bootstrap=config["bootstrap"],
        seed=config["seed"],
        code=code("compare_probes.py"),
    script:
        "../scripts/compare_probes.py"


rule measure_similarity:
    input:
        manifest=rules.write_manifest.output.manifest,
        features=rules.extract_features.output.features,
    output:
        table="results/similarity/{dataset}/{model}.csv",
        calibration="results/similarity/{dataset}/{model}.calibration.csv",
        confounds="results/similarity/{dataset}/{model}.confounds.csv",
        curves="results/similarity/{dataset}/{model}.curves.csv",
        sizes="results/similarity/{dataset}/{model}.sizes.csv",
        additivity="results/similarity/{dataset}/{model}.additivity.csv",
    log:
        "results/logs/measure_similarity/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/measure_similarity/{dataset}/{model}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        variants=VARIANTS,
        measures=rows_of("measures"),
        similarity=config["similarity"],
        seed=config["seed"],
        code=code("measure_similarity.py"),
    script:
        "../scripts/measure_similarity.py"


# One job for all models of a data set: it compares every representation with every other.
rule compare_models:
    input:
        manifest=rules.write_manifest.output.manifest,
        features=collect(rules.extract_features.output.features, model=MODELS, allow_missing=True),
        predictions=collect(rules.fit_probes.output.predictions, model=MODELS, allow_missing=True),
    output:
        table=f"{RESULTS}/similarity/{{dataset}}.models.csv",
        patterns=f"{RESULTS}/similarity/{{dataset}}.patterns.csv",
        map=f"{RESULTS}/similarity/{{dataset}}.map.csv",
    log:
        f"results/logs/compare_models/{STUDY}/{{dataset}}.log",
    benchmark:
        f"results/benchmarks/compare_models/{STUDY}/{{dataset}}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        models=MODELS,
        variants=VARIANTS,
        measures=rows_of("measures"),
        pixels=next(
            (name for name, row in rows_of("models").items() if row["loader"] == "pixels"), None
        ),
        protocol=PROTOCOLS[0],
        code=code("compare_models.py"),
    script:
        "../scripts/compare_models.py"


rule count_neighbors:
    input:
        manifest=rules.write_manifest.output.manifest,
        features=rules.extract_features.output.features,
    output:
        table="results/neighbors/{dataset}/{model}.csv",
        measures="results/neighbors/{dataset}/{model}.measures.csv",
    log:
        "results/logs/count_neighbors/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/count_neighbors/{dataset}/{model}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=growing(neighbor_memory_mb),
        runtime=growing(60),
    params:
        variants=VARIANTS,
        neighbors=config["neighbors"],
        bootstrap=config["bootstrap"],
        seed=config["seed"],
        code=code("count_neighbors.py"),
    script:
        "../scripts/count_neighbors.py"


# One job for all models of a data set: compiling umap takes longer than fitting it.
rule embed_umap:
    input:
        manifest=rules.write_manifest.output.manifest,
        features=collect(rules.extract_features.output.features, model=MODELS, allow_missing=True),
    output:
        table=f"{RESULTS}/umap/{{dataset}}.csv",
        trust=f"{RESULTS}/umap/{{dataset}}.trustworthiness.csv",
    log:
        f"results/logs/embed_umap/{STUDY}/{{dataset}}.log",
    benchmark:
        f"results/benchmarks/embed_umap/{STUDY}/{{dataset}}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=growing(240),
    params:
        models=MODELS,
        variants=VARIANTS,
        umap=config["umap"],
        seed=config["seed"],
        code=code("embed_umap.py"),
    script:
        "../scripts/embed_umap.py"
