"""Parts of the facts over models and phases, made by hand."""

from __future__ import annotations


def ranking(metric, method, holds_at, value, k=100, mode="global"):
    """Make a verdict on a ranking with an answer at k = 10, 30 and 100, and its overlap at one of them."""
    own = {"metric": metric, "mode": mode, "method": method}
    largest = max(holds_at, default=0)
    verdict = own | {"largest_k": largest, "holds_at": holds_at, "answered": [10, 30, 100], "answered_to": None,
                     "fails_at": [k for k in (10, 30, 100) if k < largest and k not in holds_at], "threshold": 0.5,
                     "n_texts": 60, "note": ""}  # fmt: skip
    low, high = value - 0.125, value + 0.125
    overlap = own | {"k": k, "value": value, "low": low, "high": high, "expected": 0.01, "n": 100, "note": ""}
    return verdict, overlap


def known(*rankings, not_measured=()):
    verdicts, overlaps = zip(*rankings, strict=True)
    missing = [{"metric": metric, "what": "resampling", "reason": reason} for metric, reason in not_measured]
    return {"stability": {"verdicts": list(verdicts), "overlaps": list(overlaps), "not_measured": missing}}


def part(evaluation, dtype="float32", **own):
    texts = {"sha256": "aa", "seed": 1, "evaluation_sha256": evaluation}
    store = {"store": {"model_dtype": dtype}, "family": "gradient"}
    return {"model": {"sha256": "bb"}, "texts": texts, "metrics": {"obd": store}, "stability": None, "corpus_loss": [],
            "validation": None, "criteria": None} | own  # fmt: skip


def damaged(area, **others):
    row = {"verdict": "above controls", "area": area, "area_low": area, "area_high": area, "metric": "obd",
           "mode": "global", "intervention": "zero", "n_texts": 40, "seeds": 3, "draws": 1000, "nonfinite_texts": 0,
           "trust": 1, "k_low": 10, "k_high": 100, "k_compared": 100, "gain_matched": 0.25, "gain_matched_low": 0.125,
           "gain_matched_high": 0.375, "not_at": [], "lowers_at": []} | others  # fmt: skip
    return {"validation": {"verdict": [row]}}


def column(table, heading):
    return [row[[name for name, _ in table.columns].index(heading)] for row in table.rows]
