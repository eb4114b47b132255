"""Criteria that the config declares before the run, judged on the tables that they are about."""


rule criteria:
    input:
        judged_tables(across=False),
    output:
        shown("results/{phase}/{model}/analysis/criteria.csv", "tables"),
    log:
        "logs/{phase}/{model}/analysis/criteria.log",
    benchmark:
        "benchmarks/{phase}/{model}/analysis/criteria.tsv"
    priority: by_experiments
    conda:
        ENVIRONMENT
    params:
        run=stage("criteria.py"),
        options=criteria_options(across=False),
        code=code("criteria.py"),
    shell:
        "{params.run} {params.options:q} --output {output} --log {log} --label {wildcards.phase}/{wildcards.model}"


rule criteria_across:
    input:
        judged_tables(across=True),
    output:
        shown_across("results/report/criteria.csv", "criteria"),
    log:
        "logs/report/criteria.log",
    benchmark:
        "benchmarks/report/criteria.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("criteria.py"),
        options=criteria_options(across=True),
        code=code("criteria.py"),
    shell:
        "{params.run} {params.options:q} --output {output} --log {log} --label across"
