localrules:
    fetch_weights,
    fetch_archive,


# The bytes are held to a hash, here and where they are used, and never depend on the code that brings them.
rule fetch_weights:
    output:
        weights="results/weights/{weights}.ckpt",
        record="results/weights/{weights}.yaml",
    log:
        "results/logs/fetch_weights/{weights}.log",
    benchmark:
        "results/benchmarks/fetch_weights/{weights}.tsv"
    conda:
        "../../envs/fetch.yaml"
    params:
        promised=promised("weights"),
        settings=download_settings("weights"),
    script:
        "../scripts/fetch_weights.py"


rule fetch_archive:
    output:
        archive="results/archives/{archive}.archive",
        record="results/archives/{archive}.yaml",
    log:
        "results/logs/fetch_archive/{archive}.log",
    benchmark:
        "results/benchmarks/fetch_archive/{archive}.tsv"
    conda:
        "../../envs/fetch.yaml"
    params:
        promised=promised("archives"),
        settings=download_settings("archives"),
    script:
        "../scripts/fetch_archive.py"


rule fetch_dataset:
    input:
        unpack(inputs("datasets")),
    output:
        folder=directory(files("datasets")["folder"]),
        record=files("datasets")["record"],
    log:
        "results/logs/fetch_dataset/{dataset}-{key}.log",
    benchmark:
        "results/benchmarks/fetch_dataset/{dataset}-{key}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=memory("fetch_dataset"),
        runtime=minutes("fetch_dataset"),
    params:
        job=job("datasets"),
    script:
        "../scripts/fetch_dataset.py"


rule fetch_all_weights:
    input:
        collect(rules.fetch_weights.output.weights, weights=study.weights()),
