"""Findings over models and phases on what was judged: stability, interventions, spikes, criteria, self-checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .facts_stability import at_k
from .finding import SHOWN, Finding, finding
from .findings_stability import SHOWN_K, held
from .show import count, interval, listed, plural, real
from .study_facts import again, evidence, judged, some, spikes, stats_file


def stability(facts: Mapping[str, Any]) -> Finding | None:
    """Say how many rankings over all tensors hold when texts or probes change, and which."""
    tested = [(name, row, part["stability"]["overlaps"]) for name, part in facts["parts"].items() if part["stability"]
              for row in part["stability"]["verdicts"] if row["largest_k"] is not None]  # fmt: skip
    if not tested:
        return None
    holds = sorted((one for one in tested if one[1]["largest_k"] > 0), key=lambda one: -one[1]["largest_k"])
    text = f"of {plural(len(tested), 'ranking')} over all tensors, {count(len(holds))} "
    text += f"{'holds' if len(holds) == 1 else 'hold'} at some k when the texts or probes change"
    if holds:
        text += ": " + some([f"{row['metric']} of {name} {held(row)}" for name, row, _ in holds])
    others = [(name, row, found) for name, row, overlaps in tested if not row["largest_k"]
              and (found := at_k(overlaps, row["metric"], "global", SHOWN_K))]  # fmt: skip
    if others:
        others.sort(key=lambda one: -one[2]["value"])
        alike = real(others[0][2]["value"], 3) == real(others[-1][2]["value"], 3)
        told = [f"{interval(found['value'], found['low'], found['high'])} of the union of their first "
                f"{count(found['k'])} ({row['metric']} of {name})"
                for name, row, found in (others[:1] if alike else (others[0], others[-1]))]  # fmt: skip
        text += f"; of {'the others' if holds else 'them'} two halves (or estimates) share "
        text += f"{'' if alike else 'from '}{' down to '.join(told)}"
        text += f", and of {count(len(others) - 1)} more as large a part" if alike and len(others) > 1 else ""
    limits = dict.fromkeys(real(row["threshold"]) for _, row, _ in tested if row["threshold"] is not None)
    texts = sorted({row["n_texts"] for _, row, _ in tested if row["n_texts"] is not None})
    sure = "Jaccard index of two random halves of the texts, or of two simulated estimates from probes; in brackets "
    sure += f"95 % of them. A ranking holds where the lower end is above {listed(list(limits))} and above chance."
    if texts:
        sure += f" Texts: {' to '.join(dict.fromkeys((count(texts[0]), count(texts[-1]))))}."
    missing = sorted({row["metric"] for part in facts["parts"].values() if part["stability"]
                      for row in part["stability"]["not_measured"] if row["what"] == "resampling"})  # fmt: skip
    sure += f" Not measured: {listed(missing)}." if missing else ""
    named = [name for name, *_ in (*holds, *others[:1], *others[-1:], *tested)]
    return finding("How far the rankings hold", text, sure + again(facts), "stability",
                   *evidence(named, "analysis/stability.csv"))  # fmt: skip


def validation(facts: Mapping[str, Any]) -> Finding | None:
    """Say which rankings find weights whose change does more damage than that of their controls."""
    known = {name: part["validation"]["verdict"] for name, part in facts["parts"].items()
             if part["validation"] and part["validation"]["verdict"]}  # fmt: skip
    if not known:
        return None
    every = [row for rows in known.values() for row in rows]
    outcomes = Counter(row["verdict"] for row in every)
    text = f"of {plural(len(every), 'ranking')} whose first weights were changed, "
    text += listed(
        [
            f"{count(n)} came out {verdict}" if not place else f"{count(n)} {verdict}"
            for place, (verdict, n) in enumerate(outcomes.items())
        ]
    )
    finite = {name: [row for row in rows if row["area"] is not None] for name, rows in known.items()}
    best = [(name, max(rows, key=lambda row: abs(row["area"]))) for name, rows in finite.items() if rows]
    if best:
        text += f". Largest change of the loss{' where it stayed finite' if any(map(_is_partial, every)) else ''}: "
        text += some([_change(name, row) for name, row in best], "; ")
    texts = sorted({row["n_texts"] for row in every})
    seeds, draws = (sorted({row[key] for row in every if row[key] is not None}) for key in ("seeds", "draws"))
    sure = "Mean over log k of the change of the mean loss on evaluation texts ("
    sure += f"{' to '.join(dict.fromkeys((count(texts[0]), count(texts[-1]))))}), none of them a calibration text; in "
    sure += f"brackets 95 % of {listed([count(n) for n in draws])} draws of texts and "
    sure += f"{listed([count(n) for n in seeds])} {'seed' if seeds == [1] else 'seeds'}. Not told apart from controls "
    sure += "does not mean harmless."
    return finding("Whether the weights really matter", text, sure + again(facts, scores=False, damage=True),
                   "validation", *evidence([*(name for name, _ in best), *known],
                                           "interventions/verdict.csv"))  # fmt: skip


def _is_partial(row: Mapping[str, Any]) -> bool:
    """Say whether a ranking's damage is of a part of the texts, or of none: of the others it may be beyond measure."""
    return row["area"] is None or row["nonfinite_texts"] > 0


