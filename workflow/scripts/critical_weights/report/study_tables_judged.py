"""The tables over models and phases on what was judged: stability, interventions, criteria, self-checks, spikes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from . import show
from .facts_judged import ABOVE, is_compared
from .facts_stability import at_k
from .findings_stability import SHOWN_K
from .sheet import CODE, NUMBER, TEXT, Table, or_dash
from .study_facts import judged, not_above_at, spike_kinds, spikes, tried_k
from .tables_stability import held_at

_WHERE = ("phase and model", CODE)
_SETTINGS = (("mode", CODE), ("intervention", CODE), ("k", NUMBER), ("compared up to k", NUMBER),
             ("evaluation texts", NUMBER), ("seeds", NUMBER))  # fmt: skip
"""Columns of :func:`validation` that most studies have one value for."""


def stability(facts: Mapping[str, Any]) -> Table:
    """At which k each ranking over all tensors holds."""
    rows, methods = [], set()
    for name, part in facts["parts"].items():
        for row in (part["stability"] or {}).get("verdicts", []):
            found = at_k(part["stability"]["overlaps"], row["metric"], "global", SHOWN_K)
            methods.add(row["method"])
            rows.append([name, row["metric"], held_at(row), ", ".join(map(show.count, row["answered"])) or "-",
                         or_dash(row["method"]), show.count(row["n_texts"]) if row["method"] == "halves" else "-",
                         show.count(found["k"]) if found else "-",
                         show.interval(found["value"], found["low"], found["high"]) if found else "-",
                         show.real(found["expected"], 2) if found else "-"])  # fmt: skip
    columns = (_WHERE, ("metric", CODE), ("holds at k", TEXT), ("k answered", NUMBER), ("judged by", TEXT),
               ("texts", NUMBER), ("at k", NUMBER), ("Jaccard index", NUMBER), ("by chance", NUMBER))  # fmt: skip
    limits = dict.fromkeys(show.real(row["threshold"]) for part in facts["parts"].values() if part["stability"]
                           for row in part["stability"]["verdicts"] if row["threshold"] is not None)  # fmt: skip
    above = show.listed(list(limits)) or "the threshold"
    note = "Rankings over all tensors. A ranking holds at a k where the Jaccard index (shared / union) of its first k "
    note += f"has the lower end of its interval above {above} and above chance. k answered: those for which the kept "
    note += "candidates are enough; of others nothing is known. Halves: two random halves of the texts; probes: two "
    note += "simulated estimates; in brackets 95 % of them."
    if "probes" in methods:
        note += " What simulated estimates share is an upper bound, and says nothing of other texts."
    return Table("At which k a ranking is more than noise", columns, rows, note)


def validation(facts: Mapping[str, Any]) -> Table:
    """What changing each ranking's first weights did."""
    rows = []
    for name, part in facts["parts"].items():
        for row in (part["validation"] or {}).get("verdict", []):
            rows.append([
                name, row["metric"], row["verdict"],
                "-" if row["gain_matched"] is None or not is_compared(row) else
                show.interval(row["gain_matched"], row["gain_matched_low"], row["gain_matched_high"]),
                show.interval(row["area"], row["area_low"], row["area_high"]),
                _not_at(row), show.count(row["trust"]), row["mode"],
                row["intervention"], tried_k(row),
                "-" if row["k_compared"] is None else show.count(row["k_compared"]), show.count(row["n_texts"]),
                show.count(row["seeds"]),
            ])  # fmt: skip
    columns = (_WHERE, ("metric", CODE), ("verdict", TEXT), *((n, NUMBER) for n in (
        "more than matched (nats per token)", "damage (nats per token)", "not at k", "trust")), *_SETTINGS)  # fmt: skip
    note = "More than matched: than as many others of the same tensors and decile of abs(w), over the k up to which "
    note += "these can be as many (compared up to k); the verdict is by its interval. Damage: mean over log k of the "
    note += "change of the mean loss. Not at k: of a ranking that is above controls in the mean, the k at which the "
    note += "interval of its damage is not above that of every matched control, or is wholly below 0. In brackets: "
    note += "95 % of the draws of texts, in the difference also of Student's t over the controls' seeds. Trust: place "
    note += "in its phase and model by the number of others that a ranking surely outdoes, then by damage. Texts whose "
    note += "loss did not stay finite are left out, and nothing is compared there."
    return _told_once(Table("What changing the first weights did", columns, rows, note))


