"""The report over models and phases, from the reports on each of them and the tables over all experiments."""


rule study_report:
    input:
        study_sources(),
    output:
        result_paths.STUDY_REPORTS,
    log:
        "logs/report/study_report.log",
    benchmark:
        "benchmarks/report/study_report.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("report_study.py"),
        experiments=",".join(experiment.path for experiment in EXPERIMENTS),
        code=code("report_study.py", "report/*"),
    shell:
        "{params.run} --root results --experiments {params.experiments} --output-dir results/report"
        " --log {log} --label across"
