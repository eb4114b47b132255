"""The sealed archive of all configured experiments."""


rule archive:
    input:
        small_results(),
    output:
        result_paths.ARCHIVE_FILES,
    log:
        "logs/archive.log",
    benchmark:
        "benchmarks/archive.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("archive.py"),
        experiments=",".join(experiment.path for experiment in EXPERIMENTS),
        settings=ARCHIVED_SETTINGS,
        citation=digest_of([WORKFLOW.parent / "CITATION.cff"]),
        interventions=[] if config["interventions"]["enabled"] else "--without-interventions",
        code=code("archive.py", "report/*"),
    shell:
        "{params.run} make --root results --experiments {params.experiments}"
        " --settings {params.settings:q} {params.interventions}"
        " --output-dir results/archive --log {log}"
