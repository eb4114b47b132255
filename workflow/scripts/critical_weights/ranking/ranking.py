"""The ranking: which weights a score store, a mode and a k select, with the address and values of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import RankingError, near_names
from ..files import REMADE
from ..log import logger
from ..names import MODES
from ..store.read import ScoreStore
from ..tables.schema import TOP_WEIGHTS, read_table
from .addresses import address_columns, has_token_rows, tokens_of_rows
from .analysed import OUTSIDE, analysed_tensors, place
from .top_entries import Entries, join, top_of_tensor

log = logger(__name__)


def rank(store: ScoreStore, facts: dict[str, Any], vocabulary: Sequence[str], mode: str, k: int) -> pd.DataFrame:
    """Select the k largest scores of each tensor, of each block, or of all, and describe each weight.

    The result is exact: score descending, ties by tensor order and then flat index. The first k of any group lie
    in the first k of its tensors, so the candidates answer every k up to their number; beyond it the dense scores do.

    Args:
        store: scores of one metric.
        facts: the model's facts (``model.json``).
        vocabulary: tokens by id, for the rows of embeddings and heads.
        mode: ``perlayer``: of each analysed tensor; ``perblock``: of each transformer block, where the tensors
            outside the blocks (embedding, head) are one group together; ``global``: of the analysed set.
        k: weights to select of each group; all of a smaller group.

    Returns:
        The columns of :data:`critical_weights.tables.schema.TOP_WEIGHTS`, one row a weight.

    Raises:
        RankingError: the mode is unknown, or k exceeds the candidates and there are no dense scores.

    """
    if mode not in MODES:
        raise RankingError(f"unknown mode '{mode}'", near=near_names(mode, MODES), expected=" or ".join(MODES))
    tensors = analysed_tensors(store, facts)
    groups: dict[str, list[Entries]] = {}
    beyond: list[dict[str, Any]] = []
    for tensor in tensors:
        entries = top_of_tensor(store, tensor, k)
        if entries is None:
            beyond.append(tensor)
            continue
        group = groups.setdefault(_group(mode, tensor), [])
        group.append(entries)
        if sum(map(len, group)) > 8 * k:  # what cannot be among the first k need not be carried along
            group[:] = [join(group).best(k)]
    if beyond:
        raise RankingError(_beyond_candidates(store, beyond, k))
    chosen = {name: join(group).best(k) for name, group in groups.items()}
    _log_choice(mode, k, {name: len(entries) for name, entries in chosen.items()})
    selected = join(list(chosen.values()))
    frame = _table(selected.best(len(selected)), tensors, facts, vocabulary)
    _log_gaps(frame)
    return frame


def read_ranking(path: str | Path) -> pd.DataFrame:
    """Read a ranking file and put its rows in ranking order, whatever their order in the file.

    Raises:
        RankingError: it selects nothing, names a weight twice, or its ranks and scores contradict each other.
        TableError: it does not follow the schema.

    """
    frame = read_table(path, TOP_WEIGHTS).sort_values("rank", ignore_index=True)
    if frame.empty:
        raise RankingError(f"{path} selects no weight")
    double = frame.duplicated(["parameter", "indices"])
    if double.any():
        row = frame[double].iloc[0]
        raise RankingError(f"{path} names the weight {row.parameter} {row.indices} twice")
    scores = frame["sensitivity_score"].to_numpy()
    if list(frame["rank"]) != list(range(1, len(frame) + 1)) or (np.diff(scores) > 0).any():
        raise RankingError(f"{path} is damaged: its ranks are not 1 to {len(frame)} by score descending",
                           fix=REMADE)  # fmt: skip
    return frame


def _group(mode: str, tensor: dict[str, Any]) -> str:
    """Return the group of tensors in which a tensor's weights compete for the first k places."""
    if mode == "perlayer":
        return tensor["name"]
    return place(tensor["layer"]) if mode == "perblock" else "all"


def _table(
    selected: Entries, tensors: list[dict[str, Any]], facts: dict[str, Any], vocabulary: Sequence[str]
) -> pd.DataFrame:
    parts = []
    for tensor in tensors:
        rows = np.flatnonzero(selected.tensor == tensor["position"])
        part = pd.DataFrame(
            {
                "rank": rows + 1,
                "rank_in_tensor": np.arange(1, len(rows) + 1),
                "parameter": tensor["name"],
                "sensitivity_score": selected.score[rows],
                "weight": selected.weight[rows],
                "gradient": selected.gradient[rows],
                "layer": pd.array([tensor["layer"]] * len(rows), dtype="Int64"),
                "component": tensor["component"],
                **address_columns(tensor, selected.index[rows]),
            }
        )
        tokens = has_token_rows(tensor, facts["vocab_size"])
        part["token"] = tokens_of_rows(part["row"].tolist(), vocabulary) if tokens else ""
        parts.append(part)
    frame = pd.concat([part for part in parts if len(part)]).sort_values("rank", ignore_index=True)
    return frame.astype({c.name: c.dtype for c in TOP_WEIGHTS.columns})[[c.name for c in TOP_WEIGHTS.columns]]


def _beyond_candidates(store: ScoreStore, tensors: list[dict[str, Any]], k: int) -> str:
    first = tensors[0]["name"]
    others = f" (and of {len(tensors) - 1} more tensors)" if len(tensors) > 1 else ""
    kept = len(store.candidates(first)["top_index"])
    needed = max(min(k, tensor["numel"]) for tensor in tensors)
    return (
        f"k = {k} reaches beyond the {kept} candidates kept of {first}{others}, and {store.path.name} holds no dense "
        f"scores of them. Set scoring: candidates: {needed} (or dense: true), or choose k up to {kept}"
    )


def _log_choice(mode: str, k: int, sizes: dict[str, int]) -> None:
    log.info("%s, k = %d: %d weights of %d groups", mode, k, sum(sizes.values()), len(sizes))
    if mode == "perblock" and OUTSIDE in sizes:
        log.info("tensors outside the blocks are one group: %d weights", sizes[OUTSIDE])
    small = {name: size for name, size in sizes.items() if size < k}
    if small:
        name, size = next(iter(small.items()))
        log.info("%d groups have fewer than %d weights and are taken whole (%s: %d)", len(small), k, name, size)


def _log_gaps(frame: pd.DataFrame) -> None:
    zeros = int((frame["sensitivity_score"] == 0).sum())
    if zeros:
        log.info("%d of the %d selected weights have score 0: only their index put them there", zeros, len(frame))
    gaps = frame.loc[frame["weight"].isna(), "rank_in_tensor"]
    if len(gaps):
        log.info(
            "weight and gradient are empty in %d of %d rows: they are kept with the candidates only; "
            "scoring: candidates: %d would fill them", len(gaps), len(frame), gaps.max(),
        )  # fmt: skip
