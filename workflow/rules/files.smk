localrules:
    fetch_weights,
    fetch_archive,


# The bytes are held to a hash and never depend on the code that brings them, so there is no code digest, and
# consumers take the files as ancient: they depend on the row's hash instead (see `held`).
rule fetch_weights:
    output:
        weights=update("results/weights/{weights}.ckpt"),
        record=update("results/weights/{weights}.yaml"),
    log:
        "results/logs/fetch_weights/{weights}.log",
    benchmark:
        "results/benchmarks/fetch_weights/{weights}.tsv"
    conda:
        "../../envs/fetch.yaml"
    params:
        promise=promise_of("weights"),
        way=way_of("weights"),
    script:
        "../scripts/fetch_weights.py"


rule fetch_archive:
    output:
        archive=update("results/archives/{archive}.archive"),
        record=update("results/archives/{archive}.yaml"),
    log:
        "results/logs/fetch_archive/{archive}.log",
    benchmark:
        "results/benchmarks/fetch_archive/{archive}.tsv"
    conda:
        "../../envs/fetch.yaml"
    params:
        promise=promise_of("archives"),
        way=way_of("archives"),
    script:
        "../scripts/fetch_archive.py"


rule fetch_dataset:
    input:
        archives=archives_of,
    output:
        folder=directory("results/datasets/{dataset}"),
    log:
        "results/logs/fetch_dataset/{dataset}.log",
    benchmark:
        "results/benchmarks/fetch_dataset/{dataset}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        source=fetched_row,
        archives=unpackings_of,
        way=SimpleNamespace(offline=config["offline"]),
        code=code("fetch_dataset.py"),
    script:
        "../scripts/fetch_dataset.py"


rule fetch_all_weights:
    input:
        collect(rules.fetch_weights.output.weights, weights=weights_of_study()),
