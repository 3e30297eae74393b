rule fit_probes:
    input:
        unpack(inputs("probes")),
    output:
        **files("probes"),
    log:
        "results/logs/fit_probes/{dataset}/{model}-{key}.log",
    benchmark:
        "results/benchmarks/fit_probes/{dataset}/{model}-{key}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=memory("fit_probes"),
        runtime=minutes("fit_probes"),
    params:
        job=job("probes"),
    script:
        "../scripts/fit_probes.py"


# One job for all models of a data set: its intervals are of differences between models, too.
rule compare_probes:
    input:
        unpack(inputs("probe_comparisons")),
    output:
        **files("probe_comparisons"),
    log:
        "results/logs/compare_probes/{dataset}-{key}.log",
    benchmark:
        "results/benchmarks/compare_probes/{dataset}-{key}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=memory("compare_probes"),
        runtime=minutes("compare_probes"),
    params:
        job=job("probe_comparisons"),
    script:
        "../scripts/compare_probes.py"


rule measure_similarity:
    input:
        unpack(inputs("similarity")),
    output:
        **files("similarity"),
    log:
        "results/logs/measure_similarity/{dataset}/{model}-{key}.log",
    benchmark:
        "results/benchmarks/measure_similarity/{dataset}/{model}-{key}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=memory("measure_similarity"),
        runtime=minutes("measure_similarity"),
    params:
        job=job("similarity"),
    script:
        "../scripts/measure_similarity.py"


# One job for all models of a data set: it compares every representation with every other.
rule compare_models:
    input:
        unpack(inputs("model_comparisons")),
    output:
        **files("model_comparisons"),
    log:
        "results/logs/compare_models/{dataset}-{key}.log",
    benchmark:
        "results/benchmarks/compare_models/{dataset}-{key}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=memory("compare_models"),
        runtime=minutes("compare_models"),
    params:
        job=job("model_comparisons"),
    script:
        "../scripts/compare_models.py"


rule count_neighbors:
    input:
        unpack(inputs("neighbors")),
    output:
        **files("neighbors"),
    log:
        "results/logs/count_neighbors/{dataset}/{model}-{key}.log",
    benchmark:
        "results/benchmarks/count_neighbors/{dataset}/{model}-{key}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=memory("count_neighbors"),
        runtime=minutes("count_neighbors"),
    params:
        job=job("neighbors"),
    script:
        "../scripts/count_neighbors.py"


# One job for all models of a data set: compiling umap takes longer than fitting it.
rule embed_umap:
    input:
        unpack(inputs("umap")),
    output:
        **files("umap"),
    log:
        "results/logs/embed_umap/{dataset}-{key}.log",
    benchmark:
        "results/benchmarks/embed_umap/{dataset}-{key}.tsv"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=memory("embed_umap"),
        runtime=minutes("embed_umap"),
    params:
        job=job("umap"),
    script:
        "../scripts/embed_umap.py"
