"""Residual channels hit in many blocks, and neurons hit in several tensors of their MLP, against chance."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from .line_cover import chance_of_hit
from .selections import Placed
from .tensor_roles import neurons_of, residual_axis

NAMED = 10
"""Channels or neurons that get rows of their own, at most."""
Floats = NDArray[np.float64]


def tail(chances: Sequence[float]) -> Floats:
    """Return the probability of at least 0, 1, 2, ... successes of independent trials (Poisson binomial), exact."""
    exactly = np.ones(1)
    for chance in chances:
        exactly = np.append(exactly, 0) * (1 - chance) + np.append(0, exactly) * chance
    return np.minimum(np.cumsum(exactly[::-1])[::-1], 1)


def channel_rows(placed: Placed, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows on residual channels: in how many blocks the same one is hit.

    By chance, the weights selected of each tensor fall anywhere in it: a block is then hit with a probability that is
    the same for all channels, and the number of blocks is Poisson binomial. Empty where no tensor in a block has a
    residual axis.
    """
    axes = {number: residual_axis(tensor, facts) for number, tensor in enumerate(facts["tensors"])}
    layers = np.array([-1 if tensor["layer"] is None else tensor["layer"] for tensor in facts["tensors"]])
    is_row = np.array([axis == "row" for axis in axes.values()])
    has_axis = np.array([axis is not None for axis in axes.values()])
    channel = np.where(is_row[placed.tensor], placed.row, placed.col)
    layer = layers[placed.tensor]
    inside, outside = (has_axis[placed.tensor] & part for part in (layer >= 0, layer < 0))
    n = int(inside.sum())
    if not n:
        return []
    weights = _counts(channel[inside])
    hits = _counts(np.unique(np.stack([layer[inside], channel[inside]]), axis=1)[1])
    elsewhere = _counts(np.unique(np.stack([placed.tensor[outside], channel[outside]]), axis=1)[1])
    chances = _block_chances(placed, facts, np.flatnonzero(has_axis & (layers >= 0)), layers)
    groups = [(facts["hidden_size"], tail(chances))] if chances else []
    mean = {"blocks_hit": sum(chances), "weights": n / facts["hidden_size"]} if chances else {}
    half = -(-len(np.unique(layers[has_axis & (layers >= 0)])) // 2)
    common = {"scope": "residual", "name": "all", "line": "channel", "n": n}
    rows = []
    for quantity, least in (("channels_hit", 1), ("channels_in_half", half)):
        number = {"value": sum(value >= least for value in hits.values()), "unit": "channels"}
        rows.append(common | {"quantity": quantity, "expected": _reaching(groups, least)} | number)
    for place in _first(hits, weights):
        own = common | {"index": place}
        blocks = {"quantity": "blocks_hit", "value": hits[place], "unit": "blocks", "p": _any(groups, hits[place])}
        rows.append(own | blocks | {"expected": mean.get("blocks_hit")})
        held = {"quantity": "weights", "value": weights[place], "unit": "weights", "expected": mean.get("weights")}
        rows.append(own | held | {"p": _any_holds([(number, n) for number, _ in groups], weights[place])})
        rows.append(own | {"quantity": "outside_hit", "value": elsewhere.get(place, 0), "unit": "tensors"})
    return rows


def _block_chances(
    placed: Placed, facts: dict[str, Any], numbers: NDArray[np.int64], layers: NDArray[np.int64]
) -> list[float]:
    """Return the chance of each block that one channel is hit in it; empty where shapes are not known."""
    size, selected = facts.get("hidden_size"), np.bincount(placed.tensor, minlength=len(layers))
    if not size or any(facts["tensors"][number]["numel"] is None for number in numbers):
        return []
    misses: dict[int, float] = {}
    for number in numbers:
        numel, layer = facts["tensors"][number]["numel"], int(layers[number])
        missed = 1 - chance_of_hit(numel, numel // size, int(selected[number]))
        misses[layer] = misses.get(layer, 1.0) * missed
    return [1 - missed for missed in misses.values()]


@dataclass
class _Mlp:
    """One MLP: its neurons (of all experts, if a stack), and of each of its tensors the chance that one is hit."""

    layer: int
    module: str
    neurons: int
    chances: list[float] = field(default_factory=list)
    selected: int = 0


def neuron_rows(placed: Placed, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows on neurons: in how many tensors of its MLP (gate, up, down) the same one is hit.

    An MLP is one module: the only one of a dense block; in a mixture of experts each expert that has tensors of its
    own, the stack of experts (3-D tensors, each slice with neurons of its own) and the shared expert. A neuron's number
    means nothing beyond its MLP, so that blocks are not compared. Where a block has several, rows name the neuron's.
    Empty where no selected weight lies in an MLP of known shape.
    """
    selected = np.bincount(placed.tensor, minlength=len(facts["tensors"]))
    mlps: list[_Mlp] = []
    numbers: dict[tuple[int, str], int] = {}
    found: list[NDArray[np.int64]] = [np.zeros((5, 0), np.int64)]
    for number, tensor in enumerate(facts["tensors"]):
        lines = neurons_of(tensor, facts) if tensor["layer"] is not None and tensor["analysed"] else None
        if lines is None:
            continue
        axis, neuron = lines
        experts = tensor["shape"][tensor["axes"].index("expert")] if "expert" in tensor["axes"] else 1
        layer, module = tensor["layer"], tensor["name"].removesuffix(".weight").rpartition(".")[0]
        which = numbers.setdefault((layer, module), len(mlps))
        if which == len(mlps):
            mlps.append(_Mlp(layer, module, experts * (int(neuron.max()) + 1)))
        mlp = mlps[which]
        n = int(selected[number])
        mlp.chances.append(chance_of_hit(tensor["numel"], tensor["numel"] // mlp.neurons, n))
        mlp.selected += n
        if n:
            own = placed.tensor == number
            hit = neuron[(placed.row if axis == "row" else placed.col)[own]]
            places = np.full(n, layer), np.full(n, which), placed.expert[own], hit, np.full(n, number)
            found.append(np.stack(places))
    places = np.concatenate(found, axis=1)
    if not places.shape[1]:
        return []
    hits, weights = _counts(np.unique(places, axis=1)[:4]), _counts(places[:4])
    groups = [(mlp.neurons, tail(mlp.chances)) for mlp in mlps]
    common = {"scope": "neuron", "name": "all", "line": "neuron", "n": places.shape[1]}
    rows = []
    for quantity, least in (("neurons_hit", 1), ("neurons_hit_twice", 2)):
        number = {"value": sum(value >= least for value in hits.values()), "unit": "neurons"}
        rows.append(common | {"quantity": quantity, "expected": _reaching(groups, least)} | number)
    of_layer = Counter(mlp.layer for mlp in mlps)
    for place in _first(hits, weights):
        layer, which, expert, neuron = place
        mlp = mlps[which]
        own = common | {"layer": layer, "index": neuron} | _expert(mlp.module, expert)
        own |= {"name": mlp.module} if of_layer[layer] > 1 else {}
        tensors = {"quantity": "tensors_hit", "value": hits[place], "unit": "tensors", "p": _any(groups, hits[place])}
        rows.append(own | tensors | {"expected": sum(mlp.chances)})
        held = {"quantity": "weights", "value": weights[place], "unit": "weights"}
        held["p"] = _any_holds([(mlp.neurons, mlp.selected) for mlp in mlps], weights[place])
        rows.append(own | held | {"expected": mlp.selected / mlp.neurons})
    return rows


def _expert(module: str, part: int) -> dict[str, int]:
    """Return the number of an expert: its slice of a 3-D tensor, or, without slices, that of its module's path."""
    number = re.search(r"\bexperts\.(\d+)$", module)
    if part < 0 and number:
        return {"expert": int(number.group(1))}
    return {"expert": part} if part >= 0 else {}


def _reaching(groups: Sequence[tuple[int, Floats]], least: int) -> float | None:
    """Return how many of equal things reach ``least`` on average; groups are (number, tail), none where not known."""
    known = [number * float(chances[least]) if least < len(chances) else 0.0 for number, chances in groups]
    return sum(known) if known else None


def _any(groups: Sequence[tuple[int, Floats]], value: int) -> float | None:
    """Return an upper bound of the chance that any reaches ``value`` (union bound)."""
    mean = _reaching(groups, value)
    return None if mean is None else min(1.0, mean)


def _any_holds(groups: Sequence[tuple[int, int]], value: int) -> float | None:
    """Return an upper bound of the chance that any line holds ``value`` selected weights or more.

    Each of ``number`` equal lines holds 1 / number of every tensor. Drawing without replacement is bounded by the
    binomial's Chernoff bound (Hoeffding 1963, section 6), and the lines are added up (union bound).

    Args:
        groups: (number, n): equal lines that share ``n`` selected weights; none where shapes are not known.
        value: weights held.

    """
    bounds = []
    for number, n in groups:
        held, share = value / max(n, 1), 1 / number
        if held > 1:
            continue
        divergence = rel_entr(held, share) + rel_entr(1 - held, 1 - share)
        bounds.append(number * float(np.exp(-n * divergence)) if held > share else float(number))
    return min(1.0, sum(bounds)) if groups else None


def _counts(keys: NDArray[np.int64]) -> dict[Any, int]:
    """Count equal values, or equal columns as tuples of numbers."""
    if keys.ndim == 1:
        return dict(zip(*(part.tolist() for part in np.unique(keys, return_counts=True)), strict=True))
    columns, counts = np.unique(keys, axis=1, return_counts=True)
    return dict(zip(map(tuple, columns.T.tolist()), counts.tolist(), strict=True))


def _first(hits: Mapping[Any, int], weights: Mapping[Any, int]) -> list[Any]:
    """Return those hit twice or more, most hits first, then most weights, then by number."""
    several = [key for key, value in hits.items() if value >= 2]
    return sorted(several, key=lambda key: (-hits[key], -weights[key], key))[:NAMED]
