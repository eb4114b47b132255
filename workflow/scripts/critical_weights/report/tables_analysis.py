"""The tables over metrics: overlap with its chance level, concentration, conservation laws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import show
from .analysis import at_one_k
from .sheet import CODE, NUMBER, TEXT, Table


def overlap(rows: list[Mapping[str, Any]]) -> Table:
    """Overlap of the metrics over all tensors, beside that of free draws and, where it is known, of stricter ones."""
    told = at_one_k(rows)
    strict = any(row["p_by_tensor"] is not None for row in told)
    cells = [
        [row["a"], row["b"], row["k"], show.count(row["shared"]), show.share(row["share"]),
         show.real(row["jaccard"], 3), show.real(row["expected"], 3), show.chance(row["p"]),
         *([show.real(row["expected_by_tensor"], 3), show.chance(row["p_by_tensor"])] if strict else []),
         show.yes_no(row["complete"])]
        for row in told
    ]  # fmt: skip
    columns = (("a", CODE), ("b", CODE), *((n, NUMBER) for n in (
        "k", "shared weights", "of k", "Jaccard", "expected by chance", "p",
        *(("expected tensor by tensor", "p tensor by tensor") if strict else ()))), ("exact", TEXT))  # fmt: skip
    note = ("The first k weights of each metric over all tensors. Expected and p: two independent draws of k from the "
            "same weights (hypergeometric); where a list is too short to be exact, from each tensor "
            "apart. ")  # fmt: skip
    if strict:
        note += "Tensor by tensor: draws from each tensor apart, as often as it comes in each list; two metrics that "
        note += "only agree on which tensors matter share no more than that. "
    note += "Weights of a row or column are not independent, so that p is too small. Other k: overlap.csv."
    return Table("Overlap between metrics", columns, cells, note)


def overlap_pooled(rows: list[Mapping[str, Any]]) -> Table:
    """Overlap of the metrics when each tensor gives its first k."""
    cells = [
        [row["a"], row["b"], row["k"], show.count(row["shared"]), show.share(row["share"]),
         show.real(row["expected"], 3), show.chance(row["p"])]
        for row in at_one_k(rows)
    ]  # fmt: skip
    columns = (("a", CODE), ("b", CODE), *((n, NUMBER) for n in (
        "k of each tensor", "shared weights", "of all", "expected by chance", "p")))  # fmt: skip
    note = "The first k weights of every tensor by each metric, together. Expected and p: as many independent draws "
    note += "from each tensor. Weights of a line are not independent, so that p is too small."
    return Table("Overlap of the first of every tensor", columns, cells, note)


def overlap_of_lines(rows: list[Mapping[str, Any]]) -> Table:
    """Overlap of the metrics' rows, columns and neurons."""
    cells = [
        [row["a"], row["b"], _LINE_WORDS[scope], row["k"], show.count(row["shared"]), show.share(row["share"]),
         show.real(row["expected"], 3), show.chance(row["p"])]
        for scope in _LINE_WORDS
        for row in at_one_k([own for own in rows if own["scope"] == scope])
    ]  # fmt: skip
    columns = (("a", CODE), ("b", CODE), ("of", TEXT), *((n, NUMBER) for n in (
        "k", "shared", "of k", "expected by chance", "p")))  # fmt: skip
    note = "Lines by their largest score, over all tensors; neurons are those of the MLPs."
    return Table("Overlap of whole rows, columns and neurons", columns, cells, note)


_LINE_WORDS = {"row": "rows", "col": "columns", "neuron": "neurons"}


def agreement(rows: list[Mapping[str, Any]] | None) -> Table:
    """How alike the metrics rank and score, pair by pair."""
    cells = [
        [row["a"], row["b"], row["quantity"], row["over"], "-" if row["persistence"] is None else
         show.real(row["persistence"]),
         "-" if row["value"] is None else show.interval(row["value"], row["low"], row["high"]),
         show.count(row["depth"]), show.count(row["n"])]
        for row in rows or []
    ]  # fmt: skip
    columns = (("a", CODE), ("b", CODE), ("quantity", TEXT), ("over", TEXT), *((n, NUMBER) for n in (
        "persistence", "value", "places read", "weights")))  # fmt: skip
    note = ("rbo: rank-biased overlap, in brackets the least and most that any continuation gives; spearman, kendall: "
            "correlation of the scores, over weights that are at the top of both (shared) or of either (union). Such a "
            "choice lowers correlations: they compare pairs and do not stand for all weights.")  # fmt: skip
    return Table("Agreement of the metrics", columns, cells, note)


