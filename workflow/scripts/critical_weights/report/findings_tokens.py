"""The finding on the rows of tokens: whose rows hold the most selected weights, and how much of the selections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .finding import SHOWN, Finding, finding
from .findings_ends import equals
from .show import count, listed, plural, quoted, share

SPACE_MARKS = ("\u0120", "\u2581")
"""How byte-level vocabularies and those of SentencePiece spell a leading space: as a dotted G, and as a low bar."""


def tokens(facts: Mapping[str, Any]) -> Finding | None:
    """Say how much of the global selections lies in the rows of tokens, and in whose."""
    known = facts["tokens"]
    if not known or not known["selections"]:
        return None
    selections, rows = known["selections"], known["first"]
    label = max(rows, key=lambda row: row["share"])["selection"]
    own, of_label = selections[label], [row for row in rows if row["selection"] == label]
    first, behind = of_label[:SHOWN], of_label[SHOWN:]
    marks = _first_marks(row["token"] for row in first)
    named = [f"{_spelled(row)}{_special(row)} in {row['component']} ({count(row['selected'])}; "
             f"{plural(row['count'], 'occurrence')} in the texts{mark})"
             for row, mark in zip(first, marks, strict=True)]  # fmt: skip
    text = f"the row{'s' if len(named) > 1 else ''} of {listed(named)} hold{'' if len(named) > 1 else 's'} the most"
    if behind and behind[0]["selected"] == first[-1]["selected"]:
        text += " (others as much as the last of these)"
    text += f" of the first {count(own['k'])} by {own['metric']}, "
    most = {name: share(max(row["share"] for row in rows if row["selection"] == name)) for name in selections}
    alike = [selections[name]["metric"] for name in equals(most, label)]
    text += f"{f'like {listed(alike)} a' if alike else 'the'} metric with the largest part in one token's row"
    n = round(own["selected"] / own["share"])
    them = "them" if n == own["k"] else f"the {count(n)} with a score above 0"
    text += f"; {share(own['share'])} of {them} lie in {plural(own['rows'], 'row')} of embedding and head"
    if own["special"]:
        text += f", {share(own['special_share'])} in rows of special tokens"
    if own["unseen"]:
        text += f", {share(own['unseen_share'])} in rows of tokens that no text has"
    sure = "Counts. A head's row is moved by every prediction, an embedding's only where the token occurs: which "
    sure += "tokens lead depends on the texts."
    return finding("Which tokens lead", text + _over_metrics(facts), sure, "tokens", "analysis/tokens.csv")


def space_mark(token: str) -> str:
    """Explain the sign by which a vocabulary spells a leading space, where the token begins with it."""
    return f"; {token[0]} marks a leading space" if token[:1] in SPACE_MARKS else ""


def _first_marks(tokens: Iterable[str]) -> list[str]:
    """Explain a sign at the first of the tokens that begin with it."""
    told: list[str] = []
    for mark in map(space_mark, tokens):
        told.append("" if mark in told else mark)
    return told


def _over_metrics(facts: Mapping[str, Any]) -> str:
    """Say from where to where the part in token rows goes; a selection without a weight there stands in no table."""
    parts = {own["metric"]: own["share"] for own in facts["tokens"]["selections"].values()}
    for label in (facts["structure"] or {"close": []})["close"]:
        own = facts["structure"]["selections"][label]
        if own["selected"]["value"]:
            parts.setdefault(own["metric"], 0.0)
    most, least = (pick(parts, key=lambda name: parts[name]) for pick in (max, min))
    if len(parts) == 1:
        return ""
    if share(parts[most]) == share(parts[least]):
        return f". By each of {len(parts)} metrics the same part lies in token rows"
    return f". Over {len(parts)} metrics the part in token rows goes from {share(parts[least])} ({least}) to " \
           f"{share(parts[most])} ({most})"  # fmt: skip


def _spelled(row: Mapping[str, Any]) -> str:
    """Return a token as it is spelled, or where it has no spelling, the number of its row."""
    return quoted(row["token"]) if row["token"] else f"number {count(row['row'])}"


def _special(row: Mapping[str, Any]) -> str:
    return f" ({row['special']})" if row["special"] else ""
