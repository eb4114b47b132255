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
from ..run_manifest import check_same_origin, read_stats
from ..tables.schema import TOP_WEIGHTS, read_table

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
    stats, manifest = read_stats(folder / "sensitivity_stats.json"), read_json(folder / MANIFEST)
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
        "selection": with_score_shares(stats, ranking),
        "top": [_row(row) for row in ranking.head(TOP).to_dict("records")],
        "exact_prefix": exact_prefix(ranking, experiment, stats["tensors"]),
        "figures": [name for name in figures if (folder / name).is_file()],
        "overall": overall(stats),
        "store": stats["store"],
        "quantiles": stats["quantiles"],
    }, manifest  # fmt: skip


def with_score_shares(stats: Mapping[str, Any], ranking: pd.DataFrame) -> dict[str, Any]:
    """Return the selection's figures; of each component and block also its selected weights' share of all score.

    ``share_of_score`` is of the summed score of **all** scored weights, so the shares of the parts add up to the
    selection's; ``share_of_selection`` is of the number of selected weights.
    """
    total = stats["overall"]["mean"] * stats["overall"]["num_weights"]
    scores = ranking["sensitivity_score"].astype("float64")
    blocks = ranking["layer"].astype("string").fillna("outside")
    selection = dict(stats["selection"])
    for key, places in (("by_component", ranking["component"]), ("by_layer", blocks)):
        held = scores.groupby(places.to_numpy()).sum()
        selection[key] = {
            name: part | {"share_of_score": float(held.get(name, 0.0)) / total if total else 0.0}
            for name, part in selection[key].items()
        }
    return selection


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
        return {"perlayer": parameter, "perblock": "outside" if layer is None else layer, "global": "all"}[
            experiment.mode
        ]

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
    kept = ("rank", "parameter", "indices", "sensitivity_score", "weight", "gradient", "layer", "component", "expert",
            "row", "col", "token")  # fmt: skip
    return {key: plain(row[key], shortest=key in FLOATS) for key in kept}


FLOATS = ("sensitivity_score", "weight", "gradient")


def plain(value: Any, *, shortest: bool) -> Any:
    """Return a field for JSON: None where it is empty, a float32 as the shortest decimal that reads back the same."""
    import numpy as np
    import pandas as pd

    if pd.isna(value) or value == "":
        return None
    return float(str(np.float32(value))) if shortest else value
