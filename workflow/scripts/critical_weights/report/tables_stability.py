"""The tables on whether a ranking would come out again: stability, noise of probes, first position."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
    """At which k each ranking holds, and what its first weights share."""
    found = known["verdicts"] if known else []
    rows = []
    for verdict in found:
        row = at_k(known["overlaps"], verdict["metric"], verdict["mode"], SHOWN_K) if known else None
        told = [show.count(row["k"]), show.interval(row["value"], row["low"], row["high"]),
                show.real(row["expected"], 3)] if row else ["-"] * 3  # fmt: skip
        answered = verdict["answered"]
        rows.append([verdict["metric"], verdict["mode"], held_at(verdict), runs(answered, answered), *told,
                     _BY.get(verdict["method"] or "", "-")])  # fmt: skip
    columns = (("metric", CODE), ("mode", CODE), ("holds at k", TEXT), ("k answered", TEXT), ("at k", NUMBER),
               ("Jaccard index", NUMBER), ("by chance", NUMBER), ("compared", TEXT))  # fmt: skip
    return Table("At which k a ranking is more than noise", columns, rows, _verdict_note(found) if found else "")


def _verdict_note(found: list[Mapping[str, Any]]) -> str:
    limits = show.listed([show.real(limit, 3) for limit in dict.fromkeys(row["threshold"] for row in found)])
    note = f"""Population: the kept candidates. A ranking holds at a k where the Jaccard index (shared / union) of the
        first k has the lower end of its 95 % interval above {limits} and above chance. k answered: those that the
        candidates are enough for, in half of the tensors or blocks or more; of others nothing is known. The index
        stands at the largest of them up to {SHOWN_K}. perlayer, perblock: mean over tensors or blocks."""
    halves = sorted({row["n_texts"] for row in found if row["method"] == "halves"} - {None})
    if halves:
        texts = show.listed([show.count(n) for n in halves])
        note += f" Halves of the {texts} texts share less than two whole sets of {texts} would."
    if any(row["method"] == "probes" for row in found):
        note += """ Simulated estimates take the noise of the real one for signal, so that what they share is an upper
            bound; all are of the same texts, and say nothing of other texts."""
    return " ".join(note.split())


def held_at(verdict: Mapping[str, Any]) -> str:
    """Return the k at which a ranking holds, of those that are answered: ``30 to 300``, ``300 only``, ``no k``."""
    if verdict["largest_k"] is None:
        return "not known"
    told = runs(verdict["holds_at"], verdict["answered"])
    return "no k" if told == "none" else f"{told} only" if len(verdict["holds_at"]) == 1 else told


def runs(ks: Collection[int], among: Collection[int]) -> str:
    """Return some k of a ladder; those that follow each other in it as a range."""
    found: list[list[int]] = []
    before = None
    for k in sorted({*ks, *among}):
        if k in ks:
            found = [*found[:-1], [*found[-1], k]] if before in ks else [*found, [k]]
        before = k
    ends = [dict.fromkeys((run[0], run[-1])) for run in found]
    return show.listed([" to ".join(show.count(k) for k in own) for own in ends]) or "none"


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
    note = """Population: the kept candidates. In brackets: 95 % of the comparisons (of other seeds: the smallest and
        the largest). Halves share less than two sets of all texts would; draws with replacement more; simulated
        estimates are an upper bound. Where the kept candidates do not answer, weights beyond them may get to the first
        k: the index is too high."""
    return Table("Overlap of resampled rankings", columns, rows, " ".join(note.split()))


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
         show.real(own["probability_median"], 3), show.real(own["probability_min"], 3), show.count(own["draws"]),
         "probes" if own["method"] == "probes" else "texts"]
        for metric, own in (known["weights"] if known else {}).items()
    ]  # fmt: skip
    sure = next(iter(known["weights"].values()))["of_draws"] if known and known["weights"] else None
    columns = (("metric", CODE), *((n, NUMBER) for n in (
        "weights", "again among the first", f"in {show.share(sure)} of the draws or more", "share of draws, median",
        "least", "draws")), ("draws of", TEXT))  # fmt: skip
    note = "Population: the first weights over all tensors by each metric. Texts are drawn with replacement; of probes "
    note += "estimates are simulated, of the same texts."
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
    columns = (("metric", CODE), ("kept weights", NUMBER), ("position 0 makes", NUMBER),
               *((f"of the first {k:,} stay", NUMBER) for k in ks))  # fmt: skip
    note = ("Population: the first candidates of each tensor, whose score without position 0 is kept too. Position 0 "
            "makes: its part of their score, below 0 where the score grows without it. In brackets: the k-th score "
            "without it, in times of the largest score beyond the candidates; up to 1, weights beyond them could "
            "change the figure.")  # fmt: skip
    missing = [f"{row['metric']} ({row['reason']})" for row in (known["not_available"] if known else [])]
    note += f" Not available: {show.listed(missing)}." if missing else ""
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
