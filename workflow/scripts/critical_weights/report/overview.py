"""One phase and model on half a page: settings, every metric's main figures in one row, and who agrees with whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import show, tables_judged, tables_scores, tables_setup
from .analysis import at_one_k
from .facts_stability import at_k
from .findings_stability import SHOWN_K
from .sheet import CODE, NUMBER, TEXT, Table, named, or_dash
from .study_facts import checkpoint, first_percent, leader, spikes
from .tables_stability import held_at


def overview(facts: Mapping[str, Any]) -> dict[str, Table]:
    """Return the tables of the overview of one phase and model, from the facts of its report."""
    return {
        "setup": setup(facts),
        "metrics": metrics(facts),
        "agreement": agreement(facts),
        "selections": tables_scores.selections(facts["experiments"], facts["metrics"]),
        "criteria": tables_judged.criteria(facts["criteria"]),
    }


def setup(facts: Mapping[str, Any]) -> Table:
    """What was scored on what."""
    model, texts, analysed = facts["model"], facts["texts"], facts["model"]["analysed"]
    used = texts["calibration"]
    losses = {show.real(loss["value"], 6): loss for loss in facts["corpus_loss"]}
    stores = [metric["store"] for metric in facts["metrics"].values()]
    dtypes = dict.fromkeys(or_dash(store.get("model_dtype")) for store in stores)
    return named("Set-up", [
        ("model", f"{model['model']}, {model.get('architecture') or show.UNKNOWN}"),
        ("checkpoint", checkpoint(model)),
        ("weights scored", f"{show.count(analysed['n_weights'])} of {show.count(model['n_weights'])} "
                           f"({show.share(analysed['n_weights'] / model['n_weights'])})"),
        ("parameter tensors scored", f"{show.count(analysed['n_tensors'])} of {show.count(model['n_tensors'])}"),
        ("transformer blocks", show.count(model.get("n_layers"))),
        ("dtype while scoring", ", ".join(dtypes)),
        ("calibration texts", f"{show.count(used['n_texts'])}, {show.count(used['n_texts'] - used['n_duplicates'])} "
                              f"of them different, {show.count(used['n_predicted'])} predicted tokens"),
        ("evaluation texts", show.count(texts["evaluation"]["n_texts"])),
        *_interventions(facts),
        ("tokens a text at most", tables_setup.longest(facts)),
        ("seed", or_dash(texts["seed"])),
        ("corpus loss (nats per token)", "; ".join(
            f"{value} over {show.count(loss['n_tokens'])} tokens" for value, loss in losses.items()) or "no text read"),
        ("activation spikes", _spikes(facts["superweights"])),
    ], "The corpus loss is the sum of next-token losses over all calibration texts, divided by all predicted tokens; "
       "where scoring passes batch differently, their last digits differ.")  # fmt: skip


def _interventions(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the evaluation texts have in common with calibration texts, and what was measured on how many."""
    shared, known = tables_setup.passages(facts["texts"]), facts["validation"]
    rows = [(f"of them {shared[0]}", shared[1])] if shared else []
    if known is None:
        return [*rows, ("of them used by interventions", "none: no interventions were made")]
    own = known["unchanged"]
    told = f"{show.count(own['n_texts'])} ({show.count(own['n_tokens'])} predicted tokens)" if own else show.UNKNOWN
    rows.append(("of them used by interventions", told))
    settings = tables_judged.settings(known["verdict"], ("mode", "intervention", "k", "seeds", "draws"))
    return rows + ([("interventions", settings)] if known["verdict"] else [])


def _spikes(known: Mapping[str, Any] | None) -> str:
    if known is None:
        return "not looked for"
    texts = f"in {show.plural(known['texts'], 'text')}" if known["texts"] is not None else "in the texts"
    return f"{show.count(len(spikes(known)))} {texts}"


