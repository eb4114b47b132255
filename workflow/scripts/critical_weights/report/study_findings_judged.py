"""Findings over models and phases on what was judged: stability, interventions, spikes, criteria, self-checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .facts_judged import ABOVE, is_compared
from .facts_stability import at_k
from .finding import SHOWN, Finding, finding
from .findings_stability import SHOWN_K
from .show import count, interval, listed, plural, real
from .study_facts import (
    again,
    evidence,
    judged,
    not_above_at,
    some,
    spike_kinds,
    spikes,
    stats_file,
    texts_not_drawn_again,
    tried_k,
)
from .tables_stability import held_at


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
        text += ": " + some([f"{row['metric']} of {name} {_held(row)}" for name, row, _ in holds])
    others = [(name, found) for name, row, overlaps in tested if not row["largest_k"]
              and (found := at_k(overlaps, row["metric"], "global", SHOWN_K))]  # fmt: skip
    others.sort(key=lambda one: -one[1]["value"])
    text += f"; of {'the others' if holds else 'them'}, {_shared(others)}" if others else ""
    limits = dict.fromkeys(real(row["threshold"]) for _, row, _ in tested if row["threshold"] is not None)
    sure = f"Jaccard index (shared over union) of {_compared([row for _, row, _ in tested])}; in brackets 95 % of "
    sure += f"them. A ranking holds where the lower end is above {listed(list(limits))} and above chance."
    sure += _other_texts(facts)
    named = [name for name, *_ in (*holds, *others[:1], *others[-1:], *tested)]
    return finding("How far the rankings hold", text, sure + again(facts), "stability",
                   *evidence(named, "analysis/stability.csv"))  # fmt: skip


def _held(row: Mapping[str, Any]) -> str:
    more = " (of more the kept candidates cannot tell)" if row["largest_k"] == row["answered_to"] else ""
    return f"at k = {held_at(row)}{more}"


def _shared(others: list[tuple[str, Mapping[str, Any]]]) -> str:
    """Say how much rankings share that hold at no k; a range is of figures of one kind and at one k."""
    groups: dict[tuple[str, int], list[tuple[str, Mapping[str, Any]]]] = {}
    for name, found in others:
        groups.setdefault((found["method"], found["k"]), []).append((name, found))
    words = {"halves": "two halves of the texts", "probes": "two simulated estimates from probes"}
    parts = []
    for (method, k), own in sorted(groups.items()):
        (most, of_most), (least, of_least) = (
            (interval(row["value"], row["low"], row["high"]), f"{row['metric']} of {name}")
            for name, row in (own[0], own[-1])
        )
        union = f"of the union of the first {count(k)}"
        if real(own[0][1]["value"], 3) != real(own[-1][1]["value"], 3):
            parts.append(f"{words[method]} share from {most} {union} ({of_most}) down to {least} ({of_least})")
        else:
            more = f", and {count(len(own) - 1)} more as much" if len(own) > 1 else ""
            parts.append(f"{words[method]} share {most} {union} ({of_most}{more})")
    return "; ".join(parts)


def _compared(verdicts: list[Mapping[str, Any]]) -> str:
    """Say what was held against what, and on which side it errs."""
    halves = [row for row in verdicts if row["method"] == "halves"]
    texts = sorted({row["n_texts"] for row in halves if row["n_texts"] is not None})
    known = f"{' to '.join(dict.fromkeys((count(texts[0]), count(texts[-1]))))} texts" if texts else "the texts"
    told = [f"two random halves of {known}, which share less than two sets of as many would"] if halves else []
    if any(row["method"] == "probes" for row in verdicts):
        told.append("two simulated estimates from probes, an upper bound")
    return ", or of ".join(told)


def _other_texts(facts: Mapping[str, Any]) -> str:
    """Say of which rankings other texts were not tried."""
    probes, nothing = texts_not_drawn_again(facts)
    told = [f"{listed(probes)}, of which the probes alone were drawn again"] if probes else []
    told += [listed(nothing)] if nothing else []
    return f" What other texts would change was not measured for {', nor for '.join(told)}." if told else ""


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
    above = [row for row in every if row["verdict"] == ABOVE]
    partly = [_not_at(name, row) for name, rows in known.items() for row in rows if not_above_at(row)]
    if partly:
        text += f". Of {'those' if len(above) > 1 else 'the one'} above, {count(len(partly))} "
        text += f"{'is' if len(partly) == 1 else 'are'} so in the mean over k, but not at every k: {some(partly)}"
    finite = {name: [row for row in rows if row["area"] is not None] for name, rows in known.items()}
    best = [(name, max(rows, key=lambda row: abs(row["area"]))) for name, rows in finite.items() if rows]
    if best:
        text += f". Largest change of the loss{' where it stayed finite' if any(map(_is_partial, every)) else ''}: "
        text += some([_change(name, row) for name, row in best], "; ")
    texts = sorted({row["n_texts"] for row in every})
    seeds, draws = (sorted({row[key] for row in every if row[key] is not None}) for key in ("seeds", "draws"))
    over = dict.fromkeys(tried_k(row) for row in every)
    sure = f"Mean over log k ({listed(list(over))}) of the change of the mean loss on evaluation texts ("
    sure += f"{' to '.join(dict.fromkeys((count(texts[0]), count(texts[-1]))))}), none of them a calibration text; in "
    sure += f"brackets 95 % of {listed([count(n) for n in draws])} draws of texts."
    if any(is_compared(row) for row in every):
        sure += " Above controls: the interval of the difference to as many other weights of the same tensors and "
        sure += f"decile of abs(w), over draws of texts and Student's t over {listed([count(n) for n in seeds])} "
        sure += f"{'seed' if seeds == [1] else 'seeds'}, lies above 0; each ranking by itself, so that of many a few "
        sure += "come out above or below by chance. Not told apart from controls does not mean harmless."
    return finding("Whether the weights really matter", text, sure + again(facts, scores=False, damage=True),
                   "validation", *evidence([*(name for name, _ in best), *known],
                                           "interventions/verdict.csv"))  # fmt: skip


def _not_at(name: str, row: Mapping[str, Any]) -> str:
    text = f"{row['metric']} of {name} (not at {listed([count(k) for k in not_above_at(row)])}"
    lowers = [count(k) for k in row["lowers_at"]]
    return f"{text}; at {listed(lowers)} the loss falls)" if lowers else f"{text})"


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
    text = f"places with an activation spike were found in {count(len(found))} of {plural(len(known), 'pair')} of "
    text += "phase and model"
    if found:
        text += ": " + some([f"{count(len(own))} in {name} ({spike_kinds(own)})" for name, own in found.items()])
    texts = sorted({own["texts"] for own in known.values() if own["texts"] is not None})
    sure = ""
    if found:
        sure = "An early spike is one that a weight makes, or a few of one column: a super weight. One of the last "
        sure += "blocks, or one that no few weights make (shared), is none. "
    sure += "Forward passes over few texts"
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
    metrics = {metric for part in facts["parts"].values() for check in part["checks"] for metric in check["metrics"]}
    tied = {metric for part in facts["parts"].values() for check in part["checks"] for metric in check["metrics"]
            if any(law["status"] != "not applicable" for law in check["laws"])}  # fmt: skip
    sure += f" No law was checked on the scores by {listed(sorted(metrics - tied))}." if metrics - tied else ""
    files = dict.fromkeys([*failed, *(file for _, _, file in outcomes)])
    return finding("Whether the scores can be right", text, sure + again(facts), "checks", *list(files)[:SHOWN])
