"""Proof by intervention: conditions measured on the model, and which metric they tell to trust."""


rule validate:
    input:
        record="resources/models/{model}.json",
        facts="results/{phase}/{model}/model.json",
        tokens="results/{phase}/{model}/tokens.json",
        evaluation="results/{phase}/{model}/evaluation_tokens.json",
        stores=configured_stores,
        lists=INTERVENTION_LISTS,
    output:
        shown_tables("interventions", VALIDATION_TABLES),
    log:
        "logs/{phase}/{model}/interventions/validate.log",
    benchmark:
        "benchmarks/{phase}/{model}/interventions/validate.tsv"
    # The longest job of a study: begun as soon as all scores are there, the others run beside it.
    priority: 3
    conda:
        ENVIRONMENT
    threads: validation_threads
    resources:
        gpu=asks_gpu,
        mem_mb=asks_memory_whole,
        runtime=asks_minutes,
    params:
        **LISTS_TOLD,
        run=stage("validate.py"),
        device=device,
        options=validation_options,
    shell:
        "HF_HUB_OFFLINE=1 {params.run} --record {input.record} --facts {input.facts} --tokens {input.tokens}"
        " --evaluation-tokens {input.evaluation} --stores {input.stores} --lists {input.lists:q} {params.options:q} --device {params.device}"
        " --output-dir results/{wildcards.phase}/{wildcards.model}/interventions"
        " --timing benchmarks/{wildcards.phase}/{wildcards.model}/interventions/validate.json"
        " --log {log} --label {wildcards.phase}/{wildcards.model}"


rule verdict:
    input:
        expand("results/{{phase}}/{{model}}/interventions/{table}.csv", table=VALIDATION_TABLES),
    output:
        shown("results/{phase}/{model}/interventions/verdict.csv", "tables"),
    log:
        "logs/{phase}/{model}/interventions/verdict.log",
    benchmark:
        "benchmarks/{phase}/{model}/interventions/verdict.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("verdict.py"),
        options=lambda wildcards: [
            f"--draws={config['interventions']['draws']}",
            f"--seed={config['phases'][wildcards.phase]['seed']}",
        ],
        code=code("verdict.py"),
    shell:
        "{params.run} --folder results/{wildcards.phase}/{wildcards.model}/interventions {params.options}"
        " --output {output} --log {log} --label {wildcards.phase}/{wildcards.model}"


rule plot_dose_response:
    input:
        "results/{phase}/{model}/interventions/interventions.csv",
    output:
        shown_figure("results/{phase}/{model}/interventions/plots/dose_response", "figures"),
    log:
        "logs/{phase}/{model}/interventions/plots/dose_response.log",
    benchmark:
        "benchmarks/{phase}/{model}/interventions/plots/dose_response.tsv"
    priority: by_experiments
    conda:
        ENVIRONMENT
    params:
        run=stage("plot.py"),
        pictures=lambda wildcards, output: pictures(output),
        dpi=config["figures"]["dpi"],
        code=code("plot.py"),
    shell:
        "{params.run} --figure dose_response --source {input} --output {params.pictures} --dpi {params.dpi}"
        " --title '{wildcards.model}, {wildcards.phase}'"
        " --log {log} --label {wildcards.phase}/{wildcards.model}"
