"""The tables on what was judged: declared criteria, interventions, the rehearsal of the scoring pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import show
from .facts_judged import is_compared
from .sheet import CODE, NUMBER, TEXT, Table, or_dash
from .tables_stability import runs


def criteria(known: Mapping[str, Any] | None) -> Table:
    """The declared criteria with their outcomes."""
    rows = [
        [row["name"], row["verdict"], show.real(row["value"]) if row["value"] is not None else "-",
         f"{row['test']} {row['threshold']}", row["statement"], _what(row), show.count(row["n"]), row["reason"] or "-"]
        for row in (known["rows"] if known else [])
    ]  # fmt: skip
    columns = (("criterion", CODE), ("outcome", TEXT), ("value", NUMBER), ("asked for", NUMBER), ("statement", TEXT),
               ("taken from", TEXT), ("rows read", NUMBER), ("why no value", TEXT))  # fmt: skip
    note = "" if not known else "; ".join(f"{name}: {n}" for name, n in known["outcomes"].items()) + "."
    return Table("Criteria declared before the run", columns, rows, note)


def _what(row: Mapping[str, Any]) -> str:
    column = f"{row['aggregate']} of {row['column']}" if row["aggregate"] else row["column"]
    return f"{column} in {row['table']}.csv" + (f", {row['where']}" if row["where"] else "")


def verdict(known: Mapping[str, Any] | None) -> Table:
    """Which rankings to trust, by the damage that their first weights do."""
    found = known["verdict"] if known else []
    columns: list[_Column] = [
        ("trust", NUMBER, [str(row["trust"]) for row in found]), ("metric", CODE, [row["metric"] for row in found]),
        *_differing(found, "mode", CODE), *_differing(found, "intervention", CODE),
        ("verdict", TEXT, [row["verdict"] for row in found]),
        ("more than matched (nats per token)", NUMBER, [_gain(row, "matched") for row in found]),
        ("damage (nats per token)", NUMBER,
         [show.interval(row["area"], row["area_low"], row["area_high"]) for row in found]),
        ("more than random (nats per token)", NUMBER, [_gain(row, "random") for row in found]),
        *_differing(found, "k", NUMBER),
    ]  # fmt: skip
    if any(row["k_compared"] != row["k_high"] for row in found):
        columns.append(("compared up to k", NUMBER, [
            "-" if row["k_compared"] is None else show.count(row["k_compared"]) for row in found]))  # fmt: skip
    if known and any("not_at" in row for row in found):
        columns.append(("not at k", TEXT, [_not_at(row, known["ladder"]) for row in found]))
    columns += [
        ("better than", NUMBER, [f"{row['wins']} of {len(found) - 1}" for row in found]),
        ("rank correlation with single damage", NUMBER, [
            "-" if row["spearman"] is None else
            show.interval(row["spearman"], row["spearman_low"], row["spearman_high"]) for row in found]),
        *_differing(found, "single weights", NUMBER), *_differing(found, "evaluation texts", NUMBER),
    ]  # fmt: skip
    if any(row["nonfinite_texts"] for row in found):
        columns.append(("texts not finite", NUMBER, [show.count(row["nonfinite_texts"]) for row in found]))
    columns += [*_differing(found, "seeds", NUMBER), *_differing(found, "draws", NUMBER)]
    return _table("Which ranking to trust", columns, _verdict_note(found, {heading for heading, *_ in columns}))


def _intervention(row: Mapping[str, Any]) -> str:
    strength = row.get("strength")  # the table of verdicts has none
    return row["intervention"] + ("" if strength is None else f" (strength {show.real(strength)})")


_Column = tuple[str, str, list[str]]
"""Heading, kind and cells."""
_SETTINGS: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "mode": ("mode {}", lambda row: row["mode"]),
    "intervention": ("intervention {}", _intervention),
    "k": ("k from {}", lambda row: " to ".join(dict.fromkeys((show.count(row["k_low"]), show.count(row["k_high"]))))),
    "evaluation texts": ("{} evaluation texts", lambda row: show.count(row["n_texts"])),
    "single weights": ("{} single weights", lambda row: show.count(row["n_single"])),
    "seeds": ("{} seeds of each control", lambda row: show.count(row["seeds"])),
    "draws": ("{} draws", lambda row: show.count(row["draws"])),
}
"""What is a column only where it differs between rows, by heading: how it is told else, and its cell."""


def _differing(rows: list[Mapping[str, Any]], heading: str, kind: str) -> list[_Column]:
    cells = [_SETTINGS[heading][1](row) for row in rows]
    return [(heading, kind, cells)] if len(set(cells)) > 1 else []


def settings(rows: list[Mapping[str, Any]], headings: Iterable[str] = _SETTINGS, *, same: bool = False) -> str:
    """Say which settings these rows have: ``mode global, intervention zero``; with ``same`` those that all have."""
    told = {heading: list(dict.fromkeys(_SETTINGS[heading][1](row) for row in rows)) for heading in headings}
    return ", ".join(_SETTINGS[heading][0].format(show.listed(values)) for heading, values in told.items()
                     if len(values) == 1 or not same)  # fmt: skip


def _table(caption: str, columns: list[_Column], note: str) -> Table:
    cells = [list(row) for row in zip(*(own for *_, own in columns), strict=True)]
    return Table(caption, tuple((heading, kind) for heading, kind, _ in columns), cells, note)


def _verdict_note(found: list[Mapping[str, Any]], headings: set[str]) -> str:
    if not found:
        return ""
    note = f"""In all rows: {settings(found, same=True)}. Trust: place by the number of others that a ranking is better
        than (the whole interval of the difference of their damage is above 0), then by damage. Damage: mean over log k
        of the change of the mean loss when the first k weights are changed. Matched: as many others of the same tensors
        and decile of abs(w); random: of the same tensors. Rank correlation: of score and abs(damage), over single
        weights changed one at a time on the first few of the texts. In brackets: 95 % of the draws of texts, of what is
        more than controls also of Student's t over their seeds, of correlations of the draws of weights."""
    if "compared up to k" in headings:
        note += """ Compared up to k: beyond it, so much of a tensor is selected that too few weights are left for
            controls as large."""
    if "not at k" in headings:
        note += """ Not at k: there the damage's interval is not above the intervals of all matched controls, or it is
            below 0; the mean over k does not speak for them."""
    if "texts not finite" in headings:
        note += """ Texts not finite: left out at some k because their loss came out infinite or as no number; where one
            was, nothing is compared."""
    return " ".join(note.split())


