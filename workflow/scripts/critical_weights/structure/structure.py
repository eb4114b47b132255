"""Where the weights of a selection lie: lines, components, depth, residual channels, neurons; each against chance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..overlap.chance import chance_of_sharing
from ..ranking.analysed import place
from ..tables.structure import STRUCTURE
from .line_cover import BEST, Cover, by_chance, chance_of_best, cover
from .recurring import channel_rows, neuron_rows
from .selections import Placed, Selection, place_weights, scored_tensors
from .tensor_roles import facts_of_names

Row = dict[str, Any]
_SHARE = "fraction of n"
_BY_CONSTRUCTION = ("perlayer", "perblock")


def structure_of_lists(lists: Mapping[str, pd.DataFrame], facts: dict[str, Any] | None) -> pd.DataFrame:
    """Describe lists made elsewhere; see :func:`structure_table`.

    Args:
        lists: frames with ``parameter, indices, sensitivity_score``, rows in any order, by name.
        facts: the model's; None where it is not known. Then the names tell layers, components and axes, and what needs
            a shape (``expected``, ``p``, neurons) is empty.

    Raises:
        RankingError: an index tuple or a score cannot be, or a name or shape does not fit the facts.

    """
    if facts is None:
        frames = [frame.drop_duplicates("parameter") for frame in lists.values()]
        first = pd.concat(frames) if frames else pd.DataFrame(columns=["parameter", "indices"])
        dimensions = {
            name: len(text.translate(str.maketrans("(),", "   ")).split())
            for name, text in zip(first["parameter"], first["indices"], strict=True)
        }
        facts = facts_of_names(dimensions, dimensions)
    selections = (Selection(label, "", "list", len(frame), frame) for label, frame in lists.items())
    return structure_table(selections, facts)


def structure_table(selections: Iterable[Selection], facts: dict[str, Any]) -> pd.DataFrame:
    """Tell of each selection in how few lines its weights lie, in which components and blocks, and what recurs.

    Weights of score 0 are left out: any two of them are ordered by index alone, which would make lines of nothing.

    - A tensor's weights are held by rows and columns (of a slice, in 3-D tensors); see :mod:`.line_cover` for what is
      exact and what is greedy. ``expected`` is what as many weights placed at random in the same tensor would give, so
      that it takes the number in each tensor as given. Tensors with one selected weight have no lines to speak of.
    - Components and layers come beside their share of all weights that the metric scores: what it skips it could not
      select. A ``perlayer`` or ``perblock`` selection has none of these rows, for its make decides them; and of a list
      made elsewhere they tell how it was cut.
    - Residual channels and neurons: see :mod:`.recurring`.

    Args:
        selections: the weights.
        facts: the model's facts.

    Returns:
        The columns of :data:`critical_weights.tables.structure.STRUCTURE`.

    """
    columns = {column.name: column.dtype for column in STRUCTURE.columns}
    parts = [pd.DataFrame(columns=list(columns))]
    for selection in selections:
        placed = place_weights(selection, facts)
        rows = _rows(placed, facts, scored_tensors(selection, facts), free=selection.mode not in _BY_CONSTRUCTION)
        part = pd.DataFrame([{"line": ""} | row for row in rows], columns=list(columns), dtype=object)
        part[["selection", "metric", "mode", "k"]] = selection.label, selection.metric, selection.mode, selection.k
        parts.append(part)
    table = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    return table.astype(columns)


def _rows(placed: Placed, facts: dict[str, Any], scored: list[bool], *, free: bool) -> list[Row]:
    n = len(placed.tensor)
    tensors = _tensor_rows(placed, facts, _weights_of(scored, facts))
    rows = [{"scope": "all", "name": "all", "quantity": "selected", "value": n, "n": n, "unit": "weights"}]
    if placed.zeros:
        rows.append(rows[0] | {"quantity": "zero_scores", "value": placed.zeros})
    if n:
        rows += _sums(tensors, n) + (_places(placed, facts, scored) if free else [])
    return rows + tensors + channel_rows(placed, facts) + neuron_rows(placed, facts)


def _tensor_rows(placed: Placed, facts: dict[str, Any], total: int) -> list[Row]:
    """Return the rows of each tensor with selected weights, in the model's order; ``total`` weights have a score."""
    rows: list[Row] = []
    first_lines: list[tuple[Row, tuple[int, ...]]] = []
    starts = np.flatnonzero(np.diff(placed.tensor, prepend=-1))
    for start, stop in zip(starts, np.append(starts, len(placed.tensor))[1:], strict=True):
        tensor, n = facts["tensors"][placed.tensor[start]], int(stop - start)
        own = {"scope": "tensor", "name": tensor["name"], "n": n, **_depth(tensor["layer"], facts)}
        share = {"expected": len(placed.tensor) * tensor["numel"] / total} if total else {}
        rows.append(own | {"quantity": "selected", "value": n, "unit": "weights"} | share)
        if n < 2 or not {"row", "col"} <= set(tensor["axes"]):
            continue
        sizes = _sizes(tensor)
        row, col = placed.row[start:stop], placed.col[start:stop]
        # A line of a 3-D tensor lies in one slice: rows and columns are numbered through all slices.
        expert = np.maximum(placed.expert[start:stop], 0)
        wide = sizes[1:] if sizes else (int(row.max()) + 1, int(col.max()) + 1)
        found = cover(expert * wide[0] + row, expert * wide[1] + col)
        rows += [own | line for line in _cover_rows(found, sizes, n)]
        named = [own | line for line in _named_lines(found, wide, sizes, n, sliced="expert" in tensor["axes"])]
        if named and sizes:
            first_lines.append((named[0], (int(found.gain[0]), *sizes, n)))
        rows += named
    if first_lines:
        chances = chance_of_best(*np.array([numbers for _, numbers in first_lines], np.int64).T)
        for (line, _), chance in zip(first_lines, chances, strict=True):
            line["p"] = float(chance)
    return rows


