"""Findings on where the selected weights lie: lines, components, residual channels, super weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..significance import SIGNIFICANT
from .finding import SHOWN, Finding, finding
from .findings_ends import level
from .show import count, listed, plural, real, share, times


def lines(facts: Mapping[str, Any]) -> Finding | None:
    """Say for which metric the first weights lie most, and for which least, in a few rows and columns."""
    known = facts["structure"]
    selections = {own["metric"]: own for label in (known or {}).get("close", [])
                  if "best_5_share" in (own := known["selections"][label])}  # fmt: skip
    if not selections:
        return None
    order = sorted(selections, key=lambda name: -selections[name]["best_5_share"]["value"])
    told = {name: share(selections[name]["best_5_share"]["value"]) for name in order}
    first, last = order[0], order[-1]

    def sentence(name: str) -> str:
        own = selections[name]["best_5_share"]
        chance = "" if own["expected"] is None else f" (by chance {share(own['expected'])})"
        return f"{told[name]}{chance} by {name} ({count(own['n'])} of the first {count(selections[name]['k'])})"

    text = "of the first weights that share a tensor with others, the five best rows or columns of each tensor hold "
    text += sentence(first)
    if told[first] != told[last]:
        text += f", the largest part of {len(order)} metrics{level(told, first)}, and {sentence(last)}, the smallest"
        text += level(told, last)
    elif len(order) > 1:
        text += f", and as large a part by {plural(len(order) - 1, 'more metric')}"
    text += _best_line(known, first)
    sure = "Chance: as many weights of each tensor placed at random. Weights of score 0, and those that lie alone in "
    sure += "their tensor or in a vector, are left out. Which lines are best is found greedily, so that five others "
    sure += "might hold a little more."
    return finding("Whether the best weights come in lines", text, sure, "structure", "analysis/structure.csv")


def _best_line(known: Mapping[str, Any], metric: str) -> str:
    own = [row for row in known["lines"] if row["metric"] == metric]
    if not own:
        return ""
    line = own[0]
    where = f"{line['line']} {line['index']} of {line['name']}"
    expert = "" if line["expert"] is None else f" (expert {line['expert']})"
    return f"; {where}{expert} alone holds {count(line['held'])} of the {count(line['n'])} in its tensor"


def components(facts: Mapping[str, Any]) -> Finding | None:
    """Say which component holds more of each global selection than its share of the weights, and how deep it lies."""
    known = facts["structure"]
    leaders: dict[int, dict[str, list[str]]] = {}
    largest = []
    parts = [row for row in (known or {}).get("components", []) if row["expected"]]
    for label in (known or {}).get("close", []):
        own, k = [row for row in parts if row["selection"] == label], known["selections"][label]["k"]
        if own:
            first = max(own, key=lambda row: row["value"])
            largest.append(first)
            where = f"{first['name']} ({share(first['expected'])} of the scored weights)"
            told = f"{share(first['value'])} by {first['metric']}{_provisos(first, own, k, len(parts))}"
            leaders.setdefault(k, {}).setdefault(where, []).append(told)
    if not leaders:
        return None
    by_k = [(k, "; in ".join(f"{where}: {listed(own)}" for where, own in leaders[k].items())) for k in sorted(leaders)]
    (k, told), *others = by_k[::-1]
    text = f"of the first {count(k)} weights over all tensors the largest part lies in {told}"
    text += "".join(f"; of the first {count(k)}, in {told}" for k, told in others) + _mean_depths(known)
    sure = f"Counts. {_apart(largest, len(parts))}Weights of a line are not independent, so that p is too small; "
    sure += "shares are what to look at."
    return finding("Where the global selections lie", text, sure, "structure", "analysis/structure.csv")


def _apart(largest: list[Mapping[str, Any]], tests: int) -> str:
    """Say how many of the largest parts that are told are more than chance explains."""
    tested = [row for row in largest if row["p"] is not None]
    if not tested:
        return ""
    apart = sum(row["p"] < SIGNIFICANT / tests for row in tested)
    told = "none of" if not apart else "all" if apart == len(tested) > 1 else f"{apart} of"
    test = f"hypergeometric, p below {SIGNIFICANT} / {tests}"
    return f"Largest parts told apart from chance: {told} {len(tested)} ({test}). "


def _provisos(first: Mapping[str, Any], own: list[Mapping[str, Any]], k: int, tests: int) -> str:
    """Say what takes from the largest part of a selection: others as large, weights of score 0, chance."""
    told = []
    if alike := [row["name"] for row in own if row is not first and row["value"] == first["value"]]:
        told.append(f"as much in {listed(alike)}")
    if first["n"] < k:
        told.append(f"of the {count(first['n'])} with a score above 0")
    if first["p"] is not None and first["p"] >= SIGNIFICANT / tests:
        told.append("not told apart from chance")
    return f" ({'; '.join(told)})" if told else ""


def _mean_depths(known: Mapping[str, Any]) -> str:
    """Say from where to where the mean depths of the selections go, beside that of the weights that each could take."""
    depth = {own["metric"]: own["mean_depth"] for label in known["close"]
             if "mean_depth" in (own := known["selections"][label])}  # fmt: skip
    if not depth:
        return ""
    order = sorted(depth, key=lambda name: depth[name]["value"])
    ends = order[0], order[-1]
    told, model = ([real(depth[name][key], 3) for name in ends] for key in ("value", "expected"))
    first, last = (f"{figure} ({plural(depth[name]['n'], 'weight')}) by {name}"
                   for figure, name in zip(told, ends, strict=True))  # fmt: skip
    text = f"goes from {first} to {last}"
    if told[0] == told[1]:
        text = f"is {first}" + (f", as by {plural(len(depth) - 1, 'more metric')}" if len(depth) > 1 else "")
    beside = f"weights have {model[0]}" if model[0] == model[1] else (
        f"scored weights have {model[0]} by {ends[0]} and {model[1]} by {ends[1]}"
    )  # fmt: skip
    return f". Inside the blocks their mean depth (0 the first block, 1 the last) {text}; the blocks' {beside}"


def channels(facts: Mapping[str, Any]) -> Finding | None:
    """Say which residual channel is hit in most blocks by several metrics, or that none is."""
    known = facts["structure"]
    rows = known["channels"]["named"] if known else []
    totals = known["channels"]["totals"] if known else []
    tested = [row["metric"] for row in totals if row["quantity"] == "channels_hit" and row["expected"] is not None]
    if not tested:
        return None
    strong = [row for row in rows if row["p"] is not None and row["p"] < SIGNIFICANT / len(tested)]
    by_channel: dict[int, list[Mapping[str, Any]]] = {}
    for row in strong:
        by_channel.setdefault(row["index"], []).append(row)
    if not by_channel:
        text = "no residual channel is hit in more blocks than chance explains, by any of "
        text += plural(len(tested), "metric")
    else:
        index, own = max(by_channel.items(), key=lambda item: (len(item[1]), sum(row["weights"] for row in item[1])))
        surest = sorted(own, key=lambda row: row["p"])
        parts = [f"{plural(row['hits'], 'block')} by {row['metric']} ({count(row['weights'])} of {count(row['n'])} "
                 "weights)" for row in surest[:SHOWN]]  # fmt: skip
        parts += [f"so by {count(len(own) - SHOWN)} more"] if len(own) > SHOWN else []
        text = (
            f"residual channel {index} is hit in more blocks than chance explains by {count(len(own))} of "
            f"{plural(len(tested), 'metric')}: in {listed(parts)}"
        )
        others = len(by_channel) - 1
        text += f"; so {'is' if others == 1 else 'are'} {plural(others, 'other channel')}" if others else ""
    sure = f"Chance that any channel reaches as many blocks, p below {SIGNIFICANT} / {len(tested)}; the five channels "
    sure += "that are hit most are looked at."
    return finding("Whether channels recur", text, sure, "structure", "analysis/structure.csv")


def superweights(facts: Mapping[str, Any]) -> Finding | None:
    """Say which super weights were found and where the metrics rank them, or that none was found in how much text."""
    known, unseen = facts["superweights"], facts.get("not_searched")
    left_out = ""
    if unseen:
        left_out = f"in {plural(unseen['blocks'], 'block')} none was looked for: {'; '.join(unseen['reasons'])}"
    if not known or not known["profile"]:
        if not unseen:
            return None
        sure = "That none was looked for does not mean that there is none."
        text = f"not applicable: {left_out}"
        return finding("Whether there are super weights", text, sure, "super-weights", "spikes.json")
    found = [weight for weight in known["weights"] if weight["class"]]
    missed = [weight for weight in known["weights"] if not weight["class"]]
    rule = [real(known["rule"][key]) for key in ("ratio", "next_ratio")] if known["rule"] else None
    looked = f"{plural(known['texts'], 'text')} ({plural(known['tokens'], 'token')})"
    if found:
        text = f"{plural(len(found), 'place')} with an activation spike in {looked}: "
        text += "; ".join(_spike(weight) for weight in found[:SHOWN])
        text += f"; {count(len(found) - SHOWN)} more" if len(found) > SHOWN else ""
    else:
        top = max(known["profile"], key=lambda row: row["max_output"])
        text = f"no super weight was found in {looked}: of {plural(len(known['profile']), 'block')} the largest output "
        text += f"of a down_proj is {real(top['max_output'], 3)} in block {top['layer']}"
        if top["to_median"] is not None:
            text += f", {times(top['to_median'])} the median of the others' largest"
        if top["to_next"] is not None:
            text += f" and {times(top['to_next'])} that of the block beside it"
            if rule:
                text += f", where a spike needs at least {rule[0]} times the one and {rule[1]} times the other"
    text += f". {left_out[:1].upper()}{left_out[1:]}" if unseen else ""
    if missed:
        text += f". {plural(len(missed), 'published super weight')} of this model made no spike here"
    sure = f"Forward passes, {plural(known['rounds'], 'round')}, each with what was found before set to 0. Other texts "
    sure += "may make spikes that these do not."
    if found and rule:
        sure += f" A spike is at least {rule[0]} times the median of the other blocks' largest outputs, and {rule[1]} "
        sure += "times the largest of the block beside it."
    files = ("analysis/superweights.csv", "analysis/spike_profile.csv")
    return finding("Whether there are super weights", text, sure, "super-weights", *files)


def _spike(weight: Mapping[str, Any]) -> str:
    kind = f"{weight['class']}, published" if weight["published"] else weight["class"]
    text = f"{weight['parameter']} [{weight['row']}, {weight['col']}] ({kind}), {times(weight['to_median'])} the "
    text += "median of the other blocks"
    ranks = [f"{count(row['rank'])} by {row['metric']}" for row in weight["ranks"] if row["rank"] is not None]
    return text + (f", rank {listed(ranks)}" if ranks else "")
