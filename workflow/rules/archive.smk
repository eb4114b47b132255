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
        code=code("archive.py", "report/*"),
    shell:
        "{params.run} make --root results --experiments {params.experiments}"
        " --output-dir results/archive --log {log}"