def _cover_rows(found: Cover, sizes: tuple[int, int, int] | None, n: int) -> list[Row]:
    """Return how many lines hold a tensor's weights or half of them, and what share the best lines hold."""
    half = found.for_half()
    values = [len(found.rows), len(found.cols), found.least, *half, found.best(1) / n, found.best(BEST) / n]
    expected: list[float | None] = [None] * len(values)
    if sizes:
        chance = by_chance(*sizes, n)
        shares = [chance.best[0] / n, chance.best[-1] / n]
        expected = [chance.rows, chance.cols, chance.least, *chance.half, *shares]
    units = ["rows", "columns", "lines", "rows", "columns", "lines", _SHARE, _SHARE]
    return [
        {"quantity": quantity, "value": value, "expected": mean, "unit": unit}
        for quantity, value, mean, unit in zip(_COVER, values, expected, units, strict=True)
    ]


_COVER = ("rows_hit", "cols_hit", "lines_to_cover", "half_rows", "half_cols", "half_lines", "best_1_share",
          f"best_{BEST}_share")  # fmt: skip


def _named_lines(
    found: Cover, wide: tuple[int, int], sizes: tuple[int, int, int] | None, n: int, *, sliced: bool
) -> list[Row]:
    """Return the first lines of the greedy cover that hold two weights or more, by name."""
    best = by_chance(*sizes, n).best if sizes else ()
    rows = []
    for rank in range(min(BEST, int((found.gain >= 2).sum()))):
        expert, index = divmod(int(found.line[rank]), wide[1] if found.is_col[rank] else wide[0])
        row = {"quantity": f"line_{rank + 1}", "line": "col" if found.is_col[rank] else "row", "index": index}
        row |= {"value": found.gain[rank] / n, "unit": _SHARE}
        if best:
            row["expected"] = (best[rank] - (best[rank - 1] if rank else 0)) / n
        rows.append(row | ({"expert": expert} if sliced else {}))
    return rows


