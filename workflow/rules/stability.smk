"""Up to which k the rankings of one phase and model are more than noise of their calibration texts."""


rule stability:
    input:
        stores=configured_stores,
        others=stores_of_other_seeds,
    output:
        overlaps=shown("results/{phase}/{model}/analysis/stability.csv", "tables"),
        weights=shown("results/{phase}/{model}/analysis/weight_stability.csv", "tables"),
    log:
        "logs/{phase}/{model}/analysis/stability.log",
    benchmark:
        "benchmarks/{phase}/{model}/analysis/stability.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("stability.py"),
        # Notes name their seeds in this order, and inputs are compared sorted.
        others=stores_of_other_seeds,
        options=[f"--{key}={value}" for key, value in config["stability"].items()],
        code=code("stability.py"),
    shell:
        "{params.run} --stores {input.stores} --others {input.others} {params.options}"
        " --output {output.overlaps} --weights {output.weights}"
        " --log {log} --label {wildcards.phase}/{wildcards.model}"
