"""What one experiment's files say: its settings, its distribution over all weights, its selection, its best weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import TableError
from ..files import read_json
from ..names import Experiment
from ..run_manifest import NAME as MANIFEST
from ..run_manifest import check_same_origin
from ..tables import TOP_WEIGHTS, read_table

if TYPE_CHECKING:
    import pandas as pd

TOP = 10
FIGURES = ("sensitivity_distribution", "layer_comparison", "sensitivity_heatmap")


def read_experiment(
    folder: Path, experiment: Experiment, model: Mapping[str, Any], texts: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a run folder's small files.

    Returns:
        What the report says of the experiment, and the manifest (its times and hardware go into their own section).

    Raises:
        TableError: a file is missing or damaged, or was made with another model, other texts or another metric.

    """
    stats, manifest = read_json(folder / "sensitivity_stats.json"), read_json(folder / MANIFEST)
    for key in ("overall", "selection", "tensors", "store", "quantiles"):
        if key not in stats:
            raise TableError(f"{folder / 'sensitivity_stats.json'} has no key '{key}'", fix="Run the stage summarise again")
    check_same_origin(experiment.path, stats["store"], model, texts)
    if stats["store"]["metric"] != experiment.metric_full:
        raise TableError(f"experiment {experiment.path} holds another metric's scores",
                         got=stats["store"]["metric"], expected=experiment.metric_full)  # fmt: skip
    ranking = read_table(folder / "top_weights.csv", TOP_WEIGHTS)
    figures = (f"plots/{experiment.metric_full}_k{experiment.k}_{figure}.png" for figure in FIGURES)
    return {
        "experiment": experiment.path,
        "label": experiment.label,
        "metric": experiment.metric_full,
        "mode": experiment.mode,
        "k": experiment.k,
        "config": read_json(folder / "config.json"),
        "selection": stats["selection"],
        "top": [_row(row) for row in ranking.head(TOP).to_dict("records")],
        "exact_prefix": exact_prefix(ranking, experiment, stats["tensors"]),
        "figures": [name for name in figures if (folder / name).is_file()],
        "overall": overall(stats),
        "store": stats["store"],
        "quantiles": stats["quantiles"],
    }, manifest  # fmt: skip


def overall(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Return the distribution over **all** scored weights, with the largest score over mean and over median."""
    figures = dict(stats["overall"])
    figures["zeros"] = round(figures["zero_fraction"] * figures["num_weights"])
    figures["max_over_mean"] = figures["max"] / figures["mean"] if figures["mean"] else None
    figures["max_over_median"] = figures["max"] / figures["median"] if figures["median"] else None
    return figures


def exact_prefix(ranking: pd.DataFrame, experiment: Experiment, tensors: Mapping[str, Mapping[str, Any]]) -> int:
    """Return how many of the selection's first weights are also the first of all scored weights.

    A selection takes k weights of each group (tensor, block, or all). Up to the place where the first group runs out
    of selected weights nothing of it can be missing; behind that place a weight that was not selected may stand.
    """

    def group(parameter: str, layer: int | None) -> str | int:
        return {"perlayer": parameter, "perblock": "outside" if layer is None else layer, "global": "all"}[experiment.mode]

    population: Counter[str | int] = Counter()
    for name, tensor in tensors.items():
        population[group(name, tensor["layer"])] += tensor["num_weights"]
    of_row = [group(name, tensors[name]["layer"]) for name in ranking["parameter"]]
    selected = Counter(of_row)
    if any(selected[name] == 0 for name in population):
        return 0
    seen: Counter[str | int] = Counter()
    for place, name in enumerate(of_row, 1):
        seen[name] += 1
        if seen[name] == selected[name] < population[name]:
            return place
    return len(of_row)


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    import pandas as pd

    kept = ("rank", "parameter", "indices", "sensitivity_score", "weight", "gradient", "layer", "component", "expert",
            "row", "col", "token")  # fmt: skip
    return {key: None if pd.isna(row[key]) or row[key] == "" else _plain(row[key]) for key in kept}


def _plain(value: Any) -> Any:
    # The shortest decimal that reads back as the same float32, not its float64 expansion.
    return float(str(value)) if type(value).__name__ == "float32" else value.item() if hasattr(value, "item") else value
