"""The tables on whether a ranking would come out again: stability, noise of probes, first position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import show
from .facts_stability import at_k, is_answered
from .sheet import CODE, NUMBER, TEXT, Table, or_dash

SHOWN_K = 100
_BY = {
    "halves": "two halves of the texts", "probes": "two simulated estimates",
    "bootstrap_pair": "two draws of the texts", "seeds": "other seeds",
}  # fmt: skip


def verdicts(known: Mapping[str, Any] | None) -> Table:
    """Up to which k each ranking holds, and what its first weights share."""
    rows = []
    for verdict in known["verdicts"] if known else []:
        row = at_k(known["overlaps"], verdict["metric"], verdict["mode"], SHOWN_K) if known else None
        told = [show.count(row["k"]), show.interval(row["value"], row["low"], row["high"]),
                show.real(row["expected"], 3)] if row else ["-"] * 3  # fmt: skip
        largest = verdict["largest_k"]
        holds = "not known" if largest is None else "no k" if largest == 0 else f"{largest:,}"
        rows.append([verdict["metric"], verdict["mode"], holds, show.real(verdict["threshold"], 3), *told,
                     _BY.get(verdict["method"] or "", "-"), show.count(verdict["n_texts"]),
                     verdict["note"]])  # fmt: skip
    columns = (("metric", CODE), ("mode", CODE), *((n, NUMBER) for n in (
        "holds up to k", "threshold", "at k", "Jaccard index", "by chance")), ("compared", TEXT), ("texts", NUMBER),
        ("note", TEXT))  # fmt: skip
    note = ("Population: the kept candidates. A ranking holds up to the largest k whose Jaccard index (shared / union) "
            "has the lower end of its 95 % interval above threshold and chance; it stands here at a k that the "
            "candidates answer. perlayer, perblock: mean over tensors or blocks.")  # fmt: skip
    return Table("Up to which k a ranking is more than noise", columns, rows, note)


def overlaps(known: Mapping[str, Any] | None) -> Table:
    """What the first k share, at every k."""
    rows = [
        [row["metric"], row["mode"], _BY.get(row["method"], row["method"]), show.count(row["k"]),
         show.interval(row["value"], row["low"], row["high"]), show.real(row["expected"], 3), show.count(row["n"]),
         show.yes_no(is_answered(row))]
        for row in (known["overlaps"] if known else [])
    ]  # fmt: skip
    columns = (("metric", CODE), ("mode", CODE), ("compared", TEXT), ("k", NUMBER), ("Jaccard index", NUMBER),
               ("by chance", NUMBER), ("comparisons", NUMBER), ("answered by the kept candidates", TEXT))  # fmt: skip
    note = "In brackets: 95 % of the comparisons (of other seeds: the smallest and the largest). Halves share less "
    note += "than two sets of all texts would; draws with replacement more; simulated estimates are an upper bound. "
    note += (
        "Where the kept candidates do not answer, weights beyond them may get to the first k: the index is too high."
    )
    return Table("Overlap of resampled rankings", columns, rows, note)


def noise(known: Mapping[str, Any] | None) -> Table:
    """How noisy the estimates from probes are."""
    rows = [
        [row["metric"], show.count(row["k"]), show.share(row["value"]), show.share(row["low"]), show.share(row["high"]),
         show.share(row["significant_share"])]
        for row in (known["noise"] if known else [])
    ]  # fmt: skip
    columns = (("metric", CODE), *((n, NUMBER) for n in (
        "first k", "standard error / score, median", "2.5 % of the weights below", "97.5 % below",
        "above 2 standard errors")))  # fmt: skip
    note = "Population: the first k weights over all tensors; the error is measured over the random probes."
    return Table("Noise of the estimates from random probes", columns, rows, note)


def weights(known: Mapping[str, Any] | None) -> Table:
    """How many of the first weights stay among them when texts or probes are resampled."""
    rows = [
        [metric, show.count(own["n"]), show.count(own["k"]), show.count(own["stay"]),
         show.real(own["probability_median"], 3), show.real(own["probability_min"], 3), show.count(own["draws"])]
        for metric, own in (known["weights"] if known else {}).items()
    ]  # fmt: skip
    sure = next(iter(known["weights"].values()))["of_draws"] if known and known["weights"] else None
    columns = (("metric", CODE), *((n, NUMBER) for n in (
        "weights", "again among the first", f"in {show.share(sure)} of the draws or more", "share of draws, median",
        "least", "draws")))  # fmt: skip
    note = "Of the first weights over all tensors by each metric."
    return Table("First weights that stay first", columns, rows, note)


def not_measured(known: Mapping[str, Any] | None) -> Table:
    """What could not be resampled, and why."""
    rows = [[row["metric"], row["what"], row["reason"]] for row in (known["not_measured"] if known else [])]
    return Table("Not measured", (("metric", CODE), ("what", TEXT), ("reason", TEXT)), rows)


def first_position(known: Mapping[str, Any] | None) -> Table:
    """What stays of the top scores without the first position of each text."""
    metrics = known["metrics"] if known else {}
    ks = sorted({row["k"] for metric in metrics.values() for row in metric["overlap"]})
    rows = []
    for name, metric in metrics.items():
        stays = {row["k"]: row for row in metric["overlap"]}
        rows.append([name, show.count(metric["n"]), show.share(metric["share"]), *(_stays(stays.get(k)) for k in ks)])
    for row in known["not_available"] if known else []:
        rows.append([row["metric"], row["reason"], *["-"] * (1 + len(ks))])
    columns = (("metric", CODE), ("kept weights", NUMBER), ("position 0 makes", NUMBER),
               *((f"of the first {k:,} stay", NUMBER) for k in ks))  # fmt: skip
    note = ("Population: the first candidates of each tensor, whose score without position 0 is kept too. In brackets: "
            "the k-th score without it, in times of the largest score beyond the candidates; up to 1, weights beyond "
            "them could change the figure.")  # fmt: skip
    return Table("Top scores without the first position", columns, rows, note)


def _stays(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    margin = "" if row["kth_over_rest"] is None else f" ({show.real(row['kth_over_rest'], 3)})"
    return show.share(row["value"]) + margin


def fallen(known: Mapping[str, Any] | None) -> Table:
    """The lines and tokens whose score falls most without the first position."""
    rows = [
        [metric, row["name"], f"{row['line']} {row['index']}", or_dash(row["expert"]),
         show.token(row["token"]) if row["token"] else "-", show.share(row["value"]), show.count(row["n"])]
        for metric, own in (known["metrics"] if known else {}).items()
        for row in own["fallen"]
    ]  # fmt: skip
    columns = (("metric", CODE), ("tensor", CODE), ("line", TEXT), ("expert", NUMBER), ("token", CODE),
               ("position 0 makes", NUMBER), ("kept weights", NUMBER))  # fmt: skip
    return Table("Lines that lose most without the first position", columns, rows,
                 "By the size of the fall: three lines, and three rows of tokens, of each metric.")  # fmt: skip
