"""Tasks of lm-evaluation-harness before and after the weights of each configured run are changed; optional."""


rule downstream:
    input:
        record="resources/models/{model}.json",
        facts="results/{phase}/{model}/model.json",
        selections=configured_rankings,
        tasks=task_files,
    output:
        "results/{phase}/{model}/interventions/downstream.csv",
    log:
        "logs/{phase}/{model}/interventions/downstream.log",
    benchmark:
        "benchmarks/{phase}/{model}/interventions/downstream.tsv"
    conda:
        ENVIRONMENT
    threads: lambda wildcards: 1 if is_small(wildcards.model) else 8
    resources:
        gpu=asks_gpu,
        mem_mb=asks_memory_whole,
        runtime=asks_minutes,
    params:
        run=stage("downstream.py"),
        device=device,
        options=downstream_settings,
        code=code("downstream.py"),
    shell:
        "{params.run} --record {input.record} --facts {input.facts} --selections {input.selections}"
        " {params.options:q} --device {params.device} --output {output}"
        " --log {log} --label {wildcards.phase}/{wildcards.model}"