def overlap_in_tensors(rows: list[Mapping[str, Any]]) -> Table:
    """Overlap of the metrics within each tensor, summed up over the tensors."""
    cells = [
        [row["a"], row["b"], row["k"], show.count(row["n_tensors"]), show.share(row["share_min"]),
         show.share(row["share_median"]), show.share(row["share_max"]), show.yes_no(row["complete"])]
        for row in at_one_k(rows)
    ]  # fmt: skip
    columns = (("a", CODE), ("b", CODE), *((n, NUMBER) for n in (
        "k", "tensors", "least shared", "median", "most shared")), ("exact", TEXT))  # fmt: skip
    note = "The first k weights of each tensor by each metric; the shares are over tensors. Other k: overlap.csv."
    return Table("Overlap within tensors", columns, cells, note)


def concentration(metrics: Mapping[str, Any]) -> Table:
    """How unequally the score is spread over all weights."""
    known = {name: m["concentration"] for name, m in metrics.items() if m["concentration"]}
    ats = sorted({figure["at"] for c in known.values() for figure in c["top_share"]})
    rows = []
    for name, c in known.items():
        shares = {figure["at"]: figure for figure in c["top_share"]}
        rows.append([name, _bounded(c.get("gini"), show.bounded), _bounded(c.get("effective_number"), show.bounded),
                     *(_bounded(shares.get(at), show.bounded_share) for at in ats)])  # fmt: skip
    columns = (("metric", CODE), ("Gini coefficient", NUMBER), ("effective number of weights", NUMBER),
               *((f"top {show.share(at)} hold", NUMBER) for at in ats))  # fmt: skip
    note = ("Population: all scored weights. Gini: 0 if all scores are equal, 1 if one weight has all. In brackets: "
            "bounds, where a histogram stands in for the scores.")  # fmt: skip
    return Table("Concentration", columns, rows, note)


def tails(metrics: Mapping[str, Any]) -> Table:
    """How heavy the tail of the scores is, beside that of the weights' own size."""
    rows = []
    for name, metric in metrics.items():
        own = metric["concentration"] or {}
        whole, gini, peak = (own.get(key) for key in ("tail_index_range", "gini", "max_over_mean"))
        over = next(iter(own.get("top_mean_over_median") or []), None)
        rows.append([name, _bounded(whole, show.bounded), _null(whole), _bounded(over, show.bounded), _null(over),
                     _bounded(peak, show.bounded), _null(peak), _bounded(gini, show.bounded), _null(gini),
                     show.count(len(own.get("tail_index") or []))])  # fmt: skip
    columns = (("metric", CODE), *((n, NUMBER) for n in (
        "tail index", "magnitude's tail index", "mean of the top 1 % / median", "magnitude's ratio", "max / mean",
        "magnitude's max / mean", "Gini coefficient", "magnitude's Gini coefficient", "tail indices")))  # fmt: skip
    note = ("Population: all scored weights. Tail index: Hill's alpha, the smaller the heavier the tail; the median "
            "over several numbers of top weights, in brackets the least and the most. Beside each figure: the same "
            "of the weights' absolute values, where magnitude is among the experiments.")  # fmt: skip
    return Table("Tails, beside the weights' own size", columns, rows, note)


def _null(figure: Mapping[str, Any] | None) -> str:
    return "-" if figure is None or figure["magnitude"] is None else show.real(figure["magnitude"])


def _bounded(figure: Mapping[str, Any] | None, form: Any) -> str:
    return show.MISSING if figure is None else form(figure["value"], figure["low"], figure["high"])


def score_by_component(model: Mapping[str, Any], metrics: Mapping[str, Any]) -> Table:
    """Each metric's total score by component, over all weights; a metric has no share where it scores nothing."""
    shares = {
        name: {
            component: part.get("score_share") for component, part in metric["concentration"]["by_component"].items()
        }
        for name, metric in metrics.items()
        if metric["concentration"]
    }
    total = model["analysed"]["n_weights"]
    rows = [
        [name, show.count(part["analysed_weights"]), show.share(part["analysed_weights"] / total),
         *(show.share(of_metric.get(name)) for of_metric in shares.values())]
        for name, part in model["components"].items()
        if part["analysed_weights"]
    ]  # fmt: skip
    columns = (("component", CODE), ("weights", NUMBER), ("of the weights", NUMBER), *((n, NUMBER) for n in shares))
    note = (
        "Under each metric: the component's share of its total score. Population: all scored weights, selected or not."
    )
    return Table("Total score by component", columns, rows, note)


def laws(check: Mapping[str, Any]) -> Table:
    """The conservation laws of one scoring pass."""
    rows = [[law["law"], law["status"], show.real(law.get("error"), 2), show.real(law.get("tolerance"), 2),
             show.count(law.get("n")), law.get("reason") or "-"] for law in check["laws"]]  # fmt: skip
    columns = (("law", TEXT), ("outcome", TEXT), ("error", NUMBER), ("tolerance", NUMBER), ("sums compared", NUMBER),
               ("reason", TEXT))  # fmt: skip
    note = "Error: relative to the L1 norm of what is summed."
    return Table(f"Conservation laws, scoring pass of {show.listed(check['metrics'])}", columns, rows, note)
