"""What becomes of the top scores without the first position of each text, from ``first_position.csv``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..tables.structure import FIRST_POSITION
from .rows import Row, kept, read_if_there, records

MOST_K = 1000
NAMED = 3


def read_first_position(folder: Path) -> dict[str, Any] | None:
    """Return, for each metric that has such scores, the share of position 0 and what stays of the top; else None.

    ``overlap`` lists k, the share of the top k that stays, and how far the variant's k-th score is above everything
    that was not kept (None: everything was). ``fallen`` names the lines and tokens whose score falls most.
    """
    frame = read_if_there(folder / FIRST_POSITION.name, FIRST_POSITION)
    if frame is None:
        return None
    found: dict[str, Any] = {"metrics": {}, "not_available": []}
    for metric, part in frame.groupby("metric", sort=False):
        rows = records(part)
        whole = [row for row in rows if row["scope"] == "all"]
        found["not_available"] += [{"metric": metric, "reason": row["note"]} for row in whole
                                   if row["quantity"] == "not_available"]  # fmt: skip
        if any(row["quantity"] == "position_0_share" for row in whole):
            found["metrics"][metric] = _of_metric(rows, whole)
    return found


def _of_metric(rows: list[Row], whole: list[Row]) -> Row:
    rest = {row["k"]: row["value"] for row in whole if row["quantity"] == "kth_over_rest"}
    share = next(row for row in whole if row["quantity"] == "position_0_share")
    falls = [row for row in rows if row["scope"] in ("line", "token") and row["quantity"] == "position_0_share"]
    parts = [row for row in rows if row["scope"] == "component" and row["quantity"] == "position_0_share"]
    return {
        "share": share["value"],
        "n": share["n"],
        "overlap": [{"k": row["k"], "value": row["value"], "kth_over_rest": rest.get(row["k"])}
                    for row in whole if row["quantity"] == "overlap"],
        "components": kept(parts, "name", "value", "n"),
        "fallen": [row for scope in ("line", "token") for row in kept(
            [own for own in falls if own["scope"] == scope][:NAMED],
            "scope", "name", "line", "index", "expert", "token", "value", "n")],
    }  # fmt: skip


def kept_at(metric: Row, most: int = MOST_K) -> Row | None:
    """Return the overlap at the largest k up to ``most``; None where no k is known."""
    return max((row for row in metric["overlap"] if row["k"] <= most), key=lambda row: row["k"], default=None)
