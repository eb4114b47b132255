"""Findings on where the selected weights lie: lines, components, residual channels, tokens, super weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .finding import SHOWN, SIGNIFICANT, Finding, finding
from .show import count, listed, plural, quoted, real, share, times


def lines(facts: Mapping[str, Any]) -> Finding | None:
    """Say for which metric the first weights lie most, and for which least, in a few rows and columns."""
    known = facts["structure"]
    selections = {own["metric"]: own for label in (known or {}).get("close", [])
                  if "best_5_share" in (own := known["selections"][label])}  # fmt: skip
    if not selections:
        return None
    order = sorted(selections, key=lambda name: -selections[name]["best_5_share"]["value"])

    def sentence(name: str) -> str:
        own = selections[name]["best_5_share"]
        chance = "" if own["expected"] is None else f" (by chance {share(own['expected'])})"
        return f"{share(own['value'])}{chance} of the first {count(selections[name]['k'])} by {name}"

    text = f"the five best rows or columns of each tensor hold {sentence(order[0])}"
    if len(order) > 1:
        text += f", the largest part of {len(order)} metrics, and {sentence(order[-1])}, the smallest"
    text += _best_line(known, order[0])
    sure = "Chance: as many weights of each tensor placed at random. Which lines are best is found greedily, so that "
    sure += "five others might hold a little more."
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
    leaders: dict[str, list[str]] = {}
    parts = [row for row in (known or {}).get("components", []) if row["expected"]]
    for label in (known or {}).get("close", []):
        own = [row for row in parts if row["selection"] == label]
        if own:
            first = max(own, key=lambda row: row["value"])
            told_apart = first["p"] is None or first["p"] < SIGNIFICANT / len(parts)
            more = "" if told_apart else " (not told apart from chance)"
            leaders.setdefault(f"{first['name']} ({share(first['expected'])} of the weights)", []).append(
                f"{share(first['value'])} by {first['metric']}{more}"
            )
    if not leaders:
        return None
    k = max(known["selections"][label]["k"] for label in known["close"])
    text = f"of the first {count(k)} weights over all tensors the largest part lies in " + "; in ".join(
        f"{where}: {listed(shares)}" for where, shares in leaders.items()
    )
    depth = {label: known["selections"][label]["mean_depth"] for label in known["close"]
             if "mean_depth" in known["selections"][label]}  # fmt: skip
    if depth:
        first, last = min(depth, key=lambda d: depth[d]["value"]), max(depth, key=lambda d: depth[d]["value"])
        name, goes = known["selections"], "is" if first == last else "goes from"
        text += (
            f". Inside the blocks their mean depth (0 the first block, 1 the last) {goes} {_depth(depth[first])} by "
            f"{name[first]['metric']}"
        )
        if first != last:
            text += f" to {_depth(depth[last])} by {name[last]['metric']}"
        text += f"; the blocks' weights have {real(depth[first]['expected'], 3)}"
    sure = (
        f"Counts. Told apart from chance: hypergeometric, p below {SIGNIFICANT} / {len(parts)}. Weights of a line are "
        "not independent, so that p is too small; shares are what to look at."
    )
    return finding("Where the global selections lie", text, sure, "structure", "analysis/structure.csv")


def _depth(row: Mapping[str, Any]) -> str:
    return f"{real(row['value'], 3)} ({plural(row['n'], 'weight')})"


def channels(facts: Mapping[str, Any]) -> Finding | None:
    """Say which residual channel is hit in most blocks by several metrics, or that none is."""
    known = facts["structure"]
    rows = known["channels"]["named"] if known else []
    totals = known["channels"]["totals"] if known else []
    tested = [row["metric"] for row in totals if row["quantity"] == "channels_hit"]
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
        parts = [f"{plural(row['hits'], 'block')} by {row['metric']} ({count(row['weights'])} of {count(row['n'])} "
                 "weights)" for row in own[:SHOWN]]  # fmt: skip
        text = (
            f"residual channel {index} is hit in more blocks than chance explains by {count(len(own))} of "
            f"{plural(len(tested), 'metric')}: in {listed(parts)}"
        )
        others = len(by_channel) - 1
        text += f"; so {'is' if others == 1 else 'are'} {plural(others, 'other channel')}" if others else ""
    sure = f"Chance that any channel reaches as many blocks, p below {SIGNIFICANT} / {len(tested)}; the five channels "
    sure += "that are hit most are looked at."
    return finding("Whether channels recur", text, sure, "structure", "analysis/structure.csv")


def tokens(facts: Mapping[str, Any]) -> Finding | None:
    """Say how much of the global selections lies in the rows of tokens, and in whose."""
    known = facts["tokens"]
    if not known or not known["selections"]:
        return None
    selections, rows = known["selections"], known["first"]
    label = max(rows, key=lambda row: row["share"])["selection"]
    own, first = selections[label], [row for row in rows if row["selection"] == label][:SHOWN]
    named = [f"{quoted(row['token'])}{_special(row)} in {row['component']} ({count(row['selected'])}; "
             f"{plural(row['count'], 'occurrence')} in the texts)" for row in first]  # fmt: skip
    text = (
        f"the rows of {listed(named)} hold the most" if len(named) > 1 else f"the row of {named[0]} holds the most"
    ) + f" of the first {count(own['k'])} by {own['metric']}, the metric with the largest part in one token's row"
    text += f"; {share(own['share'])} of them lie in {plural(own['rows'], 'row')} of embedding and head"
    if own["special"]:
        text += f", {share(own['special_share'])} in rows of special tokens"
    if own["unseen"]:
        text += f", {share(own['unseen_share'])} in rows of tokens that no text has"
    if len(selections) > 1:
        most, least = (pick(selections.values(), key=lambda each: each["share"]) for pick in (max, min))
        text += f". Over {len(selections)} metrics the part in token rows goes from {share(least['share'])} "
        text += f"({least['metric']}) to {share(most['share'])} ({most['metric']})"
    sure = "Counts. A head's row is moved by every prediction, an embedding's only where the token occurs: which "
    sure += "tokens lead depends on the texts."
    return finding("Which tokens lead", text, sure, "tokens", "analysis/tokens.csv")


def _special(row: Mapping[str, Any]) -> str:
    return f" ({row['special']})" if row["special"] else ""


def superweights(facts: Mapping[str, Any]) -> Finding | None:
    """Say which super weights were found and where the metrics rank them, or that none was found in how much text."""
    known = facts["superweights"]
    if not known or not known["profile"]:
        return None
    found = [weight for weight in known["weights"] if weight["class"]]
    missed = [weight for weight in known["weights"] if not weight["class"]]
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
            text += f", {times(top['to_median'])} the median of the others' largest and {times(top['to_next'])} that "
            text += "of the block beside it"
    if missed:
        text += f". {plural(len(missed), 'published super weight')} of this model made no spike here"
    sure = f"Forward passes, {plural(known['rounds'], 'round')}, each with what was found before set to 0. Other texts "
    sure += "may make spikes that these do not."
    files = ("analysis/superweights.csv", "analysis/spike_profile.csv")
    return finding("Whether there are super weights", text, sure, "super-weights", *files)


def _spike(weight: Mapping[str, Any]) -> str:
    kind = f"{weight['class']}, published" if weight["published"] else weight["class"]
    text = f"{weight['parameter']} [{weight['row']}, {weight['col']}] ({kind}), {times(weight['to_median'])} the "
    text += "median of the other blocks"
    ranks = [f"{count(row['rank'])} by {row['metric']}" for row in weight["ranks"] if row["rank"] is not None]
    return text + (f", rank {listed(ranks)}" if ranks else "")
