rule write_manifest:
    input:
        unpack(inputs("manifests")),
    output:
        **files("manifests"),
    log:
        "results/logs/write_manifest/{dataset}-{key}.log",
    benchmark:
        "results/benchmarks/write_manifest/{dataset}-{key}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=memory("write_manifest"),
        runtime=minutes("write_manifest"),
    params:
        job=job("manifests"),
    script:
        "../scripts/write_manifest.py"


# Shards run side by side; one thread each is faster in sum than more for one.
rule build_shard:
    input:
        unpack(inputs("shards")),
    output:
        **files("shards"),
    log:
        "results/logs/build_shard/{dataset}/{shard}-{key}.log",
    benchmark:
        "results/benchmarks/build_shard/{dataset}/{shard}-{key}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=memory("build_shard"),
        runtime=minutes("build_shard"),
    params:
        job=job("shards"),
    script:
        "../scripts/build_shard.py"


rule assess_masks:
    input:
        unpack(inputs("masks")),
    output:
        **files("masks"),
    log:
        "results/logs/assess_masks/{dataset}-{key}.log",
    benchmark:
        "results/benchmarks/assess_masks/{dataset}-{key}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=memory("assess_masks"),
        runtime=minutes("assess_masks"),
    params:
        job=job("masks"),
    script:
        "../scripts/assess_masks.py"
