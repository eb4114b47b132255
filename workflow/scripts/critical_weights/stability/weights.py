"""The first weights of all tensors one by one: how sure is the score, how sure the place?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..ranking.addresses import address_columns
from ..store.read import ScoreStore
from ..tables.stability import WEIGHT_STABILITY
from .candidate_pool import Group, groups
from .resample_columns import columns_that_matter
from .resampled_scores import Resampled
from .resampling import first_of_rows
from .rows import INTERVAL

LISTED = 100
_COLUMNS = [column.name for column in WEIGHT_STABILITY.columns]


def weight_table(store: ScoreStore, resampled: Resampled) -> pd.DataFrame:
    """Return the columns of :data:`.tables.stability.WEIGHT_STABILITY` but ``n_texts`` for the first weights of all.

    They are :data:`LISTED`, fewer where the candidates that can be resampled do not hold the first so many of all
    weights, and none has score 0.
    """
    pool = resampled.pool
    group = next(iter(groups(pool, "global").values()), Group(np.array([], np.int64), 0.0, 0))
    known = min(LISTED, group.known, int((pool.stored > 0).sum()))
    if not known:
        return pd.DataFrame(columns=_COLUMNS)
    chosen = np.argsort(-pool.stored, kind="stable")[:known]
    few, scores, thresholds = columns_that_matter(resampled.scores, group.columns, [known])
    bits = first_of_rows(scores[resampled.draws], thresholds[0, resampled.draws], known)
    again = dict(zip(few.tolist(), np.unpackbits(bits, axis=1, count=len(few)).mean(axis=0), strict=True))
    ascending, place = np.unique(chosen, return_inverse=True)
    draws = resampled.scores.take(ascending)[resampled.draws][:, place]
    low, high = np.quantile(draws, INTERVAL, axis=0)
    frame = pd.DataFrame(
        {
            "metric": store.attributes["metric"],
            "rank": np.arange(1, known + 1),
            "score": pool.stored[chosen],
            "standard_error": resampled.error[chosen],
            "low": low,
            "high": high,
            "k": known,
            "probability": [again.get(column, 0.0) for column in chosen.tolist()],
            "method": "probes" if resampled.judge == "probes" else "bootstrap",
            "n": len(draws),
            "unit": store.attributes["units"],
        }
    )
    tensors = np.searchsorted(pool.start, chosen, side="right") - 1
    addresses = [_address(store, pool.names[t], pool.index[column]) for t, column in zip(tensors, chosen, strict=True)]
    return pd.concat([frame, pd.concat(addresses, ignore_index=True)], axis=1)


def _address(store: ScoreStore, name: str, index: np.int64) -> pd.DataFrame:
    tensor: dict[str, Any] = store.tensor_attributes(name, ("layer", "component", "shape", "axes"))
    columns = {"parameter": [name], "layer": pd.array([tensor["layer"]], "Int64"), "component": [tensor["component"]]}
    return pd.DataFrame(columns | address_columns(tensor, np.array([index])))
