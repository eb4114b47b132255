"""Figures, each drawn from one small table: a PNG, an SVG and the drawn data. One job a figure."""


rule plot_run:
    input:
        "results/{phase}/{model}/{metric}_{mode}_k{k}/sensitivity_stats.json",
    output:
        multiext(
            "results/{phase}/{model}/{metric}_{mode}_k{k}/plots/{metric_full}_k{k}_{run_figure}",
            png=".png",
            svg=".svg",
            csv=".csv",
        ),
    log:
        "logs/{phase}/{model}/{metric}_{mode}_k{k}/plots/{metric_full}_k{k}_{run_figure}.log",
    benchmark:
        "benchmarks/{phase}/{model}/{metric}_{mode}_k{k}/plots/{metric_full}_k{k}_{run_figure}.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("plot.py"),
        code=code("plot.py"),
    shell:
        "{params.run} --figure {wildcards.run_figure} --stats {input} --output {output.png}"
        " --title '{wildcards.model}, {wildcards.phase}'"
        " --log {log} --label {wildcards.phase}/{wildcards.model}/{wildcards.metric}_{wildcards.mode}_k{wildcards.k}"


rule plot_analysis:
    input:
        lambda wildcards: "results/{phase}/{model}/analysis/" f"{ANALYSIS_FIGURES[wildcards.analysis_figure].name}",
    output:
        multiext(
            "results/{phase}/{model}/analysis/plots/{analysis_figure}",
            png=".png",
            svg=".svg",
            csv=".csv",
        ),
    log:
        "logs/{phase}/{model}/analysis/plots/{analysis_figure}.log",
    benchmark:
        "benchmarks/{phase}/{model}/analysis/plots/{analysis_figure}.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("plot_analysis.py"),
        code=code("plot_analysis.py"),
    shell:
        "{params.run} --figure {wildcards.analysis_figure} --table {input} --output {output.png}"
        " --title '{wildcards.model}, {wildcards.phase}'"
        " --log {log} --label {wildcards.phase}/{wildcards.model}"
