"""The tables over metrics: overlap with its chance level, concentration, conservation laws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import show
from .analysis import at_one_k
from .sheet import CODE, NUMBER, TEXT, Table


def overlap(rows: list[Mapping[str, Any]]) -> Table:
    """Overlap of the metrics over all tensors."""
    cells = [
        [row["a"], row["b"], row["k"], show.count(row["shared"]), show.share(row["share"]),
         show.real(row["jaccard"], 3), show.real(row["expected"], 3), _p(row["p"]), show.yes_no(row["complete"])]
        for row in at_one_k(rows)
    ]  # fmt: skip
    columns = (("a", CODE), ("b", CODE), *((n, NUMBER) for n in (
        "k", "shared weights", "of k", "Jaccard", "expected by chance", "p")), ("exact", TEXT))  # fmt: skip
    note = ("The first k weights of each metric over all tensors. Expected and p: two independent draws of k from the "
            "same weights (hypergeometric). Other k: overlap.csv.")  # fmt: skip
    return Table("Overlap between metrics", columns, cells, note)


def _p(p: float | None) -> str:
    return show.MISSING if p is None else show.real(p, 2) if p > 0 else "< 1e-300"


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
