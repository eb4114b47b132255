"""The weights that one experiment selects, what they are like, and the settings behind them."""


rule rank:
    input:
        store=stage_store,
        facts="results/{phase}/{model}/model.json",
        tokens="results/{phase}/{model}/tokens.json",
    output:
        shown("results/{phase}/{model}/{metric}_{mode}_k{k}/top_weights.csv", "experiments", experiment=RUN_LABEL),
    log:
        "logs/{phase}/{model}/{metric}_{mode}_k{k}/rank.log",
    benchmark:
        "benchmarks/{phase}/{model}/{metric}_{mode}_k{k}/rank.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("rank.py"),
        code=code("rank.py"),
    shell:
        "{params.run} --store {input.store} --facts {input.facts} --tokens {input.tokens}"
        " --metric {wildcards.metric} --mode {wildcards.mode} --k {wildcards.k} --output {output}"
        " --log {log} --label {wildcards.phase}/{wildcards.model}/{wildcards.metric}_{wildcards.mode}_k{wildcards.k}"


rule summarise:
    input:
        store=stage_store,
        facts="results/{phase}/{model}/model.json",
        ranking="results/{phase}/{model}/{metric}_{mode}_k{k}/top_weights.csv",
    output:
        "results/{phase}/{model}/{metric}_{mode}_k{k}/sensitivity_stats.json",
    log:
        "logs/{phase}/{model}/{metric}_{mode}_k{k}/summarise.log",
    benchmark:
        "benchmarks/{phase}/{model}/{metric}_{mode}_k{k}/summarise.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("summarise.py"),
        code=code("summarise.py"),
    shell:
        "{params.run} --store {input.store} --ranking {input.ranking} --facts {input.facts}"
        " --mode {wildcards.mode} --k {wildcards.k} --output {output}"
        " --log {log} --label {wildcards.phase}/{wildcards.model}/{wildcards.metric}_{wildcards.mode}_k{wildcards.k}"


rule record_config:
    output:
        "results/{phase}/{model}/{metric}_{mode}_k{k}/config.json",
    log:
        "logs/{phase}/{model}/{metric}_{mode}_k{k}/record_config.log",
    benchmark:
        "benchmarks/{phase}/{model}/{metric}_{mode}_k{k}/record_config.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("record_config.py"),
        settings=lambda wildcards: json.dumps(configs.experiment_settings(config, experiment_of(wildcards))),
        code=code("record_config.py"),
    shell:
        "{params.run} --settings {params.settings:q} --output {output}"
        " --log {log} --label {wildcards.phase}/{wildcards.model}/{wildcards.metric}_{wildcards.mode}_k{wildcards.k}"