def metrics(facts: Mapping[str, Any]) -> Table:
    """A row a metric: how unequal its scores are, where they lie, how far the ranking holds, what it does."""
    verdicts = {row["metric"]: row for row in (facts["stability"] or {}).get("verdicts", []) if row["mode"] == "global"}
    damage = {row["metric"]: row for row in (facts["validation"] or {}).get("verdict", []) if row["mode"] == "global"}
    rows, at = [], None
    for name, metric in facts["metrics"].items():
        known, overall = metric["concentration"] or {}, metric["overall"]
        first, most, gini = first_percent(known), leader(known), known.get("gini")
        at = first["at"] if first else at
        rows.append([
            name, metric["units"], show.real(overall["mean"]), show.real(overall["max"]),
            show.real(overall["max_over_mean"]),
            show.bounded(*(gini[key] for key in ("value", "low", "high"))) if gini else show.MISSING,
            show.bounded_share(*(first[key] for key in ("value", "low", "high"))) if first else show.MISSING,
            f"{most[0]} ({show.share(most[1]['score_share'])})" if most else show.MISSING,
            _first(metric), *_holds(facts, verdicts.get(name)), *_damage(damage.get(name)),
        ])  # fmt: skip
    columns = (("metric", CODE), ("unit", TEXT), *((n, NUMBER) for n in (
        "mean", "max", "max / mean", "Gini coefficient", f"first {show.share(at)} hold" if at else "the first hold")),
        ("largest component (of the total score)", TEXT), ("first weight", CODE), ("holds at k", TEXT),
        ("two halves (or estimates) share", NUMBER), ("damage (nats per token)", NUMBER),
        ("verdict", TEXT))  # fmt: skip
    n = show.count(facts["model"]["analysed"]["n_weights"])
    note = f"Population: all scored weights (at most {n}). Holds at k: over all tensors, where two halves of the texts "
    note += "(or two estimates from probes) agree, of the k that the kept candidates are enough for; they share: the "
    note += "Jaccard index of the first weights, with their number k. "
    again = {row["metric"] for row in (facts["stability"] or {}).get("overlaps", []) if row["method"] == "seeds"}
    if probed := [name for name in facts["metrics"]
                  if verdicts.get(name, {}).get("method") == "probes" and name not in again]:  # fmt: skip
        note += "Estimates are of the same texts: what other texts would change was not measured for "
        note += f"{show.listed(probed)}. "
    note += "Damage: mean over log k of the change of the mean loss on evaluation texts, of the "
    note += "ranking over all tensors; the verdict is against matched controls."
    return Table("Metrics", columns, rows, note)


def _first(metric: Mapping[str, Any]) -> str:
    if not metric["top"]:
        return "-"
    first = metric["top"][0]
    return f"{first['parameter']} {first['indices']}"


def _holds(facts: Mapping[str, Any], verdict: Mapping[str, Any] | None) -> list[str]:
    if verdict is None or verdict["largest_k"] is None:
        return ["not measured", "-"]
    found = at_k(facts["stability"]["overlaps"], verdict["metric"], "global", SHOWN_K)
    if found is None:
        return [held_at(verdict), "-"]
    told = f"{show.interval(found['value'], found['low'], found['high'])}, k {found['k']:,}"
    return [held_at(verdict), told + (", estimates" if found["method"] == "probes" else "")]


def _damage(row: Mapping[str, Any] | None) -> list[str]:
    if row is None:
        return ["not measured", "-"]
    return [show.interval(row["area"], row["area_low"], row["area_high"]), row["verdict"]]


def agreement(facts: Mapping[str, Any]) -> Table:
    """Share of the first weights that two metrics have in common, as a square."""
    rows = at_one_k(facts["overlap"]["global"])
    share = {frozenset((row["a"], row["b"])): row for row in rows}
    names = [name for name in facts["metrics"] if any(name in pair for pair in share)]
    cells = [[a, *("-" if a == b or frozenset((a, b)) not in share else show.share(share[frozenset((a, b))]["share"])
                   for b in names)] for a in names]  # fmt: skip
    note = ""
    if rows:
        expected = [row["expected"] for row in rows if row["complete"] and row["expected"] is not None]
        ends = dict.fromkeys(show.real(of(expected), 2) for of in (min, max)) if expected else {}
        chance = f" Two independent draws would share {' to '.join(ends)} weights." if ends else ""
        note = f"Share of the first {show.count(int(rows[0]['k']))} weights over all tensors.{chance}"
        note += "" if all(row["complete"] for row in rows) else " At least: some lists are too short to answer exactly."
    return Table("Overlap between metrics", (("", CODE), *((name, NUMBER) for name in names)), cells, note)
