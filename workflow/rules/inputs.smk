"""What a job reads and is told, where that depends on its wildcards."""


def experiment_of(wildcards):
    return Experiment(wildcards.phase, wildcards.model, wildcards.metric, wildcards.mode, int(wildcards.k))


def digest_of(files):
    return ",".join(sha256_file(file)[:16] for file in sorted(files))


def fetch_options(wildcards):
    """Return the model's entry as options of the script, but for the dtype, which scoring alone needs."""
    entry = config["models"][wildcards.model]
    return [f"--{key}={value}" for key, value in entry.items() if key != "dtype"]


def local_files(*patterns):
    """Return an input function for files of a local model's folder, so that a changed one is noticed."""

    def files(wildcards):
        entry = config["models"][wildcards.model]
        if entry["source"] != "local":
            return []
        folder = Path(entry["path"]).expanduser()
        return sorted({str(file) for pattern in patterns for file in folder.glob(pattern)})

    return files


def own_files_told(files):
    """Return what tells a user's own files apart from others in their place, those that rules make left out.

    As an input, a file is noticed that is newer than the results. One that an older file took the place of (`cp -p`,
    `rsync -a`, `mv`, a link that leads elsewhere) is noticed by this in `params`.
    """
    return fingerprint([file for file in files if Path(file).parts[:1] not in (("results",), ("resources",))])


def model_files_told(*patterns):
    """Return a function for `params` that tells a local model's files by size and time or content, the bundled one's by content.

    The bundled model's files have the times of the checkout, wherever that lies.
    """

    def told(wildcards):
        entry = config["models"][wildcards.model]
        if entry["source"] != "bundled":
            return own_files_told(local_files(*patterns)(wildcards))
        folder = WORKFLOW / "resources" / "bundled_model"
        if entry.get("checkpoint", "final") != "final":
            folder = folder / "checkpoints" / entry["checkpoint"]
        return digest_of({file for pattern in patterns for file in folder.glob(pattern)})

    return told


def text_files(use):
    """Return an input function for a phase's own file of texts, and its record if it is made of a data set."""

    def files(wildcards):
        file = configs.text_file(config, wildcards.phase, use)
        return [*([str(file)] if file else []), *text_origin(wildcards.phase, use).values()]

    return files


def text_origin(phase, use):
    """Return where the record of a phase's data set is, as an option; none for a file."""
    made = not isinstance(config["phases"][phase][use], str)
    return {f"{use}_origin": f"resources/texts/{phase}/{use}.json"} if made else {}


def dataset_options(wildcards):
    """Return a data set of the config as options of the script."""
    entry = config["phases"][wildcards.phase][wildcards.use]
    return [f"--{key.replace('_', '-')}={value}" for key, value in entry.items()]


def dataset_files(wildcards):
    """Return the files of a data set on this machine, so that a changed one is noticed."""
    dataset = config["phases"][wildcards.phase][wildcards.use]["dataset"]
    if not is_folder(dataset):
        return []
    return sorted(str(file) for file in Path(dataset).expanduser().rglob("*") if file.is_file())


def text_files_told(use):
    """Return a function for `params` that tells texts apart: bundled ones by content, own ones as `own_files_told` does."""
    bundled = {"texts": "calibration.txt", "evaluation": "evaluation.txt"}

    def told(wildcards):
        own = configs.text_file(config, wildcards.phase, use)
        return (
            own_files_told(text_files(use)(wildcards))
            if own
            else digest_of([WORKFLOW / "resources" / "texts" / bundled[use]])
        )

    return told


def text_options(use, *limits):
    """Return a function for `params`: a phase's texts of one use, and what limits them, as options of the script."""

    def options(wildcards):
        given = {use: configs.text_file(config, wildcards.phase, use) or "default", **text_origin(wildcards.phase, use)}
        given |= {key: config["phases"][wildcards.phase][key] for key in limits}
        return [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]

    return options


def token_file(family):
    """Return an input function for the token ids that a family reads: the static one reads none, no text reruns it."""

    def file(wildcards):
        return [] if family == "static" else [f"results/{wildcards.phase}/{wildcards.model}/tokens.json"]

    return file


def device(wildcards, threads):
    """Return what to compute on; as in `stage`, no reason to compute again."""
    return config["scoring"]["device"]


def placement(wildcards, threads):
    """Return what is in memory while scoring; like the device no reason for a rerun."""
    return config["scoring"]["placement"]


# Those whose sums over texts can be joined.
SHARED_FAMILIES = ("forward", "gradient", "curvature")


