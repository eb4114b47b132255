"""Scores of every weight: one job a family of metrics, the stage that wants a GPU."""

for family in FAMILIES:

    rule:
        name:
            f"score_{family}"
        input:
            record="resources/models/{model}.json",
            facts="results/{phase}/{model}/model.json",
            tokens=token_file(family),
        output:
            [f"results/{{phase}}/{{model}}/scores/{metric.path}.h5" for metric in family_metrics(family)],
        log:
            f"logs/{{phase}}/{{model}}/score_{family}.log",
        benchmark:
            f"benchmarks/{{phase}}/{{model}}/score_{family}.tsv"
        # Before analyses and figures, the longest family first: the interventions, longer still, wait for all of them.
        priority: 2 if family == "curvature" else 1
        conda:
            ENVIRONMENT
        # The bundled model is so small that one thread serves it best, and several jobs fit side by side.
        threads: lambda wildcards: 1 if is_small(wildcards.model) else 8
        resources:
            gpu=asks_gpu,
            mem_mb=asks_memory,
            runtime=asks_minutes,
            disk_mb=asks_disk,
        params:
            run=stage("score.py"),
            device=device,
            placement=placement,
            processes=processes(family),
            family=family,
            options=score_options(family),
            version=SCORING_VERSION,
        shell:
            "HF_HUB_OFFLINE=1 {params.run} --family {params.family} --record {input.record}"
            " --facts {input.facts} {params.options} --device {params.device} --placement {params.placement}"
            " --processes {params.processes}"
            " --output-dir results/{wildcards.phase}/{wildcards.model}/scores"
            " --timing benchmarks/{wildcards.phase}/{wildcards.model}/score_{params.family}.json"
            " --log {log} --label {wildcards.phase}/{wildcards.model}"
