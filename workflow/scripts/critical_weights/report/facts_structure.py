"""Where the selected weights lie: lines, components, depth, residual channels, neurons, tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..tables.structure import STRUCTURE, TOKENS
from .rows import Row, kept, read_if_there, records

MOST_K = 1000
"""Of each metric one selection over all tensors is described closely: the largest k up to this one."""
NAMED = 5
"""Lines, channels and neurons that the report names of a selection."""
_HEAD = ("selection", "metric", "mode", "k")


def read_structure(folder: Path) -> dict[str, Any] | None:
    """Return what ``structure.csv`` says of the selections; None where it is not there.

    ``selections`` holds of every selection how its weights lie in lines. Of the ``close`` ones (one a metric)
    ``components``, ``layers``, ``lines``, ``channels`` and ``neurons`` say where, each beside the chance level.
    """
    frame = read_if_there(folder / STRUCTURE.name, STRUCTURE)
    if frame is None:
        return None
    whole = records(frame[frame["scope"] == "all"])
    selections: dict[str, Row] = {}
    for row in whole:
        own = selections.setdefault(row["selection"], {key: row[key] for key in _HEAD[1:]})
        own[row["quantity"]] = {key: row[key] for key in ("value", "expected", "n", "unit")}
    close = close_ones(selections)
    rows = records(frame[frame["selection"].isin(close) & (frame["scope"] != "all")])
    return {
        "selections": selections,
        "close": close,
        "components": _shares(rows, "component"),
        "layers": _shares(rows, "layer"),
        "lines": _lines(rows, close),
        "channels": _recurring(rows, "residual", "blocks_hit", ("channels_hit", "channels_in_half")),
        "neurons": _recurring(rows, "neuron", "tensors_hit", ("neurons_hit", "neurons_hit_twice")),
    }


def close_ones(selections: dict[str, Row]) -> list[str]:
    """Return of each metric the selection over all tensors with the largest k up to :data:`MOST_K`."""
    best: dict[str, str] = {}
    for label, own in selections.items():
        if own["mode"] == "global" and own["k"] <= MOST_K:
            known = best.get(own["metric"])
            if known is None or selections[known]["k"] < own["k"]:
                best[own["metric"]] = label
    return list(best.values())


def _shares(rows: list[Row], scope: str) -> list[Row]:
    own = [row for row in rows if row["scope"] == scope and row["quantity"] == "selected_share"]
    return kept(own, "selection", "metric", "name", "layer", "value", "expected", "p", "n")


def _lines(rows: list[Row], close: list[str]) -> list[Row]:
    """Return the lines that hold the most selected weights, the first few of each selection."""
    named = [row | {"held": round(row["value"] * row["n"])} for row in rows
             if row["scope"] == "tensor" and row["quantity"].startswith("line_")]  # fmt: skip
    found = []
    for selection in close:
        own = sorted((row for row in named if row["selection"] == selection), key=lambda row: -row["held"])
        found += kept(own[:NAMED], "selection", "metric", "name", "line", "index", "expert", "held", "value",
                      "expected", "p", "n")  # fmt: skip
    return found


def _recurring(rows: list[Row], scope: str, hit: str, totals: tuple[str, ...]) -> dict[str, list[Row]]:
    """Return the channels or neurons that are hit most often, the first few of each selection, and how many are."""
    own = [row for row in rows if row["scope"] == scope]
    counts = [row for row in own if row["quantity"] in totals]
    weights = {_place(row): row["value"] for row in own if row["quantity"] == "weights"}
    named: dict[str, list[Row]] = {}
    for row in own:
        if row["quantity"] == hit and len(first := named.setdefault(row["selection"], [])) < NAMED:
            first.append(row | {"hits": int(row["value"]), "weights": int(weights[_place(row)])})
    columns = ("selection", "metric", "layer", "expert", "index", "hits", "weights", "expected", "p", "n")
    return {
        "totals": kept(counts, "selection", "metric", "quantity", "value", "expected", "n"),
        "named": [row for rows in named.values() for row in kept(rows, *columns)],
    }


def _place(row: Row) -> tuple[Any, ...]:
    return row["selection"], row["name"], row["layer"], row["expert"], row["index"]


def read_tokens(folder: Path, close: list[str]) -> dict[str, Any] | None:
    """Return how much of the closely described selections lies in token rows, and in which; None without a table.

    ``selections`` holds of each the share of its weights in rows of embeddings and heads, in rows of special tokens,
    and in rows of tokens that no calibration text has; ``first`` the rows with the most weights.
    """
    frame = read_if_there(folder / TOKENS.name, TOKENS)
    if frame is None:
        return None
    selections: dict[str, Row] = {}
    first: list[Row] = []
    for label in close:
        own = frame[frame["selection"] == label]
        if own.empty:
            continue
        special, unseen = own[own["special"] != ""], own[own["unseen"]]
        selections[label] = {
            "metric": own["metric"].iloc[0], "k": int(own["k"].iloc[0]), "rows": len(own),
            "selected": int(own["selected"].sum()), "share": float(own["share"].sum()),
            "score_share": float(own["score_share"].sum()),
            "special": int(special["selected"].sum()), "special_share": float(special["share"].sum()),
            "unseen": int(unseen["selected"].sum()), "unseen_share": float(unseen["share"].sum()),
        }  # fmt: skip
        most = records(own.sort_values(["selected", "score_sum"], ascending=False, kind="stable").head(NAMED))
        first += kept(most, "selection", "metric", "component", "row", "token", "special", "count", "first_count",
                      "target_count", "count_share", "selected", "share", "score_share")  # fmt: skip
    return {"selections": selections, "first": first}
