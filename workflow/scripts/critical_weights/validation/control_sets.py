"""Controls of a selection: as many other weights of each of its tensors, at random, or of the same size too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from ..log import logger
from .weight_sets import Places, WeightSet

log = logger(__name__)

DECILE_SAMPLE = 1 << 22
"""Beyond so many weights of a tensor its deciles are estimated from a sample of them."""

Floats = NDArray[np.floating]


def random_control(chosen: WeightSet, numel: dict[str, int], seed: int) -> WeightSet:
    """Return as many weights of each tensor as the selection has there, none of them selected, each equally likely.

    Where more than half of a tensor is selected, fewer are left: all of them are taken.

    Args:
        chosen: the selection.
        numel: weights of each tensor.
        seed: of the draw; tensor, metric, mode and k enter too, so that no two selections share their draws.

    """
    places: Places = {}
    for name, flat in chosen.places.items():
        rng = _rng(chosen, name, seed, "random")
        places[name] = np.sort(_others(rng, numel[name], flat, min(len(flat), numel[name] - len(flat))))
    return _control(chosen, "random", places, seed, 0)


def matched_control(chosen: WeightSet, deciles: Callable[[str], NDArray[np.int8]], seed: int) -> WeightSet:
    """Return as many weights of each tensor and of each of its ten deciles of abs(w) as the selection has there.

    None of them is selected. Where a decile is used up, other weights of the tensor stand in and are counted as
    ``unmatched``.

    Args:
        chosen: the selection.
        deciles: tensor name -> what :func:`deciles_of` gives of its weights, flat in storage order.
        seed: see :func:`random_control`.

    """
    places: Places = {}
    unmatched = 0
    for name, flat in chosen.places.items():
        rng = _rng(chosen, name, seed, "matched")
        decile = deciles(name)
        free = np.ones(len(decile), bool)
        free[flat] = False
        drawn = []
        for d, wanted in zip(*np.unique(decile[flat], return_counts=True), strict=True):
            pool = np.flatnonzero(free & (decile == d))
            drawn.append(rng.choice(pool, min(wanted, len(pool)), replace=False, shuffle=False))
        own = np.concatenate(drawn).astype(np.int64)
        missing = min(len(flat), int(free.sum())) - len(own)
        if missing:
            free[own] = False
            own = np.concatenate([own, rng.choice(np.flatnonzero(free), missing, replace=False, shuffle=False)])
            unmatched += missing
        places[name] = np.sort(own)
    return _control(chosen, "matched", places, seed, unmatched)


def deciles_of(size: Floats) -> NDArray[np.int8]:
    """Return the decile, 0 to 9, of each abs(w) among those of its tensor; equal sizes share one."""
    sample = size
    if len(size) > DECILE_SAMPLE:
        sample = size[np.random.default_rng(0).integers(len(size), size=DECILE_SAMPLE)]
    return np.searchsorted(np.quantile(sample, np.arange(1, 10) / 10), size, side="left").astype(np.int8)


def _others(rng: np.random.Generator, numel: int, selected: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Draw ``count`` of the indices that are not selected, without a list of all of them."""
    drawn = rng.choice(numel - len(selected), count, replace=False, shuffle=False).astype(np.int64)
    # The n-th index that is not selected: n plus the selected ones at or before it, of ascending selected ones.
    gaps = np.sort(selected) - np.arange(len(selected))
    return drawn + np.searchsorted(gaps, drawn, side="right")


def _control(chosen: WeightSet, kind: str, places: Places, seed: int, unmatched: int) -> WeightSet:
    control = replace(chosen, kind=kind, places=places, seed=seed, unmatched=unmatched)
    if control.count < chosen.count or unmatched:
        log.info("%s control of %s %s, k = %d: %d of %d weights, %d of them of another decile", kind, chosen.metric,
                 chosen.mode, chosen.k, control.count, chosen.count, unmatched)  # fmt: skip
    return control


def _rng(chosen: WeightSet, name: str, seed: int, kind: str) -> np.random.Generator:
    text = f"{kind} {seed} {chosen.metric} {chosen.mode} {chosen.kind} {chosen.k} {chosen.name} {name}"
    return np.random.default_rng(int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big"))
