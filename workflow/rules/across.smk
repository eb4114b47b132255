"""Tables over all configured experiments: models, phases, checkpoints of a training run, text sets, kinds of blocks."""


wildcard_constraints:
    across_table=one_of(table.name.removesuffix(".csv") for table in ACROSS_TABLES),


rule across:
    input:
        stores=all_stores,
        facts=all_facts,
    output:
        shown_across("results/report/{across_table}.csv", "across", result="{across_table}"),
    log:
        "logs/report/{across_table}.log",
    benchmark:
        "benchmarks/report/{across_table}.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("across.py"),
        # The stores come in their order, which the tables keep, and inputs are compared sorted.
        models=lambda wildcards: phases_and_models(),
        checkpoints=checkpoint_options,
        code=code("across.py"),
    shell:
        "{params.run} {wildcards.across_table} --stores {input.stores} --checkpoints {params.checkpoints:q}"
        " --output {output} --log {log} --label {wildcards.across_table}"
