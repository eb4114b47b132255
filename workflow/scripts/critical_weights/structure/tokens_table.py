"""The tokens whose embedding or head rows a selection holds, beside how often the calibration texts have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from ..ranking.addresses import has_token_rows, tokens_of_rows
from ..tables.structure import TOKENS
from .selections import Selection, place_weights

NO_TOKEN = "no token"


def tokens_table(selections: Iterable[Selection], facts: dict[str, Any], tokens: dict[str, Any]) -> pd.DataFrame:
    """Count the selected weights of each embedding and head row; weights of score 0 are left out.

    Of a tied tensor a row is both the token's embedding and its line of the head. ``count`` is what an embedding sees
    (the last token of a text included, whose embedding reaches no loss), ``target_count`` what a head has to predict.

    Args:
        selections: the weights.
        facts: the model's facts.
        tokens: the content of ``tokens.json``: ``calibration`` ids by text, ``vocabulary``, ``special``.

    Returns:
        The columns of :data:`critical_weights.tables.structure.TOKENS`.

    """
    columns = {column.name: column.dtype for column in TOKENS.columns}
    vocabulary, special = tokens["vocabulary"], special_tokens(tokens)
    texts, size = tokens["calibration"], len(vocabulary)
    count = np.bincount(np.concatenate([[], *texts]).astype(np.int64), minlength=size)
    begins = np.bincount([ids[0] for ids in texts if ids], minlength=size)
    of_tokens = {number for number, t in enumerate(facts["tensors"]) if has_token_rows(t, facts["vocab_size"])}
    parts = [pd.DataFrame(columns=list(columns))]
    for selection in selections:
        placed = place_weights(selection, facts)
        chosen = np.isin(placed.tensor, list(of_tokens))
        if not chosen.any():
            continue
        own = pd.DataFrame({"tensor": placed.tensor, "row": placed.row, "score": placed.score})[chosen]
        part = own.groupby(["tensor", "row"], as_index=False).agg(
            selected=("score", "size"), score_sum=("score", "sum")
        )
        part = part.sort_values(["tensor", "selected", "score_sum", "row"], ascending=[True, False, False, True])
        rows = part["row"].to_numpy()
        part["token"] = tokens_of_rows(rows.tolist(), vocabulary)
        part["special"] = [
            special.get(row, "" if token else NO_TOKEN) for row, token in zip(rows, part["token"], strict=True)
        ]
        for name, key in (("parameter", "name"), ("component", "component")):
            part[name] = [facts["tensors"][number][key] for number in part["tensor"]]
        part["count"], part["first_count"] = count[rows], begins[rows]
        part["target_count"] = (count - begins)[rows]
        part["count_share"] = count[rows] / max(count.sum(), 1)
        part["unseen"] = count[rows] == 0
        part["share"] = part["selected"] / len(placed.tensor)
        part["score_share"] = part["score_sum"] / placed.score.sum()
        part[["selection", "metric", "mode", "k"]] = selection.label, selection.metric, selection.mode, selection.k
        parts.append(part)
    return pd.concat(parts[1:] or parts, ignore_index=True)[list(columns)].astype(columns)


def special_tokens(tokens: dict[str, Any]) -> dict[int, str]:
    """Return the special names of token ids, such as ``{50256: "BOS/EOS"}``, as the tokenizer sets them."""
    names: dict[int, list[str]] = {}
    for name, number in tokens.get("special", {}).items():
        if number is not None:
            names.setdefault(number, []).append(name.upper())
    return {number: "/".join(words) for number, words in names.items()}
