# Data sets whose representations are extracted by one job a model, and by several.
AT_ONCE = [name for name, row in config["datasets"].items() if row["extraction_shards"] == 1]
IN_PARTS = [name for name in config["datasets"] if name not in AT_ONCE]
NEVER = "(?!)"


# Models and data sets run side by side; one thread each is faster in sum than more for one. A variant that an earlier
# file holds under its key is taken over.
rule extract_features:
    input:
        unpack(inputs("features")),
    output:
        **files("features"),
    log:
        "results/logs/extract_features/{dataset}/{model}-{key}.log",
    benchmark:
        "results/benchmarks/extract_features/{dataset}/{model}-{key}.tsv"
    wildcard_constraints:
        dataset="|".join(AT_ONCE) or NEVER,
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=memory("extract_features"),
        runtime=minutes("extract_features"),
    params:
        job=job("features"),
    script:
        "../scripts/extract_features.py"


# The same for a data set whose row says `extraction_shards`: each of these jobs takes a range of its images.
rule extract_part:
    input:
        unpack(inputs("features")),
    output:
        features=temp(f"results/{PART}"),
    log:
        "results/logs/extract_part/{dataset}/{model}-{key}.{part}.log",
    benchmark:
        "results/benchmarks/extract_part/{dataset}/{model}-{key}.{part}.tsv"
    wildcard_constraints:
        dataset="|".join(IN_PARTS) or NEVER,
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=memory("extract_part"),
        runtime=minutes("extract_part"),
    params:
        job=job("features"),
    script:
        "../scripts/extract_part.py"


# One file, as extract_features writes it to the byte.
rule gather_features:
    input:
        unpack(parts_of),
    output:
        **files("features"),
    log:
        "results/logs/gather_features/{dataset}/{model}-{key}.log",
    benchmark:
        "results/benchmarks/gather_features/{dataset}/{model}-{key}.tsv"
    wildcard_constraints:
        dataset="|".join(IN_PARTS) or NEVER,
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=memory("gather_features"),
        runtime=minutes("gather_features"),
    params:
        job=job("features"),
    script:
        "../scripts/gather_features.py"
