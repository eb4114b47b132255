"""How far the metrics of one phase and model rank and score alike."""


rule agreement:
    input:
        configured_stores,
    output:
        shown("results/{phase}/{model}/analysis/agreement.csv", "tables"),
    log:
        "logs/{phase}/{model}/analysis/agreement.log",
    benchmark:
        "benchmarks/{phase}/{model}/analysis/agreement.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("agreement.py"),
        code=code("agreement.py"),
    shell:
        "{params.run} --stores {input} --output {output}" " --log {log} --label {wildcards.phase}/{wildcards.model}"
