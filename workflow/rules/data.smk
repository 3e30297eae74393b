rule write_manifest:
    input:
        folder=dataset_folder,
    output:
        manifest="results/manifests/{dataset}.csv",
        bad_images="results/manifests/{dataset}.bad_images.csv",
        near_duplicates="results/manifests/{dataset}.near_duplicates.csv",
    log:
        "results/logs/write_manifest/{dataset}.log",
    benchmark:
        "results/benchmarks/write_manifest/{dataset}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        source=source_row,
        screening=screening_row,
        seed=config["seed"],
        folds=config["folds"],
        code=code("write_manifest.py"),
    script:
        "../scripts/write_manifest.py"


rule build_shard:
    input:
        manifest=rules.write_manifest.output.manifest,
        folder=dataset_folder,
        weights=segmenter_weights,
        detectors=detector_weights,
    output:
        shard="results/shards/{dataset}/{shard}.h5",
    log:
        "results/logs/build_shard/{dataset}/{shard}.log",
    benchmark:
        "results/benchmarks/build_shard/{dataset}/{shard}.tsv"
    conda:
        "../../envs/torch.yaml"
    # Shards run side by side; one thread each is faster in sum than more for one.
    threads: 1
    resources:
        mem_mb=shard_memory_mb,
        runtime=growing(240),
    params:
        source=source_row,
        seed=config["seed"],
        segmenter=segmenter_row,
        masking=masking_row,
        detectors=detector_hashes,
        n_shards=lookup(dpath="datasets/{dataset}/shards", within=config),
        code=code("build_shard.py"),
    script:
        "../scripts/build_shard.py"


rule assess_masks:
    input:
        manifest=rules.write_manifest.output.manifest,
        shards=shards_of,
    output:
        table="results/masks/{dataset}.csv",
    log:
        "results/logs/assess_masks/{dataset}.log",
    benchmark:
        "results/benchmarks/assess_masks/{dataset}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        passing=config["passing_masks"],
        code=code("assess_masks.py"),
    script:
        "../scripts/assess_masks.py"
