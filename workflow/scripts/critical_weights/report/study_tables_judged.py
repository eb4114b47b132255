"""The tables over models and phases on what was judged: stability, interventions, criteria, self-checks, spikes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import show
from .facts_judged import is_compared
from .facts_stability import at_k
from .findings_stability import SHOWN_K
from .sheet import CODE, NUMBER, TEXT, Table, or_dash
from .study_facts import judged, spikes

_WHERE = ("phase and model", CODE)


def stability(facts: Mapping[str, Any]) -> Table:
    """Up to which k each ranking over all tensors holds."""
    rows = []
    for name, part in facts["parts"].items():
        for row in (part["stability"] or {}).get("verdicts", []):
            found = at_k(part["stability"]["overlaps"], row["metric"], "global", SHOWN_K)
            rows.append([name, row["metric"], show.count(row["largest_k"]), or_dash(row["method"]),
                         show.count(row["n_texts"]), show.count(found["k"]) if found else "-",
                         show.interval(found["value"], found["low"], found["high"]) if found else "-",
                         show.real(found["expected"], 2) if found else "-"])  # fmt: skip
    columns = (_WHERE, ("metric", CODE), ("holds up to k", NUMBER), ("judged by", TEXT), ("texts", NUMBER),
               ("k", NUMBER), ("Jaccard index", NUMBER), ("by chance", NUMBER))  # fmt: skip
    note = "Rankings over all tensors: two random halves of the texts, or two simulated estimates from probes; in "
    note += "brackets 95 % of them. Zero: at no k that was tried."
    return Table("Up to which k a ranking is more than noise", columns, rows, note)


def validation(facts: Mapping[str, Any]) -> Table:
    """What changing each ranking's first weights did."""
    rows = []
    for name, part in facts["parts"].items():
        for row in (part["validation"] or {}).get("verdict", []):
            rows.append([
                name, show.count(row["trust"]), row["metric"], row["mode"], row["intervention"], row["verdict"],
                show.interval(row["area"], row["area_low"], row["area_high"]),
                "-" if row["gain_matched"] is None or not is_compared(row) else
                show.interval(row["gain_matched"], row["gain_matched_low"], row["gain_matched_high"]),
                f"{show.count(row['k_low'])} to {show.count(row['k_high'])}", show.count(row["n_texts"]),
                show.count(row["seeds"]),
            ])  # fmt: skip
    columns = (_WHERE, ("trust", NUMBER), ("metric", CODE), ("mode", CODE), ("intervention", CODE), ("verdict", TEXT),
               *((n, NUMBER) for n in ("damage (nats per token)", "more than matched ones", "k", "evaluation texts",
                                       "seeds")))  # fmt: skip
    note = "Trust: place in its phase and model by the number of others that a ranking surely outdoes, then by damage. "
    note += "Damage: mean over log k of the change of the mean loss. Matched: as many others of the same tensors and "
    note += "decile of abs(w). In brackets: 95 % of the draws of texts and seeds. Texts whose loss did not stay finite "
    note += "are left out, and nothing is compared there."
    return Table("What changing the first weights did", columns, rows, note)


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
    """The outcomes of conservation laws and rehearsals, one row a scoring pass."""
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
        ("scoring pass of", CODE),
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
        rows.append([name, show.count(len(found)), show.listed(names) or "-",
                     *([show.real(largest["max_output"]), show.count(largest["layer"]),
                        show.real(largest["to_median"])] if largest else ["-"] * 3),
                     show.count(known["texts"]), show.count(known["tokens"])])  # fmt: skip
    columns = (_WHERE, ("spikes", NUMBER), ("weights", TEXT), *((n, NUMBER) for n in (
        "largest output of a down projection", "in block", "over the median of the other blocks", "texts",
        "tokens")))  # fmt: skip
    return Table("Super weights", columns, rows, "Of forward passes; a spike is judged by its block's largest output.")
