"""The sensitivity of tensors, blocks, experts, attention heads and groups of 128 columns, for mixed precision.

Quantisers that give each part of a model its own number of bits need one sensitivity a part. HAWQ-V2 (Dong 2020,
1911.03852) ranks layers by the mean of the Hessian's diagonal, entries of either sign, times the squared rounding
error. Column ``mean`` of ``hutchinson_diag`` is not that: it is the mean of the absolute estimates, to which the noise
of few probes adds. SqueezeLLM (Kim 2023, 2306.07629) weighs each weight's squared rounding error by the empirical
Fisher diagonal: with an error that does not depend on the weight's score, a part's expected loss is proportional to
column ``sum`` of ``grad_squared`` times the part's mean squared error. A group is 128 input columns over all rows, the
width of the groups that GPTQ and AWQ give a scale of its own in each row.

Everything comes from a store's line sums and maxima, so dense scores are not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..ranking.analysed import analysed_tensors
from ..store.read import ScoreStore, open_store, refuse_second
from ..tables.structure import SENSITIVITY
from .attention_heads import heads_of

GROUP = 128
_READ = ("row_sum", "row_max", "col_sum", "col_max")
Row = dict[str, Any]


def sensitivity_table(paths: Sequence[str | Path], facts: dict[str, Any]) -> pd.DataFrame:
    """Return the sums, means and maxima of each store's scores by part.

    - ``tensor``, ``block``: every tensor; every transformer block, with the tensors outside the blocks as one more.
    - ``expert``: every slice of a 3-D tensor.
    - ``head``: rows of q, k, v and columns of o. Rows of one tensor add up to the tensor. Where heads cannot be told
      apart, as in a fused tensor whose order is not known, one row holds the tensor and says ``not split``.
    - ``group``: every 128 columns (input indices) of a matrix, of each slice in 3-D tensors; the last may be narrower.

    Line sums are float32: a sum of n of them is right to some 1e-7 of itself.

    Args:
        paths: score stores.
        facts: the model's facts.

    Returns:
        The columns of :data:`critical_weights.tables.structure.SENSITIVITY`.

    Raises:
        StoreError: a store is damaged, or of another model, or two are of one metric.

    """
    rows: list[Row] = []
    seen: dict[str, Path] = {}
    for path in paths:
        with open_store(path, {"model_sha256": facts["sha256"]}) as store:
            refuse_second(store, seen)
            rows += _of_store(store, facts)
    columns = {column.name: column.dtype for column in SENSITIVITY.columns}
    texts = {column.name: "" for column in SENSITIVITY.columns if column.dtype == "str"}
    return pd.DataFrame([texts | row for row in rows], columns=list(columns), dtype=object).astype(columns)


def _of_store(store: ScoreStore, facts: dict[str, Any]) -> list[Row]:
    tensors = analysed_tensors(store, facts)
    moments = {tensor["name"]: store.tensor_attributes(tensor["name"], ("sum", "max", "numel")) for tensor in tensors}
    by_scope: dict[str, list[Row]] = {scope: [] for scope in ("tensor", "block", "expert", "head", "group")}
    blocks: dict[int | None, list[dict[str, Any]]] = {}
    for tensor in tensors:
        own, lines = moments[tensor["name"]], store.lines(tensor["name"], _READ)
        blocks.setdefault(tensor["layer"], []).append(own)
        whole = {"tensor": tensor["name"], "layer": tensor["layer"], "component": tensor["component"]}
        whole |= {"sum": own["sum"], "max": own["max"], "weights": own["numel"]}
        by_scope["tensor"].append(whole)
        if lines:
            by_scope["expert"] += [whole | part for part in _experts(lines, tensor)]
            by_scope["head"] += [whole | part for part in _heads(lines, tensor, facts)]
            by_scope["group"] += [whole | part for part in _groups(lines, tensor)]
    for layer in sorted(blocks, key=lambda layer: (layer is None, layer or 0)):
        members = blocks[layer]
        sums = {"sum": sum(own["sum"] for own in members), "max": max(own["max"] for own in members)}
        by_scope["block"].append({"layer": layer, **sums, "weights": sum(own["numel"] for own in members)})
    total, n = (sum(own[key] for own in moments.values()) for key in ("sum", "numel"))
    fixed = {"metric": store.attributes["metric"]}
    return [
        row
        | fixed
        | {"scope": scope, "mean": row["sum"] / row["weights"], "weight_share": row["weights"] / n}
        | {"share": row["sum"] / total if total else None}
        for scope, rows in by_scope.items()
        for row in rows
    ]


def _experts(lines: dict[str, NDArray[np.float32]], tensor: dict[str, Any]) -> list[Row]:
    if "expert" not in tensor["axes"]:
        return []
    sums, largest = lines["row_sum"].sum(-1, dtype=np.float64), lines["row_max"].max(-1)
    weights = tensor["numel"] // len(sums)
    return [
        {"expert": expert, "sum": float(value), "max": float(high), "weights": weights}
        for expert, (value, high) in enumerate(zip(sums, largest, strict=True))
    ]


def _heads(lines: dict[str, NDArray[np.float32]], tensor: dict[str, Any], facts: dict[str, Any]) -> list[Row]:
    heads = heads_of(tensor, facts)
    if heads is None:
        return []
    if isinstance(heads, str):
        return [{"note": f"not split: {heads}"}]
    sums, largest = lines[f"{heads.axis}_sum"].astype(np.float64), lines[f"{heads.axis}_max"]
    length = tensor["numel"] // len(sums)
    rows = []
    for part in dict.fromkeys(heads.part.tolist()):
        for head in range(int(heads.head[heads.part == part].max()) + 1):
            own = (heads.part == part) & (heads.head == head)
            rows.append({"part": part, "index": head, "sum": float(sums[own].sum()),
                         "max": float(largest[own].max()), "weights": int(own.sum()) * length})  # fmt: skip
    return rows


def _groups(lines: dict[str, NDArray[np.float32]], tensor: dict[str, Any]) -> list[Row]:
    """Return the groups of columns of each slice; ``index`` counts them within the slice."""
    columns = lines["col_sum"].shape[-1]
    starts = np.arange(0, columns, GROUP)
    sums = np.add.reduceat(np.atleast_2d(lines["col_sum"]).astype(np.float64), starts, axis=1)
    largest = np.maximum.reduceat(np.atleast_2d(lines["col_max"]), starts, axis=1)
    length = tensor["numel"] // (len(sums) * columns)
    rows = []
    for expert, index in np.ndindex(sums.shape):
        start, stop = int(starts[index]), min(int(starts[index]) + GROUP, columns)
        own = {"index": index, "start": start, "stop": stop, "weights": (stop - start) * length}
        own |= {"sum": float(sums[expert, index]), "max": float(largest[expert, index])}
        rows.append(own | ({"expert": expert} if "expert" in tensor["axes"] else {}))
    return rows
