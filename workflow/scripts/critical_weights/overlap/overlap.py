"""How many of their first weights two ranked lists share, how many chance would, and where the lists can say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..log import logger
from ..tables.schema import OVERLAP
from .chance import chance_of_sharing
from .chance_of_sums import chance_of_sharing_in_all
from .groups import ALL, KS, LADDER, UNLIMITED, Groups, Listed, in_one_numbering
from .ranked_lists import RankedList

log = logger(__name__)

BY_TENSOR = "global_by_tensor"


def overlap_table(
    lists: Mapping[str, RankedList],
    population: Mapping[str, int] | None,
    scopes: Sequence[str] = ("global", "pooled", "tensor"),
) -> pd.DataFrame:
    """Compare all pairs of lists, over all tensors that both name and within each of them.

    For every k of :data:`LADDER` the first k of each list are compared, fewer where a list ends before, and for
    ``all`` both whole lists. ``share`` is shared / the smaller of the two numbers compared. The scopes:

    - ``global``: the first k of each list by score, over all tensors.
    - ``global_by_tensor``: the same, against a stricter chance level (only where the population is known).
    - ``pooled``: the first k of every tensor, all tensors together: what two ``perlayer`` selections share.
    - ``tensor``: the first k within one tensor.

    ``expected`` and ``p`` are those of independent draws without replacement: of these sizes from all weights (of the
    tensor; of all tensors compared). For ``pooled``, and for a ``global`` row that is not complete, each tensor is
    drawn from apart, as often as it comes in each list: lists cut tensor by tensor share more by their make than free
    draws. So it is for ``global_by_tensor``, of any row: two metrics that only agree on which tensors matter share no
    more than that. p is 0 where it is below the smallest float64.

    ``complete`` says that what is compared are exactly the first k of the population: neither list is cut before its
    place k (its end, for ``all``), and the score there is not 0, unless everything is compared. Scores of exactly 0
    are ordered by index alone, which any two lists have in common, so sharing them is no evidence.

    Args:
        lists: by name; pairs come in this order.
        population: the number of weights of each tensor; None where it is not known: then ``expected`` and ``p`` are
            empty and no list counts as holding everything.
        scopes: those that are wanted.

    Returns:
        The columns of :data:`critical_weights.tables.schema.OVERLAP`.

    """
    if population is None:
        log.info("expected and p are left empty: the number of weights of each tensor is not known")
    names, listed = in_one_numbering(lists)
    sizes = np.array([population[name] if population else UNLIMITED for name in names], np.int64)
    columns = [column.name for column in OVERLAP.columns]
    parts = [pd.DataFrame(columns=columns)]
    for a, b in combinations(listed, 2):
        both = listed[a].named & listed[b].named
        if not both.any():
            log.warning("%s and %s have no tensor in common: there is nothing to compare", a, b)
            continue
        if (listed[a].named | listed[b].named).sum() > both.sum():
            log.info("%s and %s are compared over the %d tensors that both have", a, b, both.sum())
        shared = listed[a].shared_with(listed[b])
        for scope, frame in _scopes(listed[a], listed[b], shared, both, sizes, scopes):
            tensor = [names[i] for i in frame["group"]] if scope == "tensor" else ""
            parts.append(frame.assign(scope=scope, tensor=tensor, a=a, b=b))
    return pd.concat(parts).astype({c.name: c.dtype for c in OVERLAP.columns})[columns].reset_index(drop=True)


def _scopes(
    a: Listed,
    b: Listed,
    shared: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    both: NDArray[np.bool_],
    sizes: NDArray[np.int64],
    wanted: Sequence[str],
) -> list[tuple[str, pd.DataFrame]]:
    """Return the rows of one pair of lists, by scope."""
    known = bool((sizes < UNLIMITED).all())
    total = sizes[both].sum(keepdims=True) if known else np.array([UNLIMITED])
    everything = [one.whole if both.all() else one.grouped(np.where(both, 0, -1), 1) for one in (a, b)]
    over_all = _of_both(_compare(everything, shared, total))
    by_tensor = over_all.copy()
    if known:
        strict = BY_TENSOR in wanted
        for row in over_all.index[np.full(len(over_all), strict) | ~over_all["complete"]]:
            k = int(KS[row])  # one group: its rows are in the order of KS
            taken = [side.by_tensor(k, len(sizes)) for side in everything]
            by_tensor.loc[row, ["expected", "p"]] = _chance_by_tensor(int(over_all.loc[row, "shared"]), sizes, *taken)
        over_all = over_all.where(over_all["complete"], by_tensor)
    within = _compare([a.within, b.within], shared, sizes)
    within = within[both[within["group"]]]
    found = {"global": over_all, BY_TENSOR: by_tensor[[known] * len(by_tensor)], "tensor": _of_both(within)}
    if "pooled" in wanted:
        found["pooled"] = _pooled(within, sizes)
    return [(scope, found[scope]) for scope in wanted]


def _of_both(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out the groups, and k, where one list has no weight."""
    return frame[np.minimum(frame["taken_a"], frame["taken_b"]) > 0]


