"""The overlap of lines beside that of weights: whole rows, columns and neurons that two lists both have at the top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..log import logger
from .overlap import BY_TENSOR, overlap_table
from .ranked_lines import LINES, lines_of_list, lines_of_stores
from .ranked_lists import RankedList, lists_of_stores

log = logger(__name__)


def overlap_of_stores(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Compare score stores of one model by weights, rows, columns and neurons.

    Lines rank by their largest score (see :mod:`critical_weights.overlap.ranked_lines`), known of every line: each k is
    answered. ``tensor`` is empty where the lines of all tensors are ranked together; of neurons it is the MLP.

    Returns:
        The columns of :data:`critical_weights.tables.schema.OVERLAP`.

    """
    parts = [overlap_table(*lists_of_stores(paths), scopes=("global", BY_TENSOR, "pooled", "tensor"))]
    for line, found in lines_of_stores(paths).items():
        parts.append(_renamed(*found, line))
    return _joined(parts)


def overlap_of_lists(
    lists: Mapping[str, RankedList], population: Mapping[str, int] | None, facts: Mapping[str, Any] | None
) -> pd.DataFrame:
    """Compare lists of weights, and the lines that their weights lie in where the tensors' shapes are known.

    Args:
        lists: by name.
        population: weights of each tensor, or None.
        facts: by tensor name ``shape`` and ``axes``; None: then rows and columns are left out, and it is said.

    """
    parts = [overlap_table(lists, population)]
    if facts is None:
        log.info("rows, columns and neurons are left out: the tensors' shapes and axes are not known")
        return parts[0]
    for line in LINES:
        found = {label: lines_of_list(ranked, facts, line) for label, ranked in lists.items()}
        counts = {name: count for _, own in found.values() for name, count in own.items()}
        parts.append(_renamed({label: lines for label, (lines, _) in found.items()}, counts, line))
    return _joined(parts)


def _renamed(lists: Mapping[str, RankedList], population: Mapping[str, int], line: str) -> pd.DataFrame:
    if not population:
        log.info("no %s is compared: the tensors' names and shapes show none", line)
        return pd.DataFrame()
    return overlap_table(lists, population, ("global", "tensor")).assign(scope=line)


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]
