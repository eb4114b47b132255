"""The manifest of a run folder: written last, it means that the folder is complete."""


rule manifest:
    input:
        run=lambda wildcards: result_paths.run_files(experiment_of(wildcards)),
        facts="results/{phase}/{model}/model.json",
        calibration="results/{phase}/{model}/calibration.json",
    output:
        "results/{phase}/{model}/{metric}_{mode}_k{k}/experiment_manifest.json",
    log:
        "logs/{phase}/{model}/{metric}_{mode}_k{k}/manifest.log",
    benchmark:
        "benchmarks/{phase}/{model}/{metric}_{mode}_k{k}/manifest.tsv"
    priority: by_experiments
    conda:
        ENVIRONMENT
    params:
        run=stage("manifest.py"),
        benchmarks=stage_benchmarks,
        family=lambda wildcards: METRICS_BY_PATH[wildcards.metric].family,
        code=code("manifest.py"),
    shell:
        "{params.run} --run $(dirname {output})"
        " --experiment {wildcards.phase}/{wildcards.model}/{wildcards.metric}_{wildcards.mode}_k{wildcards.k}"
        " --facts {input.facts} --calibration {input.calibration} {params.benchmarks}"
        " --timing benchmarks/{wildcards.phase}/{wildcards.model}/score_{params.family}.json --output {output}"
        " --log {log} --label {wildcards.phase}/{wildcards.model}/{wildcards.metric}_{wildcards.mode}_k{wildcards.k}"
