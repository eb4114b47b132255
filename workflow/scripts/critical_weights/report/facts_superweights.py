"""Super weights: which were looked for, which were found, and where each metric ranks them."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from ..files import read_json
from ..tables.superweights import SPIKE_PROFILE, SUPERWEIGHTS
from .rows import Row, kept, read_if_there, records

_OF_WEIGHT = ("round", "class", "published", "layer", "component", "parameter", "row", "col", "weight",
              "published_weight", "input", "output", "share", "text", "position", "to_median", "to_next")  # fmt: skip
_RULE = ("ratio", "next_ratio")
_OF_METRIC = ("metric", "score", "rank", "rank_above", "rank_in_tensor", "rank_in_tensor_above", "weights", "note")


def read_superweights(folder: Path) -> dict[str, Any] | None:
    """Return the detected and published super weights with their ranks, and the profile.

    None where none were looked for: without the tables, and where no block has a matrix to look at, as in some
    mixtures of experts.

    ``weights`` has one entry a weight, its ``ranks`` one a metric; ``profile`` the largest outputs of each block in
    the model as it is, each over the median of the other blocks' and over the next block's. ``rule`` says how many
    times the two it must be to be called a spike, as ``spikes.json`` beside ``folder`` has it; None where that is gone.
    """
    table = read_if_there(folder / SUPERWEIGHTS.name, SUPERWEIGHTS)
    profile = read_if_there(folder / SPIKE_PROFILE.name, SPIKE_PROFILE)
    if table is None or profile is None or profile.empty:
        return None
    weights: dict[tuple[Any, ...], Row] = {}
    for row in records(table):
        place = row["round"], row["parameter"], row["row"], row["col"]
        own = weights.setdefault(place, {key: row[key] for key in _OF_WEIGHT} | {"ranks": []})
        own["ranks"].append({key: row[key] for key in _OF_METRIC})
    rows = records(profile)
    return {
        "texts": rows[0]["texts"],
        "tokens": rows[0]["tokens"],
        "rule": _rule(folder.parent / "spikes.json"),
        "rounds": max(row["round"] for row in rows),
        "weights": list(weights.values()),
        "profile": _profile([row for row in rows if row["round"] == 1]),
    }


def read_not_searched(path: Path) -> dict[str, Any] | None:
    """Return in how many blocks no spike was looked for, of those that ``spikes.json`` knows, and the reasons.

    None where every block was looked at, or where the file is gone.
    """
    missing = read_json(path)["not_applicable"] if path.is_file() else {}
    return {"blocks": len(missing), "reasons": list(dict.fromkeys(missing.values()))} if missing else None


def _rule(path: Path) -> dict[str, float] | None:
    return {key: read_json(path)["settings"][key] for key in _RULE} if path.is_file() else None


def _profile(rows: list[Row]) -> list[Row]:
    found = []
    for place, row in enumerate(rows):
        others = [other["max_output"] for other in rows if other is not row]
        # The last block has no next one: it is held against the one before, as the detector does.
        beside = rows[place + 1 if place + 1 < len(rows) else place - 1]["max_output"] if others else None
        middle = median(others) if others else None
        found.append(kept([row], "layer", "parameter", "max_input", "input_col", "max_output", "output_row",
                          "output_text", "output_position", "median_output")[0]
                     | {"to_median": row["max_output"] / middle if middle else None,
                        "to_next": row["max_output"] / beside if beside else None})  # fmt: skip
    return found
