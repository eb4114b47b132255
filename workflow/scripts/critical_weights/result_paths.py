"""Where each result lies, below the working directory; the one place that says so to rules and target checks."""

from __future__ import annotations

from .metrics import METRICS_BY_PATH
from .names import Experiment
from .plots import ANALYSIS_FIGURES, RUN_FIGURES

FORMATS = ("png", "svg", "csv")
"""Each figure is a picture, a drawing, and the drawn data."""
REPORT_FILES = ("report.html", "research_summary.md", "quantitative_summary.md", "quantitative_results.json")
ARCHIVE_FILES = tuple(
    f"results/archive/{name}" for name in ("critical_weight_analysis_complete.zip", "MANIFEST.md", "manifest.json")
)


def record_file(model: str) -> str:
    """Return where the record of a fetched model lies."""
    return f"resources/models/{model}.json"


def store_file(phase: str, model: str, metric: str) -> str:
    """Return where the scores of a metric (by path name) lie."""
    return f"results/{phase}/{model}/scores/{metric}.h5"


def figure_files(experiment: Experiment) -> list[str]:
    """Return the figures of a run folder, each in every format."""
    stem = f"results/{experiment.path}/plots/{experiment.metric_full}_k{experiment.k}"
    return [f"{stem}_{figure}.{ending}" for figure in RUN_FIGURES for ending in FORMATS]


def run_files(experiment: Experiment) -> list[str]:
    """Return every file of a run folder but the manifest, which is written last and means that these are there."""
    tables = ("config.json", "sensitivity_stats.json", "top_weights.csv")
    return [f"results/{experiment.path}/{name}" for name in tables] + figure_files(experiment)


def manifest_file(experiment: Experiment) -> str:
    """Return where the manifest of an experiment lies."""
    return f"results/{experiment.path}/experiment_manifest.json"


def analysis_tables(phase: str, model: str) -> list[str]:
    """Return the tables over all metrics of one phase and model."""
    return [f"results/{phase}/{model}/analysis/{table.name}" for table in ANALYSIS_FIGURES.values()]


def analysis_figures(phase: str, model: str) -> list[str]:
    """Return the figures over all metrics of one phase and model, each in every format."""
    folder = f"results/{phase}/{model}/analysis/plots"
    return [f"{folder}/{figure}.{ending}" for figure in ANALYSIS_FIGURES for ending in FORMATS]


def report_files(phase: str, model: str) -> list[str]:
    """Return the files of the report on one phase and model."""
    return [f"results/{phase}/{model}/report/{name}" for name in REPORT_FILES]


def shared_files(phase: str, model: str) -> list[str]:
    """Return what all experiments of one phase and model share: facts, token ids, scores."""
    facts = [f"results/{phase}/{model}/{name}.json" for name in ("model", "calibration", "tokens")]
    return facts + [store_file(phase, model, metric) for metric in METRICS_BY_PATH]
