localrules:
    fetch_weights,
    fetch_archive,


def promised(table):
    """The hashes that the file of a row of `table` must have: another one is fetched anew."""

    def hashes(wildcards):
        row = config[table][wildcards[0]]
        return {key: row.get(key) for key in ("sha256", "md5")}

    return hashes


def download_settings(table):
    """All that says how the file of a row of `table` is brought.

    A namespace, because Snakemake compares plain values only: what is there already was held to its hash, and nothing
    is asked for again because of another mirror, folder or license.
    """

    def settings(wildcards):
        row = config[table][wildcards[0]]
        arguments = {key: row[key] for key in row if key not in ("into", "nested")}
        return SimpleNamespace(
            **arguments, local_folder=config["local_folder"], offline=config["offline"]
        )

    return settings


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
