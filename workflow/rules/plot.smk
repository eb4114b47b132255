"""Figures, each drawn from small tables: a PNG, an SVG and the drawn data.

Figures of one source are drawn by one job: starting one takes longer than drawing.
"""


rule rank_density:
    input:
        configured_stores,
    output:
        shown("results/{phase}/{model}/analysis/rank_density.csv", "tables"),
    log:
        "logs/{phase}/{model}/analysis/rank_density.log",
    benchmark:
        "benchmarks/{phase}/{model}/analysis/rank_density.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("rank_density.py"),
        code=code("rank_density.py"),
    shell:
        "{params.run} --stores {input} --output {output} --log {log} --label {wildcards.phase}/{wildcards.model}"


rule plot_run:
    input:
        "results/{phase}/{model}/{metric}_{mode}_k{k}/sensitivity_stats.json",
    output:
        [file for figure in RUN_FIGURES for file in shown_run_figure(figure)],
    log:
        "logs/{phase}/{model}/{metric}_{mode}_k{k}/plots/{metric_full}_k{k}.log",
    benchmark:
        "benchmarks/{phase}/{model}/{metric}_{mode}_k{k}/plots/{metric_full}_k{k}.tsv"
    priority: by_experiments
    conda:
        ENVIRONMENT
    params:
        run=stage("plot.py"),
        figures=RUN_FIGURES,
        pictures=lambda wildcards, output: pictures(output),
        dpi=config["figures"]["dpi"],
        code=code("plot.py"),
    shell:
        "{params.run} --figure {params.figures} --source {input} --output {params.pictures} --dpi {params.dpi}"
        " --title '{wildcards.model}, {wildcards.phase}'"
        " --log {log} --label {wildcards.phase}/{wildcards.model}/{wildcards.metric}_{wildcards.mode}_k{wildcards.k}"


rule plot_scores:
    input:
        lambda wildcards: [
            f"results/{e.path}/sensitivity_stats.json" for e in configured(wildcards.phase, wildcards.model)
        ],
    output:
        [file for figure in SCORE_FIGURES for file in shown_analysis_figure(figure)],
    log:
        "logs/{phase}/{model}/analysis/plots/scores.log",
    benchmark:
        "benchmarks/{phase}/{model}/analysis/plots/scores.tsv"
    priority: by_experiments
    conda:
        ENVIRONMENT
    params:
        run=stage("plot.py"),
        # The figures have their order, and inputs are compared sorted.
        experiments=lambda wildcards: [e.label for e in configured(wildcards.phase, wildcards.model)],
        figures=SCORE_FIGURES,
        pictures=lambda wildcards, output: pictures(output),
        dpi=config["figures"]["dpi"],
        code=code("plot.py"),
    shell:
        "{params.run} --figure {params.figures} --source {input} --output {params.pictures} --dpi {params.dpi}"
        " --title '{wildcards.model}, {wildcards.phase}' --log {log} --label {wildcards.phase}/{wildcards.model}"


for group, figures in FIGURE_GROUPS.items():

    rule:
        name:
            f"plot_{group}"
        input:
            list(dict.fromkeys(f"results/{{phase}}/{{model}}/analysis/{ANALYSIS_FIGURES[f].name}" for f in figures)),
        output:
            [file for figure in figures for file in shown_analysis_figure(figure)],
        log:
            f"logs/{{phase}}/{{model}}/analysis/plots/{group}.log",
        benchmark:
            f"benchmarks/{{phase}}/{{model}}/analysis/plots/{group}.tsv"
        priority: by_experiments
        conda:
            ENVIRONMENT
        params:
            run=stage("plot.py"),
            figures=figures,
            tables=lambda wildcards, figures=figures: [
                f"results/{wildcards.phase}/{wildcards.model}/analysis/{ANALYSIS_FIGURES[f].name}" for f in figures
            ],
            pictures=lambda wildcards, output: pictures(output),
            dpi=config["figures"]["dpi"],
            code=code("plot.py"),
        shell:
            "{params.run} --figure {params.figures} --source {params.tables} --output {params.pictures} --dpi {params.dpi}"
            " --title '{wildcards.model}, {wildcards.phase}' --log {log} --label {wildcards.phase}/{wildcards.model}"