def processes(family):
    """Return a function for `params`: how many processes share a family's texts; like the device no reason for a rerun."""
    return lambda wildcards, threads: config["scoring"]["processes"] if family in SHARED_FAMILIES else 1


def score_options(family):
    """Return a function for `params`: the options that decide a family's scores."""

    def options(wildcards):
        settings = configs.resolve(config, wildcards.phase, wildcards.model, family)
        given = {
            key: settings["scoring"][key]
            for key in ("dtype", "candidates", "dense", "probes")
            if key in settings["scoring"]
        }
        if isinstance(given["dense"], list):
            given["dense"] = ",".join(given["dense"]) or False
        given["dense"] = str(given["dense"]).lower()
        given["seed"] = settings["phase"]["seed"]
        given |= {"tokens": file for file in token_file(family)(wildcards)}
        return [f"--{key}={value}" for key, value in given.items()]

    return options


def stage_store(wildcards):
    return result_paths.store_file(wildcards.phase, wildcards.model, wildcards.metric)


BY_PHASE_AND_MODEL = {}
for experiment in EXPERIMENTS:
    BY_PHASE_AND_MODEL.setdefault((experiment.phase, experiment.model), []).append(experiment)


def configured(phase, model):
    """Return the configured experiments of one phase and model, in the config's order."""
    return BY_PHASE_AND_MODEL.get((phase, model), [])


def by_experiments(wildcards):
    """Return a priority from 0 to 1: the more experiments a phase and model have, the sooner they are drawn.

    Their report takes longest to write: that it ends the run alone, no other job being left, is what this avoids.
    """
    return len(configured(wildcards.phase, wildcards.model)) / max(len(EXPERIMENTS), 1)


def configured_rankings(wildcards):
    """Return the rankings of the configured experiments of one phase and model, in the config's order."""
    return [f"results/{e.path}/top_weights.csv" for e in configured(wildcards.phase, wildcards.model)]


def configured_stores(wildcards):
    """Return the score stores of the configured experiments of one phase and model, each metric once."""
    phase, model = wildcards.phase, wildcards.model
    metrics = {e.metric for e in configured(phase, model)}
    return [result_paths.store_file(phase, model, metric) for metric in METRICS_BY_PATH if metric in metrics]


def stage_benchmarks(wildcards):
    """Return the benchmark file of each stage behind a run; paths, which no digest or time of them enters."""
    experiment = experiment_of(wildcards)
    of_model = f"benchmarks/{experiment.phase}/{experiment.model}"
    of_run = f"benchmarks/{experiment.path}"
    stages = {
        "describe_model": f"{of_model}/describe_model.tsv",
        "calibrate": f"{of_model}/calibrate.tsv",
        "evaluation_texts": f"{of_model}/evaluation_texts.tsv",
        "score": f"{of_model}/score_{experiment.definition.family}.tsv",
        "rank": f"{of_run}/rank.tsv",
        "summarise": f"{of_run}/summarise.tsv",
        "plot": f"{of_run}/plots/{experiment.metric_full}_k{experiment.k}.tsv",
    }
    return [f"--benchmark={stage}={file}" for stage, file in stages.items()]


def report_sources(phase, model):
    """Return what a report is made from: the pictures too, since they are embedded."""
    # `ancient` would spare a report when a picture is only drawn again, but it also hides the report's own changes:
    # of a job behind one that runs, Snakemake does not look at parameters.
    files = [f"results/{phase}/{model}/{name}.json" for name in ("model", "calibration")]
    for experiment in configured(phase, model):
        files += [*result_paths.run_files(experiment), result_paths.manifest_file(experiment)]
    files += [*result_paths.analysis_tables(phase, model), *result_paths.analysis_figures(phase, model)]
    if config["interventions"]["enabled"]:
        files += result_paths.intervention_tables(phase, model)
        files += result_paths.intervention_figures(phase, model)
    return files


def phases_and_models():
    """Return the pairs that have configured experiments, in the config's order."""
    return list(dict.fromkeys((e.phase, e.model) for e in EXPERIMENTS))


def study_sources():
    """Return what the report over models and phases is made from: the report on each, and what those are made from."""
    files = []
    for phase, model in phases_and_models():
        files += report_sources(phase, model)
        files += result_paths.report_files(phase, model)
    return [*files, *result_paths.across_tables()]


def small_results():
    """Return all results of the configured experiments but the scores, in a fixed order."""
    return [*study_sources(), *result_paths.STUDY_REPORTS]


def everything_configured():
    return [*small_results(), *result_paths.ARCHIVE_FILES, *all_comparisons()] if EXPERIMENTS else all_comparisons()
