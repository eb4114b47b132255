"""Maps over models and phases: of each metric, how its score is spread over the components of every model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import show
from .heatmap import Cell, Heatmap, level


def study_maps(facts: Mapping[str, Any]) -> dict[str, Heatmap]:
    """Return a map a metric: a row a phase and model, a column a component, a cell its share of the total score.

    The colour is that share over the component's share of the weights, on the scale of the other maps.
    """
    spread: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, part in facts["parts"].items():
        for metric, own in part["metrics"].items():
            if own["concentration"]:
                spread.setdefault(metric, {})[name] = own["concentration"]["by_component"]
    return {metric: _map(metric, of_parts) for metric, of_parts in spread.items()}


def _map(metric: str, of_parts: Mapping[str, Mapping[str, Any]]) -> Heatmap:
    columns = tuple(dict.fromkeys(component for own in of_parts.values() for component in own))
    rows = tuple((name, tuple(_cell(name, c, own.get(c)) for c in columns)) for name, own in of_parts.items())
    return Heatmap(f"Total score by {metric}, by component", columns, rows, "phase and model")


def _cell(name: str, component: str, figure: Mapping[str, Any] | None) -> Cell | None:
    if figure is None or figure.get("score_share") is None or not figure.get("weight_share"):
        return None
    ratio = figure["score_share"] / figure["weight_share"]
    tip = f"{component} of {name}: {show.share(figure['score_share'])} of the score, "
    tip += f"{show.share(figure['weight_share'])} of the weights; {show.times(float(f'{ratio:.3g}'))} its share"
    return Cell(show.share(figure["score_share"]), tip, level(ratio))
