"""Texts to token ids."""


# On this machine, as models are: compute nodes often have no internet.
rule fetch_texts:
    input:
        dataset_files,
    output:
        texts="resources/texts/{phase}/{use}.jsonl",
        record="resources/texts/{phase}/{use}.json",
    log:
        "logs/{phase}/fetch_{use}.log",
    benchmark:
        "benchmarks/{phase}/fetch_{use}.tsv"
    wildcard_constraints:
        use="texts|evaluation",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        run=stage("fetch_texts.py"),
        options=dataset_options,
        files=lambda wildcards: own_files_told(dataset_files(wildcards)),
    shell:
        "{params.run} {params.options:q} --output {output.texts} --record {output.record}"
        " --log {log} --label {wildcards.phase}/{wildcards.use}"


rule calibrate:
    input:
        files=local_files("config.json", *TOKENIZER_PATTERNS),
        record="resources/models/{model}.json",
        texts=text_files("texts"),
    output:
        "results/{phase}/{model}/tokens.json",
    log:
        "logs/{phase}/{model}/calibrate.log",
    benchmark:
        "benchmarks/{phase}/{model}/calibrate.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("calibrate.py"),
        options=text_options("texts", "max_samples", "max_length", "seed"),
        model_files=model_files_told("config.json", *TOKENIZER_PATTERNS),
        text_files=text_files_told("texts"),
        version=SCORING_VERSION,
    shell:
        "HF_HUB_OFFLINE=1 {params.run} --record {input.record} --phase {wildcards.phase}"
        " {params.options:q} --output {output}"
        " --log {log} --label {wildcards.phase}/{wildcards.model}"


# A job of its own, so that other evaluation texts score nothing again.
rule evaluation_texts:
    input:
        record="resources/models/{model}.json",
        tokens="results/{phase}/{model}/tokens.json",
        texts=text_files("evaluation"),
    output:
        calibration="results/{phase}/{model}/calibration.json",
        tokens="results/{phase}/{model}/evaluation_tokens.json",
    log:
        "logs/{phase}/{model}/evaluation_texts.log",
    benchmark:
        "benchmarks/{phase}/{model}/evaluation_texts.tsv"
    # Before the hours of scoring: it tells whether the two sets have texts in common.
    priority: 4
    conda:
        ENVIRONMENT
    params:
        run=stage("evaluation_texts.py"),
        options=text_options("evaluation"),
        text_files=text_files_told("evaluation"),
        version=SCORING_VERSION,
    shell:
        "HF_HUB_OFFLINE=1 {params.run} --record {input.record} --tokens {input.tokens} {params.options:q}"
        " --calibration-out {output.calibration} --tokens-out {output.tokens}"
        " --log {log} --label {wildcards.phase}/{wildcards.model}"
