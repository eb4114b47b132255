"""What becomes of the top scores when the first position of each text is left out.

The variant leaves position 0 out of the activation statistics and of the gradient sums (a Linear layer's x_0 delta_0
term, and what an embedding's row gets there); the loss stays as it is. Stores keep the variant's scores of each
tensor's first candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..log import logger
from ..metrics import METRICS
from ..overlap.groups import LADDER
from ..ranking.addresses import has_token_rows, tokens_of_rows
from ..ranking.analysed import analysed_tensors
from ..store.read import ScoreStore, open_store, refuse_second
from ..tables.structure import FIRST_POSITION

log = logger(__name__)

NAMED = 10
"""Lines and tokens that get rows of their own: those that lose the most score."""
_SHARE = "fraction of the score"
Row = dict[str, Any]


@dataclass(frozen=True)
class _Kept:
    """The candidates of one or more tensors that have both scores, in ranking order within each tensor.

    Attributes:
        full: the scores, float64.
        variant: those without the first position.
        rest: the largest score that a weight outside can have; 0 where every weight is among the candidates.

    """

    full: NDArray[np.float64]
    variant: NDArray[np.float64]
    rest: float


def first_position_table(paths: Sequence[str | Path], facts: dict[str, Any], vocabulary: Sequence[str]) -> pd.DataFrame:
    """Compare each store's scores with their variant without the first position, among the candidates that have both.

    - ``overlap`` of the first k by either, over all tensors and within each. A weight outside the candidates cannot
      enter here. How sure the figure is, ``kth_over_rest`` tells: at 3, a weight outside would have to triple its
      score by losing a position. For ``wanda`` it cannot gain at all, so above 1 the overlap is exact; a signed
      gradient can, where position 0 cancels the others. Over all tensors the rest's largest score is that of the
      tensor whose candidates end highest, and k goes no further than the shortest list of candidates
      that leaves weights out, nor than there are scores above 0 by either; and it stays below the
      number of candidates, which share everything with themselves.
    - ``position_0_share`` of the candidates' score, by tensor, component, and all.
    - The lines and tokens whose score falls most, by the fall's size.

    Args:
        paths: score stores.
        facts: the model's facts.
        vocabulary: tokens by id.

    Returns:
        The columns of :data:`critical_weights.tables.structure.FIRST_POSITION`; for a store without such scores one row
        ``not_available`` with the reason.

    Raises:
        StoreError: a store is damaged, or of another model, or two are of one metric.

    """
    rows: list[Row] = []
    seen: dict[str, Path] = {}
    for path in paths:
        with open_store(path, {"model_sha256": facts["sha256"]}) as store:
            refuse_second(store, seen)
            rows += [row | {"metric": store.attributes["metric"]} for row in _of_store(store, facts, vocabulary)]
    columns = {column.name: column.dtype for column in FIRST_POSITION.columns}
    texts = {column.name: "" for column in FIRST_POSITION.columns if column.dtype == "str"}
    return pd.DataFrame([texts | row for row in rows], columns=list(columns), dtype=object).astype(columns)


def _of_store(store: ScoreStore, facts: dict[str, Any], vocabulary: Sequence[str]) -> list[Row]:
    tensors = analysed_tensors(store, facts)
    kept: dict[str, _Kept] = {}
    falls: list[Row] = []
    for tensor in tensors:
        variant = store.without_first(tensor["name"])
        if variant is None:
            continue
        top = store.candidates(tensor["name"], ("top_index", "top_score"))
        m = len(variant)
        rest = float(top["top_score"][m - 1]) if m and m < tensor["numel"] else 0.0
        full = top["top_score"][:m].astype(np.float64)
        kept[tensor["name"]] = _Kept(full, variant.astype(np.float64), rest)
        falls.extend(_falls(tensor, top["top_index"][:m], kept[tensor["name"]], facts, vocabulary))
    if not kept:
        static = METRICS[store.attributes["metric"]].family == "static"
        reason = "the metric reads no text" if static else "the store keeps no scores without the first position"
        log.info("%s: first position not available: %s", store.attributes["metric"], reason)
        return [{"scope": "all", "name": "all", "quantity": "not_available", "n": 0, "unit": "", "note": reason}]
    rows = _compared("all", "all", list(kept.values()))
    components: dict[str, list[_Kept]] = {}
    for tensor in tensors:
        if tensor["name"] in kept:
            components.setdefault(tensor["component"], []).append(kept[tensor["name"]])
    for name, members in components.items():
        rows += _share("component", name, members)
    for tensor in tensors:
        if tensor["name"] in kept:
            rows += _compared("tensor", tensor["name"], [kept[tensor["name"]]])
        else:
            note = "no scores without the first position are kept of this tensor"
            rows.append({"scope": "tensor", "name": tensor["name"], "quantity": "not_available", "n": 0, "unit": "",
                         "note": note})  # fmt: skip
    return rows + _most_fallen(falls)


def _compared(scope: str, name: str, members: list[_Kept]) -> list[Row]:
    """Return the share of position 0, and for each k the overlap of the first k and how sure it is."""
    full, variant = (np.concatenate([getattr(own, key) for own in members]) for key in ("full", "variant"))
    rest = max(own.rest for own in members)
    # Beyond a cut list's length the first k of several tensors are not known even by the full score; and scores of 0,
    # by either, are in an order that both rankings have in common.
    known = min([len(own.full) for own in members if own.rest > 0] + [int((s > 0).sum()) for s in (full, variant)])
    by_full, by_variant = (np.argsort(-scores, kind="stable") for scores in (full, variant))
    rows = _share(scope, name, members)
    for k in (k for k in LADDER if k <= known and k < len(full)):
        shared = len(np.intersect1d(by_full[:k], by_variant[:k]))
        own = {"scope": scope, "name": name, "k": k, "n": len(full)}
        rows.append(own | {"quantity": "overlap", "value": shared / k, "unit": "fraction of k"})
        if rest > 0:
            factor = float(variant[by_variant[k - 1]] / rest)
            rows.append(own | {"quantity": "kth_over_rest", "value": factor, "unit": "times"})
    return rows


def _share(scope: str, name: str, members: list[_Kept]) -> list[Row]:
    full, variant = (sum(float(getattr(own, key).sum()) for own in members) for key in ("full", "variant"))
    n = sum(len(own.full) for own in members)
    row = {"scope": scope, "name": name, "quantity": "position_0_share", "n": n, "unit": _SHARE}
    return [row | {"value": 1 - variant / full}] if full > 0 else []


def _falls(
    tensor: dict[str, Any], index: NDArray[np.int64], kept: _Kept, facts: dict[str, Any], vocabulary: Sequence[str]
) -> list[Row]:
    """Sum both scores over the rows and columns of one tensor's candidates; those of each kind that fall most."""
    if not {"row", "col"} <= set(tensor["axes"]):
        return []
    sizes = dict(zip(tensor["axes"], tensor["shape"], strict=True))
    places = dict(zip(tensor["axes"], np.unravel_index(index, tuple(tensor["shape"])), strict=True))
    rows: list[Row] = []
    for line in ("row", "col"):
        keys, own = np.unique(places.get("expert", 0) * sizes[line] + places[line], return_inverse=True)
        full, variant = (np.bincount(own, scores) for scores in (kept.full, kept.variant))
        n, is_token = np.bincount(own), line == "row" and has_token_rows(tensor, facts["vocab_size"])
        for place in np.argsort(variant - full, kind="stable")[:NAMED].tolist():
            expert, number = divmod(int(keys[place]), sizes[line])
            row = {"name": tensor["name"], "line": line, "index": number, "n": int(n[place])}
            row |= {"fall": float(full[place] - variant[place]), "full": float(full[place]), "is_token": is_token}
            row["token"] = tokens_of_rows([number], vocabulary)[0] if is_token else ""
            rows.append(row | ({"expert": expert} if "expert" in sizes else {}))
    return rows


def _most_fallen(falls: list[Row]) -> list[Row]:
    """Return the lines, and of the token rows the tokens, that lose the most score; ties in the tensors' order."""
    rows: list[Row] = []
    for scope, part in (("line", falls), ("token", [own for own in falls if own["is_token"]])):
        for own in sorted((own for own in part if own["fall"] > 0), key=lambda own: -own["fall"])[:NAMED]:
            row = {"scope": scope} | {key: own.get(key) for key in ("name", "line", "index", "token", "expert", "n")}
            rows.append(row | {"quantity": "fall", "value": own["fall"], "unit": "units of the metric"})
            share = own["fall"] / own["full"]
            rows.append(row | {"quantity": "position_0_share", "value": share, "unit": _SHARE})
    return rows
