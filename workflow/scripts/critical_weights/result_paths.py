"""Where each result lies, below the working directory; the one place that says so to rules and target checks."""

from __future__ import annotations

from .metrics import METRICS_BY_PATH
from .names import Experiment
from .plots import ANALYSIS_FIGURES, INTERVENTION_FIGURES, RUN_FIGURES, SCORE_FIGURES
from .tables.across import ACROSS_TABLES
from .tables.criteria import CRITERIA

FORMATS = ("png", "svg", "csv")
"""Each figure is a picture, a drawing, and the drawn data."""
REPORT_FILES = (
    "report.html", "research_summary.md", "quantitative_summary.md", "quantitative_results.json",
    "comprehensive_results_summary.md", "export_summary.md",
)  # fmt: skip
"""Of the report on one phase and model."""
STUDY_FILES = ("research_report.md", *REPORT_FILES)
STUDY_REPORTS = tuple(f"results/report/{name}" for name in STUDY_FILES)
"""The report over all configured experiments; the tables it is made from, beside it, are those of across_tables."""
ARCHIVE_FILES = tuple(
    f"results/archive/{name}" for name in ("critical_weight_analysis_complete.zip", "MANIFEST.md", "manifest.json")
)


EXPORTS = {"selection": "selection.safetensors", "mask": "mask.safetensors", "parquet": "top_weights.parquet"}
"""What may lie in a run folder besides its own files: made when it is asked for, in no manifest and no archive."""
INTERVENTION_FILES = ("interventions", "texts", "single_weights", "single_scores", "verdict")
ANALYSIS_TABLES = (
    "overlap", "agreement", "concentration", "structure", "tokens", "first_position", "sensitivity_table",
    "stability", "weight_stability", "superweights", "spike_profile", "rank_density", "criteria",
)  # fmt: skip


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
    return [f"results/{phase}/{model}/analysis/{name}.csv" for name in ANALYSIS_TABLES]


def analysis_figures(phase: str, model: str) -> list[str]:
    """Return the figures over all metrics of one phase and model, each in every format."""
    folder = f"results/{phase}/{model}/analysis/plots"
    return [f"{folder}/{figure}.{ending}" for figure in (*SCORE_FIGURES, *ANALYSIS_FIGURES) for ending in FORMATS]


def intervention_tables(phase: str, model: str) -> list[str]:
    """Return the tables of the interventions of one phase and model."""
    return [f"results/{phase}/{model}/interventions/{name}.csv" for name in INTERVENTION_FILES]


def intervention_figures(phase: str, model: str) -> list[str]:
    """Return the figures of the interventions of one phase and model, each in every format."""
    folder = f"results/{phase}/{model}/interventions/plots"
    return [f"{folder}/{figure}.{ending}" for figure in INTERVENTION_FIGURES for ending in FORMATS]


def across_tables() -> list[str]:
    """Return the tables over all configured experiments."""
    return [f"results/report/{table.name}" for table in (*ACROSS_TABLES, CRITERIA)]


def study_files() -> list[str]:
    """Return all that lies in the folder of the report over models and phases."""
    return [*across_tables(), *STUDY_REPORTS]


def export_files(experiment: Experiment) -> list[str]:
    """Return the files that a run's selection can be exported to."""
    return [f"results/{experiment.path}/{name}" for name in EXPORTS.values()]


def downstream_file(phase: str, model: str) -> str:
    """Return where the table of downstream tasks lies."""
    return f"results/{phase}/{model}/interventions/downstream.csv"


def report_files(phase: str, model: str) -> list[str]:
    """Return the files of the report on one phase and model."""
    return [f"results/{phase}/{model}/report/{name}" for name in REPORT_FILES]


def compare_files(name: str) -> list[str]:
    """Return the tables of a comparison of rankings made elsewhere."""
    return [f"results/compare/{name}/{table}" for table in ("overlap.csv", "structure.csv")]


def shared_files(phase: str, model: str) -> list[str]:
    """Return what all experiments of one phase and model share: facts, token ids, scores."""
    facts = [
        f"results/{phase}/{model}/{name}.json"
        for name in ("model", "calibration", "tokens", "evaluation_tokens", "spikes")
    ]
    return facts + [store_file(phase, model, metric) for metric in METRICS_BY_PATH]
