"""Tests of whether two selections differ in how they spread, and the correction for making many of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, false_discovery_control, fisher_exact

from .draws import DRAWS, least_p_of_permutation

_SEED = 0
_SMALL = 5
_ROUGH = 1e-3

Result = tuple[float | None, str]
"""A p-value, or None, and a note: why there is none, or what to bear in mind."""


def fisher(count: NDArray[np.int64], total: NDArray[np.int64]) -> Result:
    """Test whether one share differs, two-sided and exact, units taken for independent (Fisher 1922).

    Args:
        count: (2,) units of each selection in one category.
        total: (2,) units of each selection.

    """
    if not total.all():
        return None, "nothing is selected"
    return float(fisher_exact([count, total - count]).pvalue), ""


def g_test(counts: NDArray[np.int64]) -> Result:
    """Test whether any share differs: the likelihood-ratio test of a table, units taken for independent.

    Args:
        counts: (2, categories).

    """
    used = counts[:, counts.any(axis=0)]
    if used.shape[1] < 2 or not used.any(axis=1).all():
        return None, "all is in one place"
    found = chi2_contingency(used, correction=False, lambda_="log-likelihood")
    few = int((found.expected_freq < _SMALL).sum())
    note = f"approximate: {few} of {used.size} expected counts are below {_SMALL}" if few else ""
    return float(found.pvalue), note


def permutation(a: NDArray[np.float64], b: NDArray[np.float64]) -> Result:
    """Test whether the means of tensors' shares differ, by dealing the tensors out to the two models anew.

    All ways where there are few, else :data:`~critical_weights.across.draws.DRAWS` seeded ones. Tensors, not weights,
    are what is exchangeable: that the top weights of one tensor come in lines does no harm.

    Args:
        a: share of each tensor of one model, times their number.
        b: of the other; they may be more or fewer.

    """
    if len(a) < 2 or len(b) < 2:
        return None, f"not applicable: {len(a)} and {len(b)} tensors"
    if not a.any() and not b.any():
        return 1.0, "nothing is selected here"
    both = np.concatenate([a, b])
    dealt, all_ways = _dealings(len(a), len(b))
    # The difference of means grows with the sum of the first side, the total being what it is.
    differences = np.abs(both[dealt].sum(axis=1) * (1 / len(a) + 1 / len(b)) - both.sum() / len(b))
    as_large = int((differences >= abs(a.mean() - b.mean()) * (1 - 1e-9)).sum())
    if not all_ways:
        return (1 + as_large) / (1 + DRAWS), ""
    least = least_p_of_permutation(len(a), len(b))
    note = f"p cannot be below {least:.2g}: so few tensors" if least > _ROUGH else ""
    return as_large / len(dealt), note


@lru_cache(maxsize=64)
def _dealings(a: int, b: int) -> tuple[NDArray[np.int64], bool]:
    """Return which of a + b tensors go to the first side, one row a way; and whether these are all ways."""
    if comb(a + b, a) <= DRAWS:
        return np.array(list(combinations(range(a + b), a)), np.int64), True
    return np.argsort(np.random.default_rng(_SEED).random((DRAWS, a + b)), axis=1)[:, :a], False


def adjusted(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number: the false discovery rate at which each would count.

    Source: Benjamini and Hochberg 1995; valid for independent or positively dependent tests.
    """
    return false_discovery_control(p, method="bh").tolist() if len(p) else []
