"""The yardstick: interpolated modified Kneser-Ney models over token ids (Chen and Goodman, 1999).

Discounts follow from the counts of counts, so there is nothing to tune. As usual, an
n-gram of a lower order counts its distinct left neighbours, except those that begin
with BOS, which have none and keep their plain counts. Losses are in nats per token.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass

Context = tuple[int, ...]


@dataclass(frozen=True)
class Level:
    """One order: counts after each context, their sums, and the mass each context hands down."""

    counts: dict[Context, dict[int, int]]
    totals: dict[Context, int]
    handed_down: dict[Context, float]
    discounts: tuple[float, float, float]


@dataclass(frozen=True)
class NGram:
    """Levels from order 1 up; below them the uniform distribution over `vocabulary` tokens."""

    levels: list[Level]
    vocabulary: int


def fit(sequences: list[list[int]], order: int, vocabulary: int) -> NGram:
    """A model of `order` from sequences that begin with BOS; BOS itself is never predicted."""
    bos = sequences[0][0]
    plain = [Counter[Context]() for _ in range(order)]
    for ids in sequences:
        for end in range(1, len(ids)):
            for size in range(1, min(order, end + 1) + 1):
                plain[size - 1][tuple(ids[end + 1 - size : end + 1])] += 1
    levels = []
    for size in range(1, order + 1):
        counts = plain[size - 1]
        if size < order:
            neighbours = Counter(gram[1:] for gram in plain[size])
            counts = Counter({gram: plain[size - 1][gram] if gram[0] == bos else neighbours[gram] for gram in counts})
        levels.append(level(counts))
    return NGram(levels, vocabulary)


def level(grams: Counter[Context]) -> Level:
    """Group the counts by context and find each context's handed-down mass."""
    d = discounts(grams)
    counts: dict[Context, dict[int, int]] = defaultdict(dict)
    for gram, count in grams.items():
        counts[gram[:-1]][gram[-1]] = count
    totals = {context: sum(after.values()) for context, after in counts.items()}
    handed_down = {
        context: sum(d[min(c, 3) - 1] for c in after.values()) / totals[context] for context, after in counts.items()
    }
    return Level(dict(counts), totals, handed_down, d)


def discounts(grams: Counter[Context]) -> tuple[float, float, float]:
    """What is taken from counts of 1, of 2 and of 3 or more; 0.5, 0.75, 0.9 where the counts cannot say."""
    n = Counter(grams.values())
    if not all(n[i] for i in (1, 2, 3, 4)):
        return 0.5, 0.75, 0.9
    y = n[1] / (n[1] + 2 * n[2])
    d1, d2, d3 = (i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3))
    return max(d1, 0.0), max(d2, 0.0), max(d3, 0.0)


def probability(model: NGram, history: list[int], token: int) -> float:
    """The probability of `token` after `history` (all ids since BOS, BOS included)."""
    p = 1.0 / model.vocabulary
    for size, lv in enumerate(model.levels):
        if size > len(history):
            break
        context = tuple(history[len(history) - size :])
        if context not in lv.counts:
            break
        count = lv.counts[context].get(token, 0)
        kept = count - lv.discounts[min(count, 3) - 1] if count else 0.0
        p = kept / lv.totals[context] + lv.handed_down[context] * p
    return p


def loss(model: NGram, sequences: list[list[int]]) -> float:
    """Mean negative log probability of every token after BOS, in nats per token."""
    total, n = 0.0, 0
    for ids in sequences:
        for end in range(1, len(ids)):
            total -= math.log(probability(model, ids[max(0, end - len(model.levels)) : end], ids[end]))
            n += 1
    return total / n
