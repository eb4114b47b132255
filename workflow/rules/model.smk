"""The model's files on this machine, and the facts of its tensors."""


# On this machine also where the other jobs go to a cluster: compute nodes often have no internet.
rule fetch_model:
    output:
        "resources/models/{model}.json",
    log:
        "logs/models/{model}.log",
    benchmark:
        "benchmarks/models/{model}.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    params:
        run=stage("fetch_model.py"),
        options=fetch_options,
    shell:
        "{params.run} --model {wildcards.model} {params.options:q} --output {output}"
        " --log {log} --label {wildcards.model}"


rule describe_model:
    input:
        files=local_files("config.json", "*.safetensors"),
        record="resources/models/{model}.json",
    output:
        "results/{phase}/{model}/model.json",
    log:
        "logs/{phase}/{model}/describe_model.log",
    benchmark:
        "benchmarks/{phase}/{model}/describe_model.tsv"
    conda:
        ENVIRONMENT
    resources:
        runtime=asks_minutes_to_read,
    params:
        run=stage("describe_model.py"),
        model_files=model_files_told("config.json", "*.safetensors"),
        include_1d="--include-1d" if config["scoring"]["include_1d"] else "",
        version=SCORING_VERSION,
    shell:
        "HF_HUB_OFFLINE=1 {params.run} --record {input.record} {params.include_1d}"
        " --output {output} --log {log} --label {wildcards.phase}/{wildcards.model}"
