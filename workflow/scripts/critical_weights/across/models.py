"""Which components and which depth the top weights of models prefer, and whether two models differ in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..ranking.analysed import OUTSIDE
from ..store.read import open_store
from ..structure.line_cover import cover
from ..tables.across import MODELS
from .study import KS, Scored, Study, ks_of, table_of
from .tests import adjusted, fisher, g_test, permutation

SCOPES = ("component", "depth")
DEPTHS = 5
"""Parts into which the depth of the blocks is cut."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """How a selection spreads over the tensors of its model; equal lengths, one element a tensor with scores.

    Attributes:
        names: by scope, the component or fifth of the depth that each tensor belongs to.
        weights: selected weights.
        lines: least number of rows and columns that hold them.
        numel: weights there are.

    """

    names: dict[str, NDArray[np.str_]]
    weights: NDArray[np.int64]
    lines: NDArray[np.int64]
    numel: NDArray[np.int64]

    def by_name(self, scope: str, name: str, what: NDArray[np.int64]) -> int:
        """Return the sum over the tensors of one name."""
        return int(what[self.names[scope] == name].sum())

    def densities(self, scope: str, name: str) -> NDArray[np.float64]:
        """Return, of each tensor of one name, its share of the selection times the number of those tensors.

        Their mean is the share of that name, whatever the number of blocks.
        """
        own = self.weights[self.names[scope] == name]
        return own * len(own) / self.weights.sum()


def models_table(study: Study) -> pd.DataFrame:
    """Compare the first weights of all pairs of models of one phase, metric by metric.

    Returns:
        The columns of :data:`critical_weights.tables.across.MODELS`.

    """
    spreads: dict[tuple[Scored, int], Spread] = {}
    rows: list[Row] = []
    short = False
    for a, b in study.pairs("model"):
        ks = ks_of(study.best(a), study.best(b))
        short = short or not ks
        for k in ks:
            for one in (a, b):
                if (one, k) not in spreads:
                    spreads[one, k] = spread_of(study, one, k)
            own = {"phase": a.phase, "metric": a.metric, "k": k, "a": a.model, "b": b.model}
            rows += [own | row for row in _compare(spreads[a, k], spreads[b, k])]
    for unit in ("weights", "lines", "tensors"):
        tests = [row for row in rows if row["unit"] == unit and row["p"] is not None]
        for row, q in zip(tests, adjusted([row["p"] for row in tests]), strict=True):
            row["q"] = q
    few = f"the first {min(KS)} weights of both models are known of no pair"
    none = "no two models of one phase with the same metric"
    return table_of(rows, MODELS, f"not applicable: {few if short else none}")


def spread_of(study: Study, one: Scored, k: int) -> Spread:
    """Return how the first k weights of a store spread over its tensors."""
    facts, first = study.facts_of(one), study.best(one).best(k)
    with open_store(one.path) as store:
        tensors = [tensor for tensor in facts["tensors"] if tensor["name"] in store]
    names = {
        "component": np.array([tensor["component"] for tensor in tensors]),
        "depth": np.array([depth_name(tensor["layer"], facts["n_layers"]) for tensor in tensors]),
    }
    parts = [first.index[first.tensor == tensor["position"]] for tensor in tensors]
    lines = [least_lines(tensor, flat) for tensor, flat in zip(tensors, parts, strict=True)]
    numel = [tensor["numel"] for tensor in tensors]
    return Spread(names, *(np.array(values, np.int64) for values in (list(map(len, parts)), lines, numel)))


def depth_name(layer: int | None, blocks: int) -> str:
    """Return the fifth, ``1`` to ``5``, of a block's relative depth layer / (blocks - 1); ``outside`` for no block."""
    # In whole numbers: a depth of exactly 3/5 must not fall to the one or the other side by rounding.
    return OUTSIDE if layer is None else str(min(layer * DEPTHS // max(blocks - 1, 1), DEPTHS - 1) + 1)


def least_lines(tensor: dict[str, Any], flat: NDArray[np.int64]) -> int:
    """Return the least number of rows and columns that hold these weights of a tensor; of a vector all are one line."""
    if not len(flat) or not {"row", "col"} <= set(tensor["axes"]):
        return min(len(flat), 1)
    place = dict(zip(tensor["axes"], np.unravel_index(flat, tuple(tensor["shape"])), strict=True))
    size = dict(zip(tensor["axes"], tensor["shape"], strict=True))
    expert = place.get("expert", 0)  # a line lies in one slice: they are numbered through all slices
    return cover(expert * size["row"] + place["row"], expert * size["col"] + place["col"]).least


def _compare(a: Spread, b: Spread) -> Iterator[Row]:
    for scope in SCOPES:
        names = list(dict.fromkeys([*a.names[scope], *b.names[scope]]))
        names = sorted(names) if scope == "depth" else names
        for unit, what in (("weights", (a.weights, b.weights)), ("lines", (a.lines, b.lines))):
            sides = list(zip((a, b), what, strict=True))
            counts = np.array([[spread.by_name(scope, name, own) for name in names] for spread, own in sides])
            p, note = g_test(counts)
            total = counts.sum(axis=1)
            yield _row(scope, "all", unit, total, total, "g", p, note) | {"share_a": None, "share_b": None}
            for name, own in zip(names, counts.T, strict=True):
                p, note = fisher(own, total)
                yield _row(scope, name, unit, own, total, "fisher", p, note) | _expected(scope, name, a, b)
        for name in names:
            values = [s.densities(scope, name) for s in (a, b)]
            p, note = permutation(*values)
            count = np.array([len(own) for own in values])
            shares = {f"share_{x}": float(v.mean()) if len(v) else 0.0 for x, v in zip("ab", values, strict=True)}
            shares["difference"] = shares["share_a"] - shares["share_b"]
            yield (
                _row(scope, name, "tensors", count, count, "permutation", p, note)
                | shares
                | _expected(scope, name, a, b)
            )


def _row(
    scope: str,
    name: str,
    unit: str,
    count: NDArray[np.int64],
    total: NDArray[np.int64],
    test: str,
    p: float | None,
    note: str,
) -> Row:
    shares = count / total if total.all() else [np.nan, np.nan]
    return {
        "scope": scope, "name": name, "unit": unit, "count_a": count[0], "count_b": count[1], "n_a": total[0],
        "n_b": total[1], "share_a": shares[0], "share_b": shares[1],
        "difference": None if name == "all" else shares[0] - shares[1], "test": test, "p": p, "note": note,
    }  # fmt: skip


def _expected(scope: str, name: str, a: Spread, b: Spread) -> Row:
    return {f"expected_{x}": s.by_name(scope, name, s.numel) / s.numel.sum() for x, s in zip("ab", (a, b), strict=True)}
