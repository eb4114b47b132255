"""How much the first k of resampled scores have in common: the figures of one store, by ranking mode."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..names import MODES
from ..tables.stability import TOO_HIGH
from .candidate_pool import Group, groups
from .resample_columns import columns_that_matter
from .resampled_scores import Resampled
from .resampling import chance_overlap, count, first_of_rows

Row = dict[str, Any]
Floats = NDArray[np.float64]

INTERVAL = (0.025, 0.975)
_FLOOR_DRAWS = 0.05
_EDGE_SHARE = 0.01
_NOUN = {"perlayer": "tensors", "perblock": "blocks (the tensors outside them are one)"}
_CAUTION = {
    "bootstrap": "both have most texts in common: no chance level, and too high for other texts",
    "bootstrap_pair": "estimates two sets of N other texts, from above; no chance level",
    "halves": "each half has N/2 texts: sets of N texts share more",
    "probes": "simulated around the estimates, whose own noise counts as signal: an upper bound",
}


@dataclass
class _Found:
    """What is found at one k, a group an entry of the lists; the overlaps (comparisons,) by method and quantity."""

    overlaps: dict[tuple[str, str], list[Floats]] = field(default_factory=dict)
    chance: list[tuple[float, float]] = field(default_factory=list)
    floor_draws: list[float] = field(default_factory=list)
    edge_share: list[float] = field(default_factory=list)
    relative_error: list[Floats] = field(default_factory=list)
    significant: list[NDArray[np.bool_]] = field(default_factory=list)

    @property
    def sure(self) -> bool:
        """Whether weights beyond the candidates are too small to get to the first k of more than a few draws."""
        return np.mean(self.floor_draws) <= _FLOOR_DRAWS and np.mean(self.edge_share) <= _EDGE_SHARE


def stability_rows(resampled: Resampled, threshold: float) -> Iterable[Row]:
    """Yield the rows of one store: overlaps, errors, how far the candidates answer, and the largest k that holds.

    Without the columns ``metric`` and ``n_texts``.

    Args:
        resampled: the scores of its candidates.
        threshold: what the lower end of the interval of a Jaccard index has to exceed, as well as the chance level.

    """
    if resampled.agreement:
        value, allowed = resampled.agreement
        yield _row("", None, "check", "store_agreement", value, expected=allowed, n=len(resampled.pool.names),
                   unit="relative difference", note="scores made from single texts against the kept ones")  # fmt: skip
    for mode in MODES:
        members = groups(resampled.pool, mode)
        by_k: dict[int, _Found] = {}
        for group in members.values():
            _compare(resampled, group, by_k)
        for k, found in sorted(by_k.items()):
            over = "" if mode == "global" else f"mean over {len(found.chance)} of {len(members)} {_NOUN[mode]}"
            yield from _rows_of_k(resampled, mode, k, found, threshold, over)
        told = {k: found for k, found in by_k.items() if 2 * len(found.chance) >= len(members)}
        yield _verdict(resampled, mode, told, threshold)


def _compare(resampled: Resampled, group: Group, by_k: dict[int, _Found]) -> None:
    """Add what one group has in common at every k that it can answer."""
    ladder = group.ladder(resampled.scores.first)
    if not ladder:
        return
    columns, scores, thresholds = columns_that_matter(resampled.scores, group.columns, ladder)
    at_edge = np.packbits(resampled.pool.edge[columns])
    for k, threshold in zip(ladder, thresholds, strict=True):
        found = by_k.setdefault(k, _Found())
        bits = first_of_rows(scores, threshold, k)
        for method, (a, b) in resampled.comparisons.items():
            shared = count(bits[a] & bits[b])
            found.overlaps.setdefault((method, "jaccard"), []).append(shared / (2 * k - shared))
            found.overlaps.setdefault((method, "share"), []).append(shared / k)
        found.chance.append(chance_overlap(len(group.columns), k))
        found.floor_draws.append(float((threshold[resampled.draws] < group.floor).mean()))
        found.edge_share.append(float(count(bits[resampled.draws] & at_edge).mean() / k))
        first = np.flatnonzero(np.unpackbits(bits[0], count=len(columns)))
        found.relative_error.append(resampled.error[columns[first]] / scores[0, first])
        if resampled.significant is not None:
            found.significant.append(resampled.significant[columns[first]])


def _rows_of_k(resampled: Resampled, mode: str, k: int, found: _Found, threshold: float, over: str) -> Iterable[Row]:
    unsure = "" if found.sure else TOO_HIGH
    for (method, quantity), by_group in found.overlaps.items():
        values = np.mean(by_group, axis=0)
        # Two draws of the same texts have most of them in common: noise alone shares more than independent draws do.
        dependent = method in ("bootstrap", "bootstrap_pair")
        chance = None if dependent else np.mean(found.chance, axis=0)[int(quantity == "jaccard")]
        unit = "fraction of k" if quantity == "share" else "fraction of the union"
        yield _row(mode, k, method, quantity, values.mean(), *np.quantile(values, INTERVAL), chance, len(values), unit,
                   _join(over, _CAUTION[method], unsure))  # fmt: skip
    main = "probes" if resampled.judge == "probes" else "bootstrap"
    errors = np.concatenate(found.relative_error)
    yield _row(mode, k, main, "relative_error", np.median(errors), *np.quantile(errors, INTERVAL), n=len(errors),
               unit="standard error / score", note="median of the first k; low and high are over weights")  # fmt: skip
    if found.significant:
        share = np.concatenate(found.significant)
        yield _row(mode, k, main, "significant_share", share.mean(), n=len(share), unit="fraction of k",
                   note="above 2 standard errors; chosen for being large: more than without a choice")  # fmt: skip
    yield _row(mode, k, main, "floor_draws", np.mean(found.floor_draws), expected=_FLOOR_DRAWS,
               n=_length(resampled.draws), unit="fraction of draws", note=over)  # fmt: skip
    yield _row(mode, k, main, "edge_share", np.mean(found.edge_share), expected=_EDGE_SHARE,
               n=_length(resampled.draws), unit="fraction of k", note=over)  # fmt: skip
    if mode != "global":
        above = _groups_above(found, resampled.judge, threshold)
        yield _row(mode, k, resampled.judge, "groups_above", above.mean(), expected=threshold, n=len(above),
                   unit="fraction of groups", note=over.removeprefix("mean "))  # fmt: skip


def _groups_above(found: _Found, judge: str, threshold: float) -> NDArray[np.bool_]:
    low = np.quantile(found.overlaps[judge, "jaccard"], INTERVAL[0], axis=1)
    return low > np.maximum(threshold, [jaccard for _, jaccard in found.chance])


def _verdict(resampled: Resampled, mode: str, by_k: dict[int, _Found], threshold: float) -> Row:
    """Return the largest k that holds, of those that the candidates can answer in half of the groups or more."""
    sure = sorted(k for k, found in by_k.items() if found.sure)
    if not sure:
        note = "not available: the candidates that can be resampled end before the first k of the ladder"
        return _row(mode, None, "verdict", "largest_k", None, expected=threshold, unit="weights", note=note)
    holds = []
    for k in sure:
        values = np.mean(by_k[k].overlaps[resampled.judge, "jaccard"], axis=0)
        chance = np.mean(by_k[k].chance, axis=0)[1]
        holds += [k] if np.quantile(values, INTERVAL[0]) > max(threshold, chance) else []
    largest = max(holds, default=0)
    below = [str(k) for k in sure if k < largest and k not in holds]
    note = [f"by {resampled.judge}: {_CAUTION[resampled.judge]}"]
    note += [f"not at k = {', '.join(below)}"] if below else []
    note += [f"the candidates cannot tell beyond k = {sure[-1]}"] if largest == sure[-1] else []
    return _row(mode, None, "verdict", "largest_k", largest, expected=threshold, unit="weights",
                note="; ".join(note))  # fmt: skip


def _row(
    mode: str, k: int | None, method: str, quantity: str, value: float | None, low: float | None = None,
    high: float | None = None, expected: float | None = None, n: int | None = None, unit: str = "", note: str = "",
) -> Row:  # fmt: skip
    return {"mode": mode, "k": k, "method": method, "quantity": quantity, "value": value, "low": low, "high": high,
            "expected": expected, "n": n, "unit": unit, "note": note}  # fmt: skip


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _length(rows: slice) -> int:
    return rows.stop - rows.start