def _sums(tensors: list[Row], n: int) -> list[Row]:
    """Return what adds up over tensors with two selected weights or more; a share is of all their weights."""
    counted = sum(row["n"] for row in tensors if row["quantity"] == _COVER[0])
    rows = []
    for quantity in _COVER if counted else ():
        own = [row for row in tensors if row["quantity"] == quantity]
        per = {True: [row["n"] / counted for row in own], False: [1] * len(own)}[own[0]["unit"] == _SHARE]
        known = all(row["expected"] is not None for row in own)
        rows.append(
            {"scope": "all", "name": "all", "quantity": quantity, "n": counted, "unit": own[0]["unit"],
             "value": sum(row["value"] * part for row, part in zip(own, per, strict=True)),
             "expected": sum(r["expected"] * part for r, part in zip(own, per, strict=True)) if known else None}
        )  # fmt: skip
    return rows


def _places(placed: Placed, facts: dict[str, Any], scored: list[bool]) -> list[Row]:
    """Return the selection's shares by component and layer, and its mean depth, beside those of all scored weights."""
    tensors, n = facts["tensors"], len(placed.tensor)
    selected = np.bincount(placed.tensor, minlength=len(tensors))
    total = _weights_of(scored, facts)
    rows: list[Row] = []
    drawn: list[tuple[int, int]] = []
    for scope in ("component", "layer"):
        groups: dict[str, list[int]] = {}
        for number, tensor in enumerate(tensors):
            if scored[number]:
                own = tensor["component"] if scope == "component" else place(tensor["layer"])
                groups.setdefault(own, []).append(number)
        for name, members in groups.items():
            count = int(selected[members].sum())
            row = {
                "scope": scope,
                "name": name,
                "quantity": "selected_share",
                "value": count / n,
                "n": n,
                "unit": _SHARE,
            }
            if scope == "layer":
                row |= {"name": "outside" if tensors[members[0]]["layer"] is None else "all"}
                row |= _depth(tensors[members[0]]["layer"], facts)
            if total:
                weights = sum(tensors[number]["numel"] for number in members)
                row |= {"expected": weights / total}
                drawn.append((count, weights))
            rows.append(row)
    if total:
        shared, sizes = np.transpose(drawn)
        for row, chance in zip(rows, chance_of_sharing(shared, total, n, sizes), strict=True):
            row["p"] = float(chance)
    return [*_mean_depth(selected, facts, scored), *rows]


def _mean_depth(selected: np.ndarray, facts: dict[str, Any], scored: list[bool]) -> list[Row]:
    depths = [_depth(tensor["layer"], facts).get("depth") for tensor in facts["tensors"]]
    inside = [number for number, depth in enumerate(depths) if depth is not None and scored[number]]
    n = int(selected[inside].sum()) if inside else 0
    if not n:
        return []
    mean, model = (
        np.average([depths[number] for number in inside], weights=[weights[number] for number in inside])
        for weights in (selected, [tensor["numel"] for tensor in facts["tensors"]])
    )
    own = {"scope": "all", "name": "all", "quantity": "mean_depth", "unit": "depth"}
    return [own | {"value": float(mean), "expected": float(model), "n": n}]


def _depth(layer: int | None, facts: dict[str, Any]) -> Row:
    if layer is None:
        return {}
    blocks = facts.get("n_layers")
    return {"layer": layer} | ({"depth": layer / max(blocks - 1, 1)} if blocks else {})


def _sizes(tensor: dict[str, Any]) -> tuple[int, int, int] | None:
    """Return slices, rows and columns of a tensor; None where its shape is not known."""
    if tensor["shape"] is None:
        return None
    sizes = dict(zip(tensor["axes"], tensor["shape"], strict=True))
    return sizes.get("expert", 1), sizes["row"], sizes["col"]


def _weights_of(scored: list[bool], facts: dict[str, Any]) -> int:
    """Return the number of weights in the tensors that count; 0 where shapes are not known."""
    return sum(tensor["numel"] or 0 for tensor, counts in zip(facts["tensors"], scored, strict=True) if counts)
