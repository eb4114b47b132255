"""Findings on what was judged: declared criteria, and interventions on the selected weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .facts_judged import ABOVE, is_compared
from .finding import Finding, finding
from .show import count, interval, listed, plural, real


def criteria(facts: Mapping[str, Any]) -> Finding | None:
    """Say how many of the declared criteria pass, and with which figures the others fail."""
    known = facts["criteria"]
    if not known or not known["rows"]:
        return None
    outcomes, rows = known["outcomes"], known["rows"]
    judged = outcomes["pass"] + outcomes["fail"]
    text = f"of {plural(len(rows), 'criterion', 'criteria')} written before the run, {count(judged)} could be judged: "
    text += f"{count(outcomes['pass'])} passed, {count(outcomes['fail'])} failed"
    failed = [f"{row['name']} ({real(row['value'])}; asked for {row['test']} {row['threshold']})" for row in rows
              if row["verdict"] == "fail"]  # fmt: skip
    text += f". Failed: {listed(failed)}" if failed else ""
    left = [row["name"] for row in rows if row["verdict"] in ("not run", "not applicable")]
    text += f". Not judged: {listed(left)}" if left else ""
    sure = "A criterion compares one figure with one number. How sure the figure is, its own table says."
    return finding("How the declared criteria came out", text, sure, "criteria", "analysis/criteria.csv")


def validation(facts: Mapping[str, Any]) -> Finding | None:
    """Say which metric's first weights do the most damage when they are changed, beside matched controls."""
    known = facts["validation"]
    if not known or not known["verdict"]:
        return None
    rows = known["verdict"]
    first = rows[0]
    sources = ("interventions/verdict.csv", "interventions/interventions.csv")
    if first["area"] is None:
        text = f"after {first['intervention']} no evaluation text's loss stayed finite at some k of any of the "
        text += f"{plural(len(rows), 'ranking')} tried, so that no damage can be averaged"
        return finding("Whether the weights really matter", text, f"Texts: {count(first['n_texts'])}.", "validation",
                       *sources)  # fmt: skip
    low, high = count(first["k_low"]), count(first["k_high"])
    text = f"{_comes_first(rows)}: {interval(first['area'], first['area_low'], first['area_high'])} nats per token "
    text += f"at k {low}" if low == high else f"over k from {low} to {high}"
    if first["nonfinite_texts"]:
        text += f" ({plural(first['nonfinite_texts'], 'text')} left out whose loss did not stay finite)"
    if not is_compared(first):
        text += f"; it is {first['verdict']}"
    elif first["gain_matched"] is not None:
        gain = interval(first["gain_matched"], first["gain_matched_low"], first["gain_matched_high"])
        gain = f"{gain} more than" if first["gain_matched"] >= 0 else f"a difference of {gain} to"
        least = "" if first["k_compared"] == first["k_high"] else (
            f" (over k up to {count(first['k_compared'])}: beyond, too few are left for controls as large)"
        )  # fmt: skip
        text += f", {gain} as many others of the same size{least}; it is {first['verdict']}{_exceptions(first)}"
    outcomes = [f"{count(n)} {verdict}" for verdict in dict.fromkeys(row["verdict"] for row in rows)
                if (n := sum(row["verdict"] == verdict for row in rows))]  # fmt: skip
    text += f". Of all {len(rows)}: {listed(outcomes)}" if len(rows) > 1 else ""
    others = [f"{row['metric']} ({row['mode']}) {_not_at(row)}" for row in rows[1:] if _partly(row)]
    text += f". Above, but not at every k: {'; '.join(others)}" if others else ""
    sure = f"Mean damage over log k on {plural(first['n_texts'], 'evaluation text')}, none of them a calibration text; "
    sure += f"in brackets 95 % of {plural(first['draws'], 'draw')} of texts and Student's t over "
    sure += f"{plural(first['seeds'], 'seed')}."
    if any(_partly(row) for row in rows):
        sure += " At a k it is above controls where its interval lies above that of every matched control."
    return finding("Whether the weights really matter", text, sure, "validation", *sources)


def _partly(row: Mapping[str, Any]) -> bool:
    """Say whether a ranking that does more damage than controls over all k does not at some."""
    return row["verdict"] == ABOVE and bool(row.get("not_at"))


def _exceptions(row: Mapping[str, Any]) -> str:
    """Say what a verdict, which is on the mean over log k, does not say of single k."""
    if _partly(row):
        return f", but {_not_at(row)}"
    lowers = [] if row["verdict"] == ABOVE else row.get("lowers_at")
    return f"; at k = {listed([count(k) for k in lowers])} it lowers the loss" if lowers else ""


def _not_at(row: Mapping[str, Any]) -> str:
    """Name the k at which a ranking is not above controls, first those at which the loss surely falls."""
    lowers = [count(k) for k in row["lowers_at"]]
    others = [count(k) for k in row["not_at"] if k not in row["lowers_at"]]
    if not lowers:
        return f"not at k = {listed(others)}"
    text = f"not at k = {listed(lowers)}, where it lowers the loss"
    return text + (f", nor at k = {listed(others)}" if others else "")


def _comes_first(rows: list[Mapping[str, Any]]) -> str:
    """Begin what is said of the first ranking, which need not do the most damage: it surely outdoes the most others."""
    first = rows[0]
    if len(rows) == 1:
        by = f"{first['metric']} ({first['mode']})"
        return f"changing ({first['intervention']}) the first weights by {by} moves the loss"
    text = f"of {plural(len(rows), 'ranking')} tried, {first['metric']} ({first['mode']}) "
    # A loss that did not stay finite hurts beyond measure: what is left of such a ranking's damage is no bound of it.
    measured = all(row["area"] is not None and not row["nonfinite_texts"] for row in rows)
    if measured and first["area"] > 0 and all(row["area"] < first["area"] for row in rows[1:]):
        return f"{text}finds the weights whose change ({first['intervention']}) hurts most"
    return (
        f"{text}comes first, surely doing more damage than {plural(first['wins'], 'other')}: its change "
        f"({first['intervention']}) moves the loss"
    )
