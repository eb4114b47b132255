"""At which k an overlap is told in one number: in figures, reports and findings alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

MOST_K = 1000
"""A comparison of two lists in one number takes at most so many weights of each."""


def told_k(pairs: Iterable[tuple[str, bool]]) -> str | None:
    """Return the k up to :data:`MOST_K` that most pairs of lists answer exactly, the largest of several.

    Usually all pairs answer it; one metric that cannot must not take the comparison from the others. Where no pair
    answers any, the smallest k; None without a k.

    Args:
        pairs: k and ``complete`` of each row of ``overlap.csv``; a k that is no number is passed over.

    """
    exact: Counter[int] = Counter()
    for k, complete in pairs:
        if k.isdigit() and int(k) <= MOST_K:
            exact[int(k)] += bool(complete)
    if not exact:
        return None
    most = max(exact.values())
    return str(max(k for k, n in exact.items() if n == most) if most else min(exact))