def _compare(
    sides: list[Groups], shared: tuple[NDArray[np.bool_], NDArray[np.bool_]], population: NDArray[np.int64]
) -> pd.DataFrame:
    """Return one row for each group and k."""
    deeper = np.maximum(sides[0].step[shared[0]], sides[1].step[shared[1]])
    counted = np.bincount(deeper, minlength=len(population) * len(KS))
    both = np.cumsum(counted.reshape(-1, len(KS)), axis=1)
    (taken_a, sure_a), (taken_b, sure_b) = (side.first(population) for side in sides)
    expected = p = np.full(both.shape, np.nan)
    if (population < UNLIMITED).all():
        total = np.broadcast_to(population[:, None], both.shape)
        expected, p = taken_a * (taken_b / total), chance_of_sharing(both, total, taken_a, taken_b)
    return pd.DataFrame(
        {
            "group": np.repeat(np.arange(len(population)), len(KS)),
            "k": [*map(str, LADDER), ALL] * len(population),
            "shared": both.ravel(),
            "share": (both / np.maximum(np.minimum(taken_a, taken_b), 1)).ravel(),
            "jaccard": (both / np.maximum(taken_a + taken_b - both, 1)).ravel(),
            "expected": expected.ravel(),
            "p": p.ravel(),
            "complete": (sure_a & sure_b).ravel(),
            "taken_a": taken_a.ravel(),
            "taken_b": taken_b.ravel(),
        }
    )


def _pooled(within: pd.DataFrame, sizes: NDArray[np.int64]) -> pd.DataFrame:
    """Return the rows over the first k of every tensor that both may name, from those within tensors.

    A tensor of which only one list has weights counts too: they belong to its first k, and the other's are not known.
    """
    rows = []
    for k, part in within[np.maximum(within["taken_a"], within["taken_b"]) > 0].groupby("k", sort=False):
        shared, smaller = int(part["shared"].sum()), np.minimum(part["taken_a"], part["taken_b"]).sum()
        if not smaller:
            continue
        union = part["taken_a"].sum() + part["taken_b"].sum() - shared
        expected, p = np.nan, np.nan
        if (sizes < UNLIMITED).all():
            taken = (part[side].to_numpy() for side in ("taken_a", "taken_b"))
            expected, p = _chance_by_tensor(shared, sizes[part["group"]], *taken)
        rows.append((k, shared, shared / smaller, shared / union, expected, p, part["complete"].all()))
    return pd.DataFrame(rows, columns=["k", "shared", "share", "jaccard", "expected", "p", "complete"])


def _chance_by_tensor(
    shared: int, sizes: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the number of shared weights that draws tensor by tensor expect, and the chance of this many."""
    drawn = (a > 0) & (b > 0)
    if not drawn.any():
        return 0.0, 1.0
    sizes, a, b = sizes[drawn], a[drawn], b[drawn]
    return float((a * (b / sizes)).sum()), chance_of_sharing_in_all(shared, sizes, a, b)
