"""Super weights: activation spikes in a few forward passes, and where the weights behind them rank."""


rule spikes:
    input:
        record="resources/models/{model}.json",
        facts="results/{phase}/{model}/model.json",
        tokens="results/{phase}/{model}/tokens.json",
    output:
        spikes="results/{phase}/{model}/spikes.json",
        profile=shown("results/{phase}/{model}/analysis/spike_profile.csv", "tables"),
    log:
        "logs/{phase}/{model}/spikes.log",
    benchmark:
        "benchmarks/{phase}/{model}/spikes.tsv"
    conda:
        ENVIRONMENT
    threads: lambda wildcards: 1 if is_small(wildcards.model) else 8
    resources:
        gpu=asks_gpu,
        mem_mb=asks_memory,
        runtime=asks_minutes,
    params:
        run=stage("spikes.py"),
        device=device,
        placement=placement,
        options=lambda wildcards: [
            f"--{key.replace('_', '-')}={value}" for key, value in sorted(config["superweights"].items())
        ],
        dtype=lambda wildcards: configs.resolve(config, wildcards.phase, wildcards.model, "forward")["scoring"]["dtype"],
        version=SPIKES_VERSION,
    shell:
        "HF_HUB_OFFLINE=1 {params.run} --record {input.record} --facts {input.facts} --tokens {input.tokens}"
        " {params.options} --dtype {params.dtype} --device {params.device} --placement {params.placement}"
        " --output {output.spikes} --profile {output.profile}"
        " --log {log} --label {wildcards.phase}/{wildcards.model}"


rule superweights:
    input:
        spikes="results/{phase}/{model}/spikes.json",
        facts="results/{phase}/{model}/model.json",
        stores=configured_stores,
    output:
        shown("results/{phase}/{model}/analysis/superweights.csv", "tables"),
    log:
        "logs/{phase}/{model}/analysis/superweights.log",
    benchmark:
        "benchmarks/{phase}/{model}/analysis/superweights.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("superweights.py"),
        code=code("superweights.py"),
    shell:
        "{params.run} --spikes {input.spikes} --facts {input.facts} --stores {input.stores} --output {output}"
        " --log {log} --label {wildcards.phase}/{wildcards.model}"
