"""What the analysis tables say over all metrics: overlap with its chance level, and concentration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..tables import CONCENTRATION, OVERLAP, read_table


def read_overlap(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the overlap of each pair of metrics: over all tensors, and within tensors summed up over them.

    Within tensors, ``n_tensors`` is the number of tensors compared, and ``share_median``, ``share_min`` and
    ``share_max`` are over those tensors.
    """
    frame = read_table(path, OVERLAP)
    keys = ["a", "b", "k"]
    whole = frame[frame["scope"] == "global"].drop(columns=["scope", "tensor"])
    within = (
        frame[frame["scope"] == "tensor"]
        .groupby(keys, sort=False)
        .agg(
            n_tensors=("share", "size"),
            share_median=("share", "median"),
            share_min=("share", "min"),
            share_max=("share", "max"),
            complete=("complete", "all"),
        )
        .reset_index()
    )
    return {"global": _records(whole), "tensor": _records(within)}


MOST_K = 1000
"""A comparison of two metrics in one number takes at most so many weights of each."""


def at_one_k(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows at the largest k up to :data:`MOST_K` that every pair answers exactly.

    Where there is none, the rows at the smallest k. The figure of the overlaps chooses in the same way.
    """
    ks = sorted({int(row["k"]) for row in rows if row["k"].isdigit() and int(row["k"]) <= MOST_K})
    exact = [k for k in ks if all(row["complete"] for row in rows if row["k"] == str(k))]
    chosen = {str(k) for k in (exact or ks[:1])[-1:]}
    return [row for row in rows if row["k"] in chosen]


def read_concentration(path: Path) -> dict[str, dict[str, Any]]:
    """Return, for each metric, how its total score is spread over all weights, and over components and blocks.

    Every figure is ``{"value", "low", "high", "unit", "weights"}`` (``at`` too for the top shares); low and high
    differ where a histogram stands in for the scores.
    """
    frame = read_table(path, CONCENTRATION)
    return {metric: _of_metric(_records(rows)) for metric, rows in frame.groupby("metric", sort=False)}


def _of_metric(rows: list[dict[str, Any]]) -> dict[str, Any]:
    whole = [row for row in rows if row["scope"] == "all"]
    single = {row["quantity"]: _figure(row) for row in whole if row["quantity"] not in ("top_share", "lorenz")}
    top = [_figure(row) | {"at": row["at"]} for row in whole if row["quantity"] == "top_share"]
    places: dict[str, dict[str, dict[str, Any]]] = {"component": {}, "layer": {}}
    for row in rows:
        if row["scope"] in places:
            places[row["scope"]].setdefault(row["name"], {"weights": row["weights"]})[row["quantity"]] = row["value"]
    return single | {"top_share": top, "by_component": places["component"], "by_layer": places["layer"]}


def _figure(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("value", "low", "high", "unit", "weights")}


def _records(frame: Any) -> list[dict[str, Any]]:
    # JSON knows no NaN: an empty field is null.
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{key: value.item() if hasattr(value, "item") else value for key, value in row.items()} for row in records]
