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
    wildcard_constraints:
        dataset="|".join(AT_ONCE) or NEVER,
    conda:
        "../../envs/torch.yaml"
    # Models and data sets run side by side; one thread each is faster in sum than more for one.
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        model=model_row,
        variants=rows_of("variants"),
        seed=config["seed"],
        code=code("extract_features.py"),
    script:
        "../scripts/extract_features.py"


# The same for a data set whose row says `extraction_shards`: each of these jobs takes a range of its images.
rule extract_part:
    input:
        manifest=rules.write_manifest.output.manifest,
        shards=shards_of,
        weights=model_weights,
    output:
        features=update("results/features/{dataset}/{model}/{part}.h5"),
    log:
        "results/logs/extract_part/{dataset}/{model}/{part}.log",
    benchmark:
        "results/benchmarks/extract_part/{dataset}/{model}/{part}.tsv"
    wildcard_constraints:
        dataset="|".join(IN_PARTS) or NEVER,
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        model=model_row,
        variants=rows_of("variants"),
        n_parts=lookup(dpath="datasets/{dataset}/extraction_shards", within=config),
        seed=config["seed"],
        key_code=code("extract_features.py"),
        code=code("extract_part.py"),
    script:
        "../scripts/extract_part.py"


# One file, as extract_features leaves it to the byte. The parts stay: they keep their variants when another one comes.
rule gather_features:
    input:
        manifest=rules.write_manifest.output.manifest,
        shards=shards_of,
        parts=parts_of,
        weights=model_weights,
    output:
        features=update("results/features/{dataset}/{model}.h5"),
    log:
        "results/logs/gather_features/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/gather_features/{dataset}/{model}.tsv"
    wildcard_constraints:
        dataset="|".join(IN_PARTS) or NEVER,
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        model=model_row,
        variants=rows_of("variants"),
        seed=config["seed"],
        key_code=code("extract_features.py"),
        code=code("gather_features.py"),
    script:
        "../scripts/gather_features.py"
