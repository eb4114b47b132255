"""Texts to token ids."""


rule calibrate:
    input:
        files=local_files("config.json", "tokenizer*", "vocab.*", "merges.txt"),
        record="resources/models/{model}.json",
        texts=text_files,
    output:
        calibration="results/{phase}/{model}/calibration.json",
        tokens="results/{phase}/{model}/tokens.json",
    log:
        "logs/{phase}/{model}/calibrate.log",
    benchmark:
        "benchmarks/{phase}/{model}/calibrate.tsv"
    conda:
        ENVIRONMENT
    params:
        run=stage("calibrate.py"),
        options=text_options,
        bundled_model=bundled_model("config.json", "tokenizer*", "vocab.*", "merges.txt"),
        bundled_texts=bundled_texts,
        version=SCORING_VERSION,
    shell:
        "HF_HUB_OFFLINE=1 {params.run} --record {input.record} --phase {wildcards.phase}"
        " {params.options:q} --calibration-out {output.calibration} --tokens-out {output.tokens}"
        " --log {log} --label {wildcards.phase}/{wildcards.model}"
