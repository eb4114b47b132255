"""At which k each ranking is more than noise of its texts or probes, from the tables on stability."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..tables.stability import JUDGES, STABILITY, TOO_HIGH, WEIGHT_STABILITY
from .rows import Row, kept, read_if_there, records

NOT_MEASURED = "none"
SURE = 0.95
"""Share of draws in which a weight is among the first again that counts as staying there."""
_GROUPS = re.compile(r"mean over (\d+) of (\d+) ")
"""What ``note`` says of an overlap of tensors or blocks: of how many of them it is."""


def read_stability(folder: Path) -> dict[str, Any] | None:
    """Return what ``stability.csv`` and ``weight_stability.csv`` in ``folder`` say; None where they are not there.

    - ``verdicts``: of each metric and mode the k that are ``answered`` (the kept candidates are enough, in half of the
      groups or more), those at which it holds and the largest of them (0: none), the smaller ones at which it does
      not, the last answered k where others are not, the threshold, and what judges it;
    - ``overlaps``: Jaccard index of the first k with its interval and chance level, by metric, mode and k;
    - ``noise``: standard error over score, and the share above 2 standard errors, where probes are resampled;
    - ``weights``: of each metric how many of its first weights stay among them in nearly all draws;
    - ``not_measured``: what could not be resampled, and why.
    """
    frame = read_if_there(folder / STABILITY.name, STABILITY)
    if frame is None:
        return None
    rows = records(frame)
    overlaps = [row for row in rows if row["quantity"] == "jaccard" and row["method"] != "bootstrap"]
    return {
        "verdicts": [_verdict(row, overlaps) for row in rows if row["quantity"] == "largest_k"],
        "overlaps": kept(overlaps, "metric", "mode", "k", "method", "value", "low", "high", "expected", "n", "note"),
        "noise": _noise(rows),
        "weights": _weights(folder / WEIGHT_STABILITY.name),
        "not_measured": [{"metric": row["metric"], "what": row["quantity"], "reason": row["note"]}
                         for row in rows if row["method"] == NOT_MEASURED],
        "store_agreement": [{key: row[key] for key in ("metric", "value", "expected", "n")}
                            for row in rows if row["quantity"] == "store_agreement"],
    }  # fmt: skip


def _verdict(row: Row, overlaps: list[Row]) -> Row:
    own = [o for o in overlaps if o["method"] in JUDGES and (o["metric"], o["mode"]) == (row["metric"], row["mode"])]
    told, largest = [o for o in own if _is_judged(o)], _whole(row["value"])
    answered = sorted(o["k"] for o in told)
    fails = sorted(o["k"] for o in told if o["low"] is not None and o["k"] < (largest or 0)
                   and o["low"] <= max(row["expected"], o["expected"] or 0))  # fmt: skip
    holds = {k for k in answered if k < (largest or 0)} - set(fails) | ({largest} if largest else set())
    return {"metric": row["metric"], "mode": row["mode"], "largest_k": largest, "holds_at": sorted(holds),
            "fails_at": fails, "answered": answered,
            "answered_to": max(answered, default=None) if len(answered) < len(own) else None,
            "threshold": row["expected"], "n_texts": row["n_texts"], "method": own[0]["method"] if own else None,
            "note": row["note"]}  # fmt: skip


def _noise(rows: list[Row]) -> list[Row]:
    """Return the standard errors of estimates from probes, at each k over all tensors."""
    of_probes = [row for row in rows if row["method"] == "probes" and row["mode"] == "global"]
    share = {(r["metric"], r["k"]): r["value"] for r in of_probes if r["quantity"] == "significant_share"}
    errors = [row for row in of_probes if row["quantity"] == "relative_error"]
    return [row | {"significant_share": share.get((row["metric"], row["k"]))}
            for row in kept(errors, "metric", "k", "value", "low", "high")]  # fmt: skip


def _weights(path: Path) -> dict[str, Row]:
    frame = read_if_there(path, WEIGHT_STABILITY)
    if frame is None:
        return {}
    return {
        metric: {
            "n": len(own), "k": int(own["k"].iloc[0]), "method": own["method"].iloc[0], "draws": int(own["n"].iloc[0]),
            "stay": int((own["probability"] >= SURE).sum()), "of_draws": SURE,
            "probability_median": float(own["probability"].median()),
            "probability_min": float(own["probability"].min()),
        }
        for metric, own in frame.groupby("metric", sort=False)
    }  # fmt: skip


def again(folder: Path) -> dict[tuple[str, str, str], float]:
    """Return the share of draws in which a weight is among the first again, by (metric, parameter, indices)."""
    frame = read_if_there(folder / WEIGHT_STABILITY.name, WEIGHT_STABILITY)
    if frame is None:
        return {}
    keys = zip(frame["metric"], frame["parameter"], frame["indices"], strict=True)
    return dict(zip(keys, frame["probability"].tolist(), strict=True))


def at_k(overlaps: list[Row], metric: str, mode: str, most: int) -> Row | None:
    """Return the overlap that a verdict comes from at the largest k up to ``most``; None where there is none.

    What the kept candidates cannot answer is too high and stands for no ranking; nor does a figure of a few tensors.
    """
    own = [row for row in overlaps if (row["metric"], row["mode"]) == (metric, mode) and row["method"] in JUDGES
           and _is_judged(row)]  # fmt: skip
    return max((row for row in own if row["k"] <= most), key=lambda row: row["k"], default=None)


def is_answered(row: Row) -> bool:
    """Say whether the kept candidates can answer an overlap."""
    return TOO_HIGH not in (row["note"] or "")


def _is_judged(row: Row) -> bool:
    """Say whether a verdict may come from an overlap: it is answered, in half of the tensors or blocks or more."""
    groups = _GROUPS.search(row["note"] or "")
    return is_answered(row) and (groups is None or 2 * int(groups[1]) >= int(groups[2]))


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
