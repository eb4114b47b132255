"""The address of a weight: its index tuple in storage order, its row, column and expert, its token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

POSITION_COMPONENTS = ("wpe", "embed_positions", "position_embeddings", "token_type_embeddings")
"""Embeddings whose rows are positions or segments, not tokens."""


def address_columns(tensor: dict[str, Any], flat: NDArray[np.int64]) -> dict[str, Any]:
    """Return the columns ``indices``, ``expert``, ``row`` and ``col`` of weights of one tensor.

    Args:
        tensor: the tensor's facts (``shape``, and ``axes`` in storage order).
        flat: flat indices in storage order.

    Returns:
        ``indices`` as text such as ``(3, 5)``; the others as Int64, missing where the tensor has no such axis.

    """
    places = np.unravel_index(flat, tuple(tensor["shape"]))
    texts = [place.astype(str) for place in places]
    inner = texts[0]
    for text in texts[1:]:
        inner = np.strings.add(np.strings.add(inner, ", "), text)
    closing = ",)" if len(texts) == 1 else ")"
    columns: dict[str, Any] = {"indices": np.strings.add(np.strings.add("(", inner), closing)}
    for word in ("expert", "row", "col"):
        missing = word not in tensor["axes"]
        place = np.zeros(len(flat), np.int64) if missing else places[tensor["axes"].index(word)]
        columns[word] = pd.arrays.IntegerArray(place.astype(np.int64), np.full(len(flat), missing))
    return columns


def has_token_rows(tensor: dict[str, Any], vocab_size: int | None) -> bool:
    """Whether a tensor's rows are tokens: an embedding of tokens, a head, or a head's bias."""
    if tensor["layer"] is not None or "row" not in tensor["axes"] or tensor["component"] in POSITION_COMPONENTS:
        return False
    return tensor["shape"][list(tensor["axes"]).index("row")] == vocab_size


def tokens_of_rows(rows: Sequence[int], vocabulary: Sequence[str]) -> list[str]:
    """Return the tokens of rows; empty for rows that pad the vocabulary."""
    return [vocabulary[row] if row < len(vocabulary) else "" for row in rows]