def _change(name: str, row: Mapping[str, Any]) -> str:
    text = f"{interval(row['area'], row['area_low'], row['area_high'])} nats per token by {row['metric']} "
    text += f"({row['mode']}, {row['intervention']}"
    text += f"; {plural(row['nonfinite_texts'], 'text')} left out" if row["nonfinite_texts"] else ""
    return f"{text}) in {name}"


def superweights(facts: Mapping[str, Any]) -> Finding | None:
    """Say where activation spikes were found, and how many weights stand behind them."""
    known = {name: part["superweights"] for name, part in facts["parts"].items() if part["superweights"]}
    if not known:
        return None
    found = {name: spikes(own) for name, own in known.items() if spikes(own)}
    text = f"places with an activation spike were found in {count(len(found))} of {count(len(known))} pairs of phase "
    text += "and model"
    if found:
        text += ": " + some([f"{count(len(own))} in {name}" for name, own in found.items()])
    texts = sorted({own["texts"] for own in known.values() if own["texts"] is not None})
    sure = "Forward passes over few texts"
    sure += f" ({' to '.join(dict.fromkeys((count(texts[0]), count(texts[-1]))))})" if texts else ""
    sure += ": other texts may make spikes that these do not."
    return finding("Whether there are super weights", text, sure + again(facts), "superweights",
                   *evidence([*found, *known], "analysis/superweights.csv"))  # fmt: skip


def criteria(facts: Mapping[str, Any]) -> Finding | None:
    """Say how many declared criteria pass over all phases and models, and which fail with which figures."""
    rows = judged(facts)
    if not rows:
        return None
    outcomes = Counter(row["verdict"] for _, row in rows)
    names = {row["name"] for _, row in rows}
    text = f"of {plural(len(rows), 'judgement')} of {plural(len(names), 'criterion', 'criteria')} "
    text += f"written before the run, {count(outcomes['pass'])} passed and {count(outcomes['fail'])} failed"
    left = outcomes["not run"] + outcomes["not applicable"]
    if left:
        text += f"; {count(left)} could not be judged ({count(outcomes['not run'])} not run, "
        text += f"{count(outcomes['not applicable'])} not applicable), which is no pass"
    failed = [(name, row) for name, row in rows if row["verdict"] == "fail"]
    text += f". Failed: {some([_failed(name, row) for name, row in failed], '; ')}" if failed else ""
    sure = "A criterion compares one figure with one number. How sure the figure is, its own table says."
    named = [name for name, _ in (*failed, *rows) if name in facts["parts"]]
    over_all = ["report/criteria.csv"] if facts["across"]["criteria"] else []
    return finding("How the declared criteria came out", text, sure + again(facts, damage=True), "criteria",
                   *evidence(named, "analysis/criteria.csv"), *over_all)  # fmt: skip


def _failed(name: str, row: Mapping[str, Any]) -> str:
    return f"{row['name']} in {name} ({real(row['value'])}; asked for {row['test']} {row['threshold']})"


def laws(facts: Mapping[str, Any]) -> Finding | None:
    """Say how the conservation laws came out over all scoring passes."""
    outcomes = [(name, law, stats_file(name, part, check["metrics"][0])) for name, part in facts["parts"].items()
                for check in part["checks"] for law in check["laws"]]  # fmt: skip
    if not outcomes:
        return None
    status = Counter(law["status"] for _, law, _ in outcomes)
    text = f"conservation laws were checked {plural(status['passed'] + status['failed'], 'time')}: "
    text += f"{count(status['passed'])} passed, {count(status['failed'])} failed"
    failed = {file: name for name, law, file in outcomes if law["status"] == "failed"}  # one file a scoring pass
    if failed:
        text += f", so the scores of {'that pass' if len(failed) == 1 else 'those passes'} are not to be trusted "
        text += f"({some(list(dict.fromkeys(failed.values())))})"
    if status["not applicable"]:
        text += f"; {plural(status['not applicable'], 'time')} the law does not hold by construction and says nothing"
    sure = "The laws need no ground truth: they catch wrong axes, lost tokens, dropped tensors and doubled gradients."
    files = dict.fromkeys([*failed, *(file for _, _, file in outcomes)])
    return finding("Whether the scores can be right", text, sure + again(facts), "checks", *list(files)[:SHOWN])


FINDINGS = (stability, validation, superweights, criteria, laws)
"""In the order of the report."""
