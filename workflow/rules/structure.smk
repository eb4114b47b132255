"""Where top weights lie, what the first position has to do with it, and sensitivity by part for quantisers."""


rule structure:
    input:
        rankings=configured_rankings,
        stores=configured_stores,
        facts="results/{phase}/{model}/model.json",
        tokens="results/{phase}/{model}/tokens.json",
    output:
        structure=shown("results/{phase}/{model}/analysis/structure.csv", "tables"),
        tokens=shown("results/{phase}/{model}/analysis/tokens.csv", "tables"),
    log:
        "logs/{phase}/{model}/analysis/structure.log",
    benchmark:
        "benchmarks/{phase}/{model}/analysis/structure.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("structure.py"),
        # The table has their order, and inputs are compared sorted.
        experiments=lambda wildcards: [e.label for e in configured(wildcards.phase, wildcards.model)],
        code=code("structure.py"),
    shell:
        "{params.run} --rankings {input.rankings} --stores {input.stores} --facts {input.facts}"
        " --tokens {input.tokens} --output {output.structure} --tokens-output {output.tokens}"
        " --log {log} --label {wildcards.phase}/{wildcards.model}"


rule first_position:
    input:
        stores=configured_stores,
        facts="results/{phase}/{model}/model.json",
        tokens="results/{phase}/{model}/tokens.json",
    output:
        shown("results/{phase}/{model}/analysis/first_position.csv", "tables"),
    log:
        "logs/{phase}/{model}/analysis/first_position.log",
    benchmark:
        "benchmarks/{phase}/{model}/analysis/first_position.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("first_position.py"),
        code=code("first_position.py"),
    shell:
        "{params.run} --stores {input.stores} --facts {input.facts} --tokens {input.tokens} --output {output}"
        " --log {log} --label {wildcards.phase}/{wildcards.model}"


rule sensitivity_table:
    input:
        stores=configured_stores,
        facts="results/{phase}/{model}/model.json",
    output:
        shown("results/{phase}/{model}/analysis/sensitivity_table.csv", "tables"),
    log:
        "logs/{phase}/{model}/analysis/sensitivity_table.log",
    benchmark:
        "benchmarks/{phase}/{model}/analysis/sensitivity_table.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("sensitivity_table.py"),
        code=code("sensitivity_table.py"),
    shell:
        "{params.run} --stores {input.stores} --facts {input.facts} --output {output}"
        " --log {log} --label {wildcards.phase}/{wildcards.model}"
