"""The tables on scores: best weights, distribution over all weights, selections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import show
from .finding import is_estimate
from .sheet import CODE, MODE_WORDS, NUMBER, TEXT, Table, or_dash


def top(name: str, metric: Mapping[str, Any]) -> Table:
    """A metric's best weights, beside what changing each of them alone did where that was measured."""
    rows = [
        [str(row["rank"]), row["parameter"], row["component"], or_dash(row["layer"]), or_dash(row["row"]),
         or_dash(row["col"]), "-" if row["token"] is None else show.token(row["token"]),
         show.real(row["sensitivity_score"], 6), _kept(row["weight"], 6),
         _kept(row["gradient"], 4) if metric["has_gradient"] else show.MISSING]
        for row in metric["top"]
    ]  # fmt: skip
    if any(row["expert"] is not None for row in metric["top"]):
        rows = [[cell if i != 4 else f"{cell} (expert {or_dash(row['expert'])})" for i, cell in enumerate(cells)]
                for cells, row in zip(rows, metric["top"], strict=True)]  # fmt: skip
    columns = (("rank", NUMBER), ("tensor", CODE), ("component", CODE), ("block", NUMBER), ("row", NUMBER),
               ("col", NUMBER), ("token", CODE), (f"score ({metric['units']})", NUMBER), ("weight", NUMBER),
               ("mean gradient (nats per token / weight)", NUMBER))  # fmt: skip
    alone = [row["alone"] for row in metric["top"]]
    if any(alone):
        rows = [[*cells, measured_alone(own)] for cells, own in zip(rows, alone, strict=True)]
        columns = (*columns, ("measured alone (nats per token)", NUMBER))
    n, exact = len(rows), metric["top_exact"]
    total = show.count(metric["overall"]["num_weights"])
    if exact == n:
        note = f"The first {n} of all {total} scored weights."
    else:
        note = (
            f"The first {n} of the selection {metric['top_of']}, {exact} of which are surely the first of all {total}."
        )
    if is_estimate(metric):
        note += " Scores are estimates from random probes: a single one may be mostly noise."
    note += f" Row is the output and col the input index.{alone_note(alone)}"
    return Table(f"Best weights by {name}", columns, rows, note)


def measured_alone(own: Mapping[str, Any] | None) -> str:
    """Write what changing a weight alone did to the loss, as :func:`.facts_judged.read_alone` has it."""
    if own is None:
        return "not measured"
    return "not finite" if own["dnll"] is None else show.interval(own["dnll"], own["low"], own["high"])


def alone_note(alone: Iterable[Mapping[str, Any] | None]) -> str:
    """Say what the column of what weights did alone tells, with n; nothing where none was measured."""
    known = [own for own in alone if own]
    if not known:
        return ""
    values = {own["to"] for own in known}
    how = f"set to {show.real(values.pop())}" if len(values) == 1 else "changed"
    texts = show.plural(known[0]["n_texts"], "evaluation text")
    return (
        f" Measured alone: change of the mean loss per token on {texts} where this weight is {how}; below 0 the loss "
        "falls; in brackets 95 % of bootstrap draws of texts."
    )


def _kept(value: float | None, digits: int) -> str:
    # Weight and gradient are stored with the candidates; a selection beyond them has only scores.
    return "not kept" if value is None else show.real(value, digits)


def distribution(metrics: Mapping[str, Any]) -> Table:
    """The distribution of the scores over all weights."""
    rows = []
    for name, metric in metrics.items():
        o = metric["overall"]
        rows.append([name, metric["units"], show.count(o["num_weights"]), show.real(o["max"]), show.real(o["mean"]),
                     show.real(o["std"]), show.real(o["median"]), show.real(o["p95"]), show.real(o["p99"]),
                     show.real(o["min"]), show.real(o["max_over_mean"]),
                     f"{show.count(o['zeros'])} ({show.share(o['zero_fraction'])})"])  # fmt: skip
    columns = (("metric", CODE), ("unit", TEXT), *((n, NUMBER) for n in (
        "weights", "max", "mean", "std", "median", "p95", "p99", "min", "max / mean", "zeros")))  # fmt: skip
    return Table("Distribution over all weights", columns, rows, _quantile_note(metrics))


def _quantile_note(metrics: Mapping[str, Any]) -> str:
    exact = [name for name, m in metrics.items() if m["quantiles"]["method"] == "exact"]
    estimated = [name for name in metrics if name not in exact]
    parts = ["Population: all scored weights; std with n in the denominator."]
    if exact:
        parts.append(f"Exact quantiles: {show.listed(exact)}.")
    if estimated:
        error = max(metrics[name]["quantiles"]["relative_error"] for name in estimated)
        parts.append(f"Quantiles from a histogram, off by at most {show.share(error)}: {show.listed(estimated)}.")
    return " ".join(parts)


def selections(runs: Mapping[str, Any], metrics: Mapping[str, Any]) -> Table:
    """The selections, next to all weights."""
    rows = []
    for label, run in runs.items():
        s, total = run["selection"], metrics[run["metric"]]["overall"]["num_weights"]
        rows.append([label, metrics[run["metric"]]["units"], show.count(s["num_weights"]),
                     show.share(s["num_weights"] / total), show.share(s["share_of_score"]), show.real(s["max"]),
                     show.real(s["mean"]), show.real(s["median"]), show.real(s["min"])])  # fmt: skip
    columns = (("experiment", CODE), ("unit of scores", TEXT), *((heading, NUMBER) for heading in (
        "weights selected", "of all scored weights", "of the total score", "max", "mean", "median",
        "min")))  # fmt: skip
    note = "Max, mean, median and min are over the selected weights only; the shares are of all scored weights."
    return Table("Selections", columns, rows, note)


_PLACE_NOTE = ("Population: the {n} selected weights ({mode}, k = {k}); how many lie where follows from the mode as "
               "well as from the scores. The last column is of the summed score of all scored weights.")  # fmt: skip


def by_component(label: str, run: Mapping[str, Any]) -> Table:
    """One selection by component."""
    return _by_place(f"Selection {label} by component", ("component", CODE), run, run["selection"]["by_component"])


def by_block(label: str, run: Mapping[str, Any]) -> Table:
    """One selection by transformer block."""
    return _by_place(f"Selection {label} by block", ("block", NUMBER), run, run["selection"]["by_layer"])


def _by_place(caption: str, place: tuple[str, str], run: Mapping[str, Any], parts: Mapping[str, Any]) -> Table:
    rows = [
        [name, show.count(part["num_weights"]), show.share(part["share_of_selection"]),
         show.share(part["share_of_score"])]
        for name, part in parts.items()
    ]  # fmt: skip
    n = show.count(run["selection"]["num_weights"])
    note = _PLACE_NOTE.format(n=n, mode=MODE_WORDS[run["mode"]], k=show.count(run["k"]))
    columns = (place, ("weights selected", NUMBER), ("of the selected weights", NUMBER), ("of the total score", NUMBER))
    return Table(caption, columns, rows, note)


def skipped(metrics: Mapping[str, Any]) -> Table:
    """Analysed tensors that a metric has no score for, and why."""
    rows = [[name, tensor, str(reason)] for name, metric in metrics.items()
            for tensor, reason in (metric["store"].get("skipped") or {}).items()]  # fmt: skip
    columns = (("metric", CODE), ("tensor", CODE), ("reason", TEXT))
    return Table("Analysed tensors without a score", columns, rows)
