"""What the analysis tables say over all metrics: overlap with its chance level, agreement, and concentration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..overlap.told_k import told_k
from ..tables.agreement import AGREEMENT
from ..tables.schema import CONCENTRATION, OVERLAP, read_table
from .rows import Row, kept, read_if_there, records
from .show import plural

LINES = ("row", "col", "neuron")


def read_overlap(path: Path) -> dict[str, list[Row]]:
    """Return the overlap of each pair of metrics.

    ``global`` is over all tensors (``expected_by_tensor`` and ``p_by_tensor`` are of draws from each tensor as often as
    it comes in each list; None in a table that does not know them), ``pooled`` of the first k of every tensor together,
    ``lines`` of whole rows, columns and neurons over all tensors (``scope`` says which), ``tensor`` within tensors,
    summed up over them: ``n_tensors`` is the number of tensors compared, ``share_median``, ``share_min`` and
    ``share_max`` are over those.
    """
    frame = read_table(path, OVERLAP)
    keys = ["a", "b", "k"]

    def together(*scopes: str) -> list[Row]:
        rows = frame[frame["scope"].isin(scopes) & (frame["tensor"] == "")].drop(columns="tensor")
        return records(rows if scopes == LINES else rows.drop(columns="scope"))

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
    strict = {(row["a"], row["b"], row["k"]): row for row in together("global_by_tensor")}
    return {"global": [row | _by_tensor(strict.get((row["a"], row["b"], row["k"]))) for row in together("global")],
            "pooled": together("pooled"), "lines": together(*LINES), "tensor": records(within)}  # fmt: skip


def _by_tensor(row: Row | None) -> Row:
    return {f"{name}_by_tensor": row[name] if row else None for name in ("expected", "p")}


def read_agreement(path: Path) -> list[Row] | None:
    """Return how far each pair of metrics ranks and scores alike over all tensors; None where there is no table."""
    frame = read_if_there(path, AGREEMENT)
    if frame is None:
        return None
    whole = records(frame[frame["scope"] == "global"])
    return kept(whole, "a", "b", "quantity", "over", "persistence", "value", "low", "high", "depth", "n")


def at_one_k(rows: list[Row]) -> list[Row]:
    """Return the rows at the k that :func:`~critical_weights.overlap.told_k.told_k` chooses, as the figure does."""
    chosen = told_k((row["k"], row["complete"]) for row in rows)
    return [row for row in rows if row["k"] == chosen]


def as_little(ordered: list[Row]) -> str:
    """Say how many more pairs share as little as the last one, in words that follow what is said of it."""
    n = sum(row["shared"] == ordered[-1]["shared"] for row in ordered) - 1
    return f", as {'does' if n == 1 else 'do'} {plural(n, 'more pair')}" if n else ""


def read_concentration(path: Path) -> dict[str, dict[str, Any]]:
    """Return, for each metric, how its total score is spread over all weights, and over components and blocks.

    Every figure is ``{"value", "low", "high", "unit", "weights", "magnitude"}``; those of :data:`AT_SEVERAL` are lists,
    with ``at``. Low and high differ where a histogram stands in for the scores; magnitude is the same figure of the
    weights' own size.
    """
    frame = read_table(path, CONCENTRATION)
    return {metric: _of_metric(records(rows)) for metric, rows in frame.groupby("metric", sort=False)}


AT_SEVERAL = ("top_share", "tail_index", "top_mean_over_median")
"""Figures that are told at several fractions or k; so is the Lorenz curve, which is drawn and not told."""


def _of_metric(rows: list[Row]) -> dict[str, Any]:
    whole = [row for row in rows if row["scope"] == "all"]
    single = {row["quantity"]: _figure(row) for row in whole if row["quantity"] not in (*AT_SEVERAL, "lorenz")}
    several = {name: [_figure(row) | {"at": row["at"]} for row in whole if row["quantity"] == name]
               for name in AT_SEVERAL}  # fmt: skip
    places: dict[str, dict[str, dict[str, Any]]] = {"component": {}, "layer": {}}
    for row in rows:
        if row["scope"] in places:
            places[row["scope"]].setdefault(row["name"], {"weights": row["weights"]})[row["quantity"]] = row["value"]
    return single | several | {"by_component": places["component"], "by_layer": places["layer"]}


def _figure(row: Row) -> Row:
    return {key: row[key] for key in ("value", "low", "high", "unit", "weights", "magnitude")}
