localrules:
    fetch_weights,


# The bytes are held to a hash and never depend on the code that brings them, so there is no code digest, and
# consumers take the files as ancient: they depend on the row's hash instead.
rule fetch_weights:
    output:
        weights=update("results/weights/{weights}.ckpt"),
        record=update("results/weights/{weights}.yaml"),
    log:
        "results/logs/fetch_weights/{weights}.log",
    benchmark:
        "results/benchmarks/fetch_weights/{weights}.tsv"
    conda:
        "../../envs/data.yaml"
    params:
        row=lookup(dpath="weights/{weights}", within=config),
        folder=config["weights_folder"],
    script:
        "../scripts/fetch_weights.py"


rule fetch_all_weights:
    input:
        collect(rules.fetch_weights.output.weights, weights=config["weights"]),
