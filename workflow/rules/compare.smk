"""Rankings made elsewhere, compared with each other; nothing of them needs a model or a score store."""


wildcard_constraints:
    comparison=one_of(COMPARISONS) or "(?!)",


rule compare:
    input:
        lists=compared_lists,
        facts=compared_facts,
    output:
        overlap="results/compare/{comparison}/overlap.csv",
        structure="results/compare/{comparison}/structure.csv",
    log:
        "logs/compare/{comparison}.log",
    benchmark:
        "benchmarks/compare/{comparison}.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("compare.py"),
        model=compared_model,
        # Made from wildcards alone: what is made from input reruns nothing, and inputs are compared sorted.
        lists=compared_lists,
        files=lambda wildcards: own_files_told(compared_lists(wildcards)),
        code=code("compare.py"),
    shell:
        "{params.run} --lists {input.lists:q} {params.model} --overlap {output.overlap} --structure {output.structure}"
        " --log {log} --label {wildcards.comparison}"