def _not_at(row: Mapping[str, Any], ladder: list[Mapping[str, Any]]) -> str:
    tried = {own["k"] for own in ladder if (own["metric"], own["mode"]) == (row["metric"], row["mode"])}
    return runs(row["not_at"], tried) if is_compared(row) else "-"


def _gain(row: Mapping[str, Any], control: str) -> str:
    value = row[f"gain_{control}"]
    return (
        "-"
        if value is None or not is_compared(row)
        else show.interval(value, row[f"gain_{control}_low"], row[f"gain_{control}_high"])
    )


def ladder(known: Mapping[str, Any] | None) -> Table:
    """What changing the first k does, beside controls."""
    found = known["ladder"] if known else []
    columns: list[_Column] = [
        ("metric", CODE, [row["metric"] for row in found]), *_differing(found, "mode", CODE),
        ("weights", TEXT, [row["kind"] for row in found]), ("k", NUMBER, [show.count(row["k"]) for row in found]),
        ("seed", NUMBER, [or_dash(row["seed"]) for row in found]), *_differing(found, "intervention", CODE),
        ("changed", NUMBER, [show.count(row["changed"]) for row in found]),
        ("of another decile", NUMBER, [show.count(row["unmatched"]) for row in found]),
        ("damage (nats per token)", NUMBER, [show.interval(row["dnll"], row["low"], row["high"]) for row in found]),
        ("predicted: first order", NUMBER, [show.real(row["first_order"], 3) for row in found]),
        ("second order", NUMBER, [show.real(row["second_order"], 3) for row in found]),
        ("KL divergence (nats per token)", NUMBER, [show.real(row["kl"], 3) for row in found]),
        ("same prediction", NUMBER, [show.share(row["agreement"]) for row in found]),
    ]  # fmt: skip
    stopped = [row["nan_texts"] + row["inf_texts"] for row in found]
    if any(stopped):
        columns.append(("texts not finite", NUMBER, [show.count(n) for n in stopped]))
    return _table("What changing the first k does", columns, _ladder_note(known, found) if known and found else "")


def _ladder_note(known: Mapping[str, Any], found: list[Mapping[str, Any]]) -> str:
    own = known["unchanged"]
    size = f" ({show.count(own['n_tokens'])} predicted tokens)" if own else ""
    texts = f"{show.listed([show.count(n) for n in dict.fromkeys(row['n_texts'] for row in found)])} evaluation texts"
    all_have = settings(found, ("mode", "intervention"), same=True)
    note = f"""Population: {texts}{size}. {f"In all rows: {all_have}. " if all_have else ""}Weights: the k of the
        highest (top) or lowest (bottom) score; random: as many others of the same tensors; matched: and of the same
        decile of abs(w), or of another decile where those are used up. Damage: change of the mean negative
        log-likelihood per token; in brackets 95 % of bootstrap draws of texts. Predicted: the same, in nats per token,
        as the gradients of these texts have it. Same prediction: of the tokens, those whose most likely next one is
        the unchanged model's. interventions/interventions.csv holds {show.plural(known["conditions"], "condition")} in
        all; what was asked for is under interventions in the config file."""
    return " ".join(note.split())


def rehearsals(checks: list[Mapping[str, Any]]) -> Table:
    """What the scoring passes tried out on a few texts before they began."""
    rows = []
    for check in checks:
        if own := check["rehearsal"]:
            figures = [show.count(own.get("texts")), show.count(own.get("tensors")), show.count(own.get("differing")),
                       show.real(own.get("packing_error"), 2), show.real(own.get("tolerance"), 2)]  # fmt: skip
            rows.append([show.listed(check["metrics"]), own["status"], *figures, own.get("reason") or "-"])
    columns = (("scores by", CODE), ("outcome", TEXT), *((n, NUMBER) for n in (
        "texts", "tensors", "statistics that differ between two equal runs", "difference by packing", "allowed")),
        ("reason", TEXT))  # fmt: skip
    note = "A few texts scored twice in two batches, and once text by text, in the model's first blocks. The "
    note += "difference by packing is norm-relative."
    return Table("Rehearsal before scoring", columns, rows, note)
