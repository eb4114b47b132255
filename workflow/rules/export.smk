"""A run's selection for other programs: made only when it is asked for, and no part of what a run folder must hold."""

for option in ("selection", "mask", "parquet"):

    rule:
        name:
            f"export_{option}"
        input:
            ranking="results/{phase}/{model}/{metric}_{mode}_k{k}/top_weights.csv",
            facts="results/{phase}/{model}/model.json",
        output:
            f"results/{{phase}}/{{model}}/{{metric}}_{{mode}}_k{{k}}/{result_paths.EXPORTS[option]}",
        log:
            f"logs/{{phase}}/{{model}}/{{metric}}_{{mode}}_k{{k}}/export_{option}.log",
        benchmark:
            f"benchmarks/{{phase}}/{{model}}/{{metric}}_{{mode}}_k{{k}}/export_{option}.tsv"
        conda:
            ENVIRONMENT
        params:
            run=stage("export.py"),
            option=option,
            code=code("export.py"),
        shell:
            "{params.run} {input.ranking} --facts {input.facts} --{params.option} {output} --log {log}"
            " --label {wildcards.phase}/{wildcards.model}/{wildcards.metric}_{wildcards.mode}_k{wildcards.k}"