def _not_at(row: Mapping[str, Any]) -> str:
    return "-" if row["verdict"] != ABOVE else ", ".join(map(show.count, not_above_at(row))) or "none"


def _told_once(table: Table) -> Table:
    """Return a table whose note tells those settings that are the same in all rows, instead of a column each."""
    alike = [place for place, column in enumerate(table.columns)
             if column in _SETTINGS and len({row[place] for row in table.rows}) == 1]  # fmt: skip
    if not alike:
        return table
    told = "; ".join(f"{table.columns[place][0]}: {table.rows[0][place]}" for place in alike)
    return replace(
        table,
        columns=tuple(column for place, column in enumerate(table.columns) if place not in alike),
        rows=[[cell for place, cell in enumerate(row) if place not in alike] for row in table.rows],
        note=f"{table.note} In all rows: {told}.",
    )


def criteria(facts: Mapping[str, Any]) -> Table:
    """Every declared criterion with its outcomes."""
    rows = [
        [row["name"], name, row["verdict"], show.real(row["value"]) if row["value"] is not None else "-",
         f"{row['test']} {row['threshold']}", row["statement"], row["reason"] or "-"]
        for name, row in judged(facts)
    ]  # fmt: skip
    columns = (("criterion", CODE), ("judged on", CODE), ("outcome", TEXT), ("value", NUMBER), ("asked for", NUMBER),
               ("statement", TEXT), ("why no value", TEXT))  # fmt: skip
    return Table("Criteria declared before the run", columns, rows)


def checks(facts: Mapping[str, Any]) -> Table:
    """The outcomes of conservation laws and rehearsals, one row for metrics that have the same ones."""
    rows = []
    for name, part in facts["parts"].items():
        for check in part["checks"]:
            status = [law["status"] for law in check["laws"]]
            errors = [law["error"] / law["tolerance"] for law in check["laws"]
                      if law.get("error") is not None and law.get("tolerance")]  # fmt: skip
            rows.append([name, ", ".join(check["metrics"]),
                         *(show.count(status.count(s)) for s in ("passed", "failed", "not applicable")),
                         show.share(max(errors)) if errors else "-",
                         (check["rehearsal"] or {}).get("status") or show.UNKNOWN])  # fmt: skip
    columns = (
        _WHERE,
        ("scores by", CODE),
        *((n, NUMBER) for n in ("laws passed", "failed", "not applicable", "largest error, of what is allowed")),
        ("rehearsal", TEXT),
    )
    note = "Conservation laws tie sums of weight times gradient in one tensor to sums in another, whatever the texts."
    return Table("Self-checks", columns, rows, note)


def superweights(facts: Mapping[str, Any]) -> Table:
    """Activation spikes, and the weights behind them."""
    rows = []
    for name, part in facts["parts"].items():
        known = part["superweights"]
        if not known:
            continue
        largest = max(known["profile"], key=lambda row: row["max_output"], default=None)
        found = spikes(known)
        names = [f"{weight['parameter']} [{weight['row']}, {weight['col']}]" for weight in found]
        kinds = f" ({spike_kinds(found)})" if found else ""
        rows.append([name, f"{show.count(len(found))}{kinds}", show.listed(names) or "-",
                     *([show.real(largest["max_output"]), show.count(largest["layer"]),
                        show.real(largest["to_median"])] if largest else ["-"] * 3),
                     show.count(known["texts"]), show.count(known["tokens"])])  # fmt: skip
    columns = (_WHERE, ("spikes", NUMBER), ("weights", TEXT), *((n, NUMBER) for n in (
        "largest output of a down projection", "in block", "over the median of the other blocks", "texts",
        "tokens")))  # fmt: skip
    note = "Of forward passes; a spike is judged by its block's largest output. Early: made by a weight, or a few of "
    note += "one column, a super weight; last: in the last blocks; shared: no few weights make it."
    return Table("Super weights", columns, rows, note)
