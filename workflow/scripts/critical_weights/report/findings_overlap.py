"""The finding on the weights that two metrics both put first, beside what chance would give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..significance import SIGNIFICANT
from .analysis import as_little, at_one_k
from .finding import Finding, finding
from .show import count, plural, real, share


def overlap(facts: Mapping[str, Any]) -> Finding | None:
    """Say which two metrics agree most and least on the first k weights, next to what chance would give."""
    told = at_one_k(facts["overlap"]["global"])
    rows = sorted((row for row in told if row["complete"]), key=lambda row: -row["shared"])
    if not rows:
        return None

    def sentence(row: Mapping[str, Any]) -> str:
        chance = "" if row["expected"] is None else f"; {real(row['expected'], 2)} expected of free draws"
        if row["expected_by_tensor"] is not None:
            chance += f", {real(row['expected_by_tensor'], 2)} of draws tensor by tensor"
        return f"{row['a']} and {row['b']} share {count(row['shared'])} ({share(row['share'])}{chance})"

    text = f"of the first {plural(int(rows[0]['k']), 'weight')} by each metric, {sentence(rows[0])}"
    if rows[0]["shared"] == rows[-1]["shared"]:
        text += as_little(rows)
    else:
        text += f"; least alike of {len(rows)} pairs, {sentence(rows[-1])}{as_little(rows)}"
    sure = "Exact counts over all tensors."
    if len(rows) < len(told):
        sure += f" Left out: {plural(len(told) - len(rows), 'pair')} whose lists are too short."
    return finding("How far the metrics agree", text, sure + _beyond_chance(rows), "overlap", "analysis/overlap.csv")


def _beyond_chance(rows: list[Mapping[str, Any]]) -> str:
    """Say in how many pairs more is shared than two kinds of draws would share; the first kind knows no tensors."""
    free, strict = ([row[key] for row in rows if row[key] is not None] for key in ("p", "p_by_tensor"))
    if not free:
        return ""
    beyond, beyond_strict = (sum(p < SIGNIFICANT / len(free) for p in chances) for chances in (free, strict))
    text = f" In {beyond} of {plural(len(free), 'pair')} more is shared than free draws would share"
    if len(strict) == len(free):
        text += f", and in {beyond_strict} more than draws that hold as many of each tensor"
    text += f" (hypergeometric, p below {SIGNIFICANT} / {len(free)}). Weights of a row or column are not independent, "
    return text + "so that p is too small."
