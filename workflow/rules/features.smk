# `update` leaves the file in place: variants whose content key still holds are kept.
rule extract_features:
    input:
        manifest=rules.write_manifest.output.manifest,
        shards=shards_of,
        weights=model_weights,
    output:
        features=update("results/features/{dataset}/{model}.h5"),
    log:
        "results/logs/extract_features/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/extract_features/{dataset}/{model}.tsv"
    conda:
        "../../envs/torch.yaml"
    # Models and data sets run side by side; one thread each is faster in sum than more for one.
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        model=model_row,
        variants={name: config["variants"][name] for name in VARIANTS},
        seed=config["seed"],
        code=code("extract_features.py"),
    script:
        "../scripts/extract_features.py"
