"""What the rules of plot.smk read and are told."""

from critical_weights.plots import ANALYSIS_FIGURES, RUN_FIGURES, SCORE_FIGURES

# Figures over the metrics of one phase and model, by the stage behind their tables: each stage's own can be had without
# running the others.
FIGURE_GROUPS = {
    "overlap": ("overlap_matrix", "overlap_by_k", "rank_density", "lorenz_curves"),
    "structure": ("recurring_channels", "top_tokens", "first_position_effect"),
    "stability": ("stability_by_k",),
    "spikes": ("spikes_by_block",),
}


assert sorted(ANALYSIS_FIGURES) == sorted(figure for figures in FIGURE_GROUPS.values() for figure in figures)


def shown_run_figure(figure):
    """Return the files of a figure of an experiment, its picture marked for Snakemake's report."""
    stem = f"results/{{phase}}/{{model}}/{{metric}}_{{mode}}_k{{k}}/plots/{{metric_full}}_k{{k}}_{figure}"
    return shown_figure(stem, "experiments", figure, experiment=RUN_LABEL)


def shown_analysis_figure(figure):
    """Return the files of a figure over the metrics, its picture marked for Snakemake's report."""
    return shown_figure(f"results/{{phase}}/{{model}}/analysis/plots/{figure}", "figures")


def pictures(output):
    """Return the PNGs among a job's outputs, in order."""
    return [file for file in output if file.endswith(".png")]
