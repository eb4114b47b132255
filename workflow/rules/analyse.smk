"""Tables over all metrics that the configured experiments of one phase and model use."""


rule overlap:
    input:
        configured_stores,
    output:
        shown("results/{phase}/{model}/analysis/overlap.csv", "tables"),
    log:
        "logs/{phase}/{model}/analysis/overlap.log",
    benchmark:
        "benchmarks/{phase}/{model}/analysis/overlap.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("overlap.py"),
        code=code("overlap.py"),
    shell:
        "{params.run} --stores {input} --output {output}" " --log {log} --label {wildcards.phase}/{wildcards.model}"


rule concentration:
    input:
        configured_stores,
    output:
        shown("results/{phase}/{model}/analysis/concentration.csv", "tables"),
    log:
        "logs/{phase}/{model}/analysis/concentration.log",
    benchmark:
        "benchmarks/{phase}/{model}/analysis/concentration.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("concentration.py"),
        code=code("concentration.py"),
    shell:
        "{params.run} --stores {input} --output {output}" " --log {log} --label {wildcards.phase}/{wildcards.model}"
