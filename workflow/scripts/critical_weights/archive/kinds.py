"""What made each file of an archive, and what it holds, told by its path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..plots import INTERVENTION_FIGURES, RUN_FIGURES, SCORE_FIGURES
from ..result_paths import FORMATS, REPORT_FILES, STUDY_FILES
from ..tables.across import ACROSS_TABLES

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Kind:
    """A kind of file by its path: the rule of the workflow that makes it, and what it holds."""

    pattern: str
    stage: str
    meaning: str


def _one_of(names: Iterable[str]) -> str:
    return f"({'|'.join(map(re.escape, names))})"


def _figures(names: Iterable[str]) -> str:
    return rf"plots/{_one_of(names)}\.{_one_of(FORMATS)}"


_RUN = r"[^/]+/[^/]+/[^/_]+_[^/_]+_k\d+"
_FIGURE = "figure over the metrics, or its numbers"
KINDS = tuple(
    Kind(pattern.replace("RUN", _RUN).replace("PM", r"[^/]+/[^/]+"), stage, meaning)
    for pattern, stage, meaning in (
        (r"PM/model\.json", "describe_model", "facts on the model: tensors, shapes, hashes"),
        (r"PM/calibration\.json", "evaluation_texts", "facts on the texts: counts and hashes"),
        (r"RUN/config\.json", "record_config", "settings of the experiment"),
        (r"RUN/experiment_manifest\.json", "manifest", "provenance, times and hashes of the experiment"),
        (r"RUN/sensitivity_stats\.json", "summarise", "statistics over all weights, and of the selection"),
        (r"RUN/top_weights\.csv", "rank", "the selected weights"),
        (rf"RUN/plots/[a-z_]+_k\d+_{_one_of(RUN_FIGURES)}\.{_one_of(FORMATS)}", "plot_run", "figure, or its numbers"),
        (r"PM/analysis/overlap\.csv", "overlap", "overlap between metrics"),
        (r"PM/analysis/agreement\.csv", "agreement", "how far the metrics rank and score alike"),
        (r"PM/analysis/concentration\.csv", "concentration", "how the score is spread over the weights"),
        (r"PM/analysis/(structure|tokens)\.csv", "structure", "where the selected weights lie"),
        (r"PM/analysis/first_position\.csv", "first_position", "what each text's first position has to do with it"),
        (r"PM/analysis/sensitivity_table\.csv", "sensitivity_table", "sums and maxima by part of the model"),
        (r"PM/analysis/(weight_)?stability\.csv", "stability", "how far the rankings hold when the texts change"),
        (r"PM/analysis/superweights\.csv", "superweights", "weights behind activation spikes"),
        (r"PM/analysis/spike_profile\.csv", "spikes", "the largest activations of every block"),
        (r"PM/analysis/rank_density\.csv", "rank_density", "ranks of one metric against those of another"),
        (r"PM/analysis/criteria\.csv", "criteria", "the declared criteria, judged"),
        (f"PM/analysis/{_figures(SCORE_FIGURES)}", "plot_scores", _FIGURE),
        (f"PM/analysis/{_figures(('overlap_matrix', 'overlap_by_k', 'rank_density', 'lorenz_curves'))}",
         "plot_overlap", _FIGURE),
        (f"PM/analysis/{_figures(('recurring_channels', 'top_tokens', 'first_position_effect'))}",
         "plot_structure", _FIGURE),
        (f"PM/analysis/{_figures(('stability_by_k',))}", "plot_stability", _FIGURE),
        (f"PM/analysis/{_figures(('spikes_by_block',))}", "plot_spikes", _FIGURE),
        (r"PM/interventions/(interventions|texts|single_weights|single_scores)\.csv", "validate",
         "losses after changing the selected weights"),
        (r"PM/interventions/verdict\.csv", "verdict", "which metric to trust on this model"),
        (f"PM/interventions/{_figures(INTERVENTION_FIGURES)}", "plot_dose_response",
         "figure of the interventions, or its numbers"),
        (f"PM/report/{_one_of(REPORT_FILES)}", "report", "the report, its pages and its figures as JSON"),
        (f"report/{_one_of(table.name for table in ACROSS_TABLES)}", "across",
         "a table over models, phases, checkpoints or text sets"),
        (r"report/criteria\.csv", "criteria_across", "the declared criteria over models and phases, judged"),
        (f"report/{_one_of(STUDY_FILES)}", "study_report", "the report over models and phases"),
        (r"MANIFEST\.md", "archive", "this list, for people"),
        (r"README\.md", "archive", "what is inside, how it was made, how to make it again"),
        (r"CITATION\.cff", "archive", "how to cite the software"),
        (r"config\.json", "archive", "the settings of the study, for --configfile"),
    )
)  # fmt: skip


def kind_of(path: str) -> Kind:
    """Return a file's kind; one of no known kind is said to be no part of an archive."""
    known = (kind for kind in KINDS if re.fullmatch(kind.pattern, path))
    return next(known, Kind(re.escape(path), UNKNOWN, "no part of an archive of this workflow's"))
