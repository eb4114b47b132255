"""The tables on what was judged: declared criteria, interventions, the rehearsal of the scoring pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import show
from .facts_judged import is_compared
from .sheet import CODE, NUMBER, TEXT, Table, or_dash


def criteria(known: Mapping[str, Any] | None) -> Table:
    """The declared criteria with their outcomes."""
    rows = [
        [row["name"], row["verdict"], show.real(row["value"]) if row["value"] is not None else "-",
         f"{row['test']} {row['threshold']}", row["statement"], _what(row), show.count(row["n"]), row["reason"] or "-"]
        for row in (known["rows"] if known else [])
    ]  # fmt: skip
    columns = (("criterion", CODE), ("outcome", TEXT), ("value", NUMBER), ("asked for", NUMBER), ("statement", TEXT),
               ("value is", TEXT), ("rows", NUMBER), ("why no value", TEXT))  # fmt: skip
    note = "" if not known else "; ".join(f"{name}: {n}" for name, n in known["outcomes"].items()) + "."
    return Table("Criteria declared before the run", columns, rows, note)


def _what(row: Mapping[str, Any]) -> str:
    column = f"{row['aggregate']} of {row['column']}" if row["aggregate"] else row["column"]
    return f"{column} in {row['table']}.csv" + (f", {row['where']}" if row["where"] else "")


def verdict(known: Mapping[str, Any] | None) -> Table:
    """Which rankings to trust, by the damage that their first weights do."""
    rows = [
        [str(row["trust"]), row["metric"], row["mode"], row["intervention"], row["verdict"],
         show.interval(row["area"], row["area_low"], row["area_high"]), _gain(row, "random"), _gain(row, "matched"),
         "-" if row["k_compared"] is None else show.count(row["k_compared"]),
         f"{row['wins']} of {len(known['verdict']) - 1}" if known else "",
         "-" if row["spearman"] is None else
         show.interval(row["spearman"], row["spearman_low"], row["spearman_high"]),
         show.count(row["n_single"]), show.count(row["n_texts"]), show.count(row["nonfinite_texts"])]
        for row in (known["verdict"] if known else [])
    ]  # fmt: skip
    columns = (("trust", NUMBER), ("metric", CODE), ("mode", CODE), ("intervention", CODE), ("verdict", TEXT),
               *((n, NUMBER) for n in ("damage (nats per token)", "more than random ones", "more than matched ones",
                                       "compared up to k",
                                       "better than", "rank correlation with single damage", "single weights",
                                       "evaluation texts", "of them not finite")))  # fmt: skip
    note = (
        "Trust: place by the number of others that a ranking is better than (the whole interval of the difference of "
    )
    note += "their damage is above 0), then by damage. "
    note += "Damage: mean over log k of the change of the mean loss. Random: as many others of the same tensors; "
    note += "matched: and of the same decile of abs(w). In brackets: 95 % of the draws of texts and seeds. Compared up "
    note += "to k: beyond it, so much of a tensor is selected that too few weights are left for controls as large. Of "
    note += "them not finite: texts left out at some k because their loss came out infinite or as no number; where one "
    note += "was, nothing is compared."
    return Table("Which ranking to trust", columns, rows, note)


def _gain(row: Mapping[str, Any], control: str) -> str:
    value = row[f"gain_{control}"]
    return (
        "-"
        if value is None or not is_compared(row)
        else show.interval(value, row[f"gain_{control}_low"], row[f"gain_{control}_high"])
    )


def ladder(known: Mapping[str, Any] | None) -> Table:
    """What changing the first k does, beside controls."""
    rows = [
        [row["metric"], row["mode"], row["kind"], show.count(row["k"]), or_dash(row["seed"]), row["intervention"],
         show.count(row["changed"]), show.count(row["unmatched"]), show.interval(row["dnll"], row["low"], row["high"]),
         show.real(row["first_order"], 3), show.real(row["second_order"], 3), show.real(row["kl"], 3),
         show.share(row["agreement"]), show.count(row["nan_texts"] + row["inf_texts"])]
        for row in (known["ladder"] if known else [])
    ]  # fmt: skip
    columns = (("metric", CODE), ("mode", CODE), ("weights", TEXT), ("k", NUMBER), ("seed", NUMBER),
               ("intervention", CODE), *((n, NUMBER) for n in (
                   "changed", "of another decile", "damage (nats per token)", "first order", "second order", "KL",
                   "same prediction", "texts not finite")))  # fmt: skip
    note = "Damage: change of the mean negative log-likelihood per token on the evaluation texts; in brackets 95 % of "
    note += (
        "bootstrap draws of texts. Of another decile: weights of a matched control where those of the selection's own "
    )
    note += "decile are used up. First and second order: what the gradients of the same texts predict."
    return Table("What changing the first k does", columns, rows, note)


def rehearsals(checks: list[Mapping[str, Any]]) -> Table:
    """What the scoring passes tried out on a few texts before they began."""
    rows = []
    for check in checks:
        if own := check["rehearsal"]:
            figures = [show.count(own.get("texts")), show.count(own.get("tensors")), show.count(own.get("differing")),
                       show.real(own.get("packing_error"), 2), show.real(own.get("tolerance"), 2)]  # fmt: skip
            rows.append([show.listed(check["metrics"]), own["status"], *figures, own.get("reason") or "-"])
    columns = (("scoring pass of", CODE), ("outcome", TEXT), *((n, NUMBER) for n in (
        "texts", "tensors", "statistics that differ between two equal runs", "difference by packing", "allowed")),
        ("reason", TEXT))  # fmt: skip
    note = "A few texts scored twice in two batches, and once text by text, in the model's first blocks. The "
    note += "difference by packing is norm-relative."
    return Table("Rehearsal before scoring", columns, rows, note)
