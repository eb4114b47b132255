"""``sensitivity_stats.json`` as the figures need it: read, and checked before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import TableError, near_names
from ..files import REMADE, read_json
from .wording import count, percent

_ROOT = ("metric", "units", "overall", "selection", "tensors", "histogram")
_OVERALL = ("num_weights", "num_tensors")
_SELECTION = ("num_weights", "num_tensors", "threshold", "share_of_score")
_TENSOR = ("mean", "max", "num_weights", "selected")


def read_stats(path: str | Path) -> dict[str, Any]:
    """Read an experiment's statistics.

    Raises:
        TableError: the file is of another schema; the message names the key.

    """
    stats = read_json(path)
    check_stats(stats, str(path))
    return stats


def check_stats(stats: Any, source: str = "sensitivity_stats.json") -> None:
    """Check that statistics hold what the figures draw.

    Raises:
        TableError: a key is missing, a figure is no number, or counts and edges of the histogram do not fit.

    """
    _check_keys(stats, _ROOT, source)
    _check_numbers(stats["overall"], _OVERALL, f"overall of {source}")
    selection = stats["selection"]
    _check_keys(selection, ("mode", "k", "by_component"), f"selection of {source}")
    _check_numbers(selection, _SELECTION, f"selection of {source}")
    for name, entry in selection["by_component"].items():
        _check_numbers(entry, ("num_weights",), f"selection, component {name}, of {source}")
    if not isinstance(stats["tensors"], Mapping) or not stats["tensors"]:
        raise TableError(f"{source} names no tensor", fix=REMADE)
    for name, tensor in stats["tensors"].items():
        _check_keys(tensor, ("layer", "component"), f"tensor {name} of {source}")
        _check_numbers(tensor, _TENSOR, f"tensor {name} of {source}")
    histogram = stats["histogram"]
    _check_keys(histogram, ("edges", "counts", "zeros"), f"histogram of {source}")
    _check_keys(histogram["zeros"], histogram["counts"], f"histogram's zeros of {source}")
    bins = max(len(histogram["edges"]) - 1, 0)
    for component, counts in histogram["counts"].items():
        if len(counts) != bins:
            raise TableError(f"the histogram of {component} of {source} does not fit its edges",
                             got=f"{len(counts)} counts", expected=bins, fix=REMADE)  # fmt: skip


def _check_keys(value: Any, keys: Iterable[str], where: str) -> None:
    if not isinstance(value, Mapping):
        raise TableError(f"{where} is no JSON object", fix=REMADE)
    for key in keys:
        if key not in value:
            raise TableError(f"{where} has no '{key}'", near=near_names(key, value), fix=REMADE)


def _check_numbers(value: Any, keys: Iterable[str], where: str) -> None:
    _check_keys(value, keys, where)
    for key in keys:
        number = not isinstance(value[key], bool) and isinstance(value[key], (int, float))
        if not number or not math.isfinite(value[key]):
            raise TableError(f"'{key}' of {where} is not a finite number", got=value[key], fix=REMADE)


def population(stats: Mapping[str, Any]) -> str:
    """Say what a figure over all weights is over: ``all 2,012,160 weights of 58 tensors``."""
    overall = stats["overall"]
    return f"all {count(overall['num_weights'], 'weight')} of {count(overall['num_tensors'], 'tensor')}"


_EACH = {"perlayer": " of each tensor", "perblock": " of each block", "global": " of all weights"}


def selection_line(stats: Mapping[str, Any]) -> str:
    """Say what was selected, and how much of the weights and of the total score it is."""
    selection = stats["selection"]
    share = selection["num_weights"] / max(stats["overall"]["num_weights"], 1)
    return (
        f"Selected: {count(selection['num_weights'], 'weight')} (the {count(selection['k'])} highest"
        f"{_EACH.get(selection['mode'], ', mode ' + str(selection['mode']))}), {percent(share)} of the weights, "
        f"{percent(selection['share_of_score'])} of the total score."
    )
