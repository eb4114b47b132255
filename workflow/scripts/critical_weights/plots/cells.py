"""The table behind the figures by block: one row for each component of each block, or outside the blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

COLUMNS = ("panel", "layer", "component", "tensors", "weights", "mean", "max", "selected")


def cells(stats: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row a (block, component).

    Usually a row is one tensor. Where a block has several of one component, ``mean`` is over all their weights.

    Args:
        stats: checked ``sensitivity_stats.json``.

    Returns:
        ``panel`` (blocks or outside), ``layer`` (block; empty outside), ``component``, ``tensors``, ``weights``,
        ``mean`` and ``max`` score over all weights of the row, ``selected`` (number of selected weights); components
        in the model's order, each from the first block to the last, those outside the blocks at the end.

    """
    tensors = pd.DataFrame(
        [
            {
                "layer": entry["layer"],
                "component": entry["component"],
                "tensors": 1,
                "weights": entry["num_weights"],
                "sum": entry["mean"] * entry["num_weights"],
                "max": float(entry["max"]),
                "selected": entry["selected"],
            }
            for entry in stats["tensors"].values()
        ]
    ).astype({"layer": "Int64"})
    tensors["panel"] = tensors["layer"].isna().map({True: "outside", False: "blocks"})
    order = {name: i for i, name in enumerate(tensors["component"].unique())}
    rows = tensors.groupby(["panel", "layer", "component"], dropna=False, as_index=False, sort=False).agg(
        tensors=("tensors", "sum"),
        weights=("weights", "sum"),
        sum=("sum", "sum"),
        max=("max", "max"),
        selected=("selected", "sum"),
    )
    rows["mean"] = rows["sum"] / rows["weights"]
    rows["order"] = rows["component"].map(order)
    rows = rows.sort_values(["panel", "order", "layer"], kind="stable", ignore_index=True)
    return rows[list(COLUMNS)]


def panel(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows of one panel: ``blocks`` or ``outside``."""
    return rows[rows["panel"] == name]
