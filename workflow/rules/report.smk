"""The report on one phase and model, from small result files alone."""


rule report:
    input:
        lambda wildcards: report_sources(wildcards.phase, wildcards.model),
        spikes="results/{phase}/{model}/spikes.json",
    output:
        [f"results/{{phase}}/{{model}}/report/{name}" for name in result_paths.REPORT_FILES],
    log:
        "logs/{phase}/{model}/report.log",
    benchmark:
        "benchmarks/{phase}/{model}/report.tsv"
    priority: by_experiments
    conda:
        ENVIRONMENT
    params:
        run=stage("report.py"),
        experiments=lambda wildcards: ",".join(e.label for e in configured(wildcards.phase, wildcards.model)),
        interventions=[] if config["interventions"]["enabled"] else "--without-interventions",
        code=code("report.py", "report/*", "report/captions/*"),
    shell:
        "{params.run} --root results --phase {wildcards.phase} --model {wildcards.model}"
        " --experiments {params.experiments} {params.interventions}"
        " --output-dir results/{wildcards.phase}/{wildcards.model}/report"
        " --log {log} --label {wildcards.phase}/{wildcards.model}"
