"""Up to which k is a ranking more than noise of its calibration texts, or of its probes?

Nothing is scored again: a gradient metric's score of any multiset of the texts follows from the gradients of single
texts that a store keeps of its first candidates, and a Hutchinson estimate's spread from its standard errors. The
candidates were selected with all texts, and a weight that is none of them cannot get to the first k of a resample; so
the figures say how often that could have been (``floor_draws``, ``edge_share``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..errors import ConfigError, StoreError
from ..log import logger
from ..overlap.ranked_lists import refuse_stranger
from ..store.read import ScoreStore, open_store
from ..tables.schema import Table
from ..tables.stability import STABILITY, WEIGHT_STABILITY
from .resampled_scores import resample
from .rows import Row, stability_rows
from .seeds import seed_rows
from .weights import weight_table

log = logger(__name__)


@dataclass(frozen=True)
class StabilitySettings:
    """How often to resample, and what counts as stable.

    Attributes:
        draws: bootstrap draws of the texts.
        splits: random halves of the texts.
        threshold: what the lower end of the interval of the Jaccard index has to exceed.

    """

    draws: int = 200
    splits: int = 100
    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to measure, as the config's schema does.

        Raises:
            ConfigError: one of them is out of range.

        """
        for name, least in (("draws", 2), ("splits", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"too few {name} to measure stability", got=getattr(self, name),
                                  expected=f"{least} or more")  # fmt: skip
        if not 0 <= self.threshold <= 1:  # NaN included
            raise ConfigError("the threshold is no Jaccard index", got=self.threshold, expected="0 to 1")


def stability_tables(
    stores: Sequence[str | Path], others: Sequence[str | Path], settings: StabilitySettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure the stability of each store's ranking.

    Args:
        stores: score stores of one phase and model, one a metric.
        others: stores of phases of the same model that differ in the seed alone, of any of these metrics.
        settings: how often to resample.

    Returns:
        The columns of :data:`.tables.stability.STABILITY` and of :data:`.tables.stability.WEIGHT_STABILITY`.

    Raises:
        StoreError: two stores are of one metric, of different models or of different texts; a store's gradients of
            single texts do not give its scores; or one of the others is of another model or of no metric of ``stores``.

    """
    by_metric = _by_metric(others)
    rows: list[Row] = []
    weights: list[pd.DataFrame] = []
    seen: dict[str, tuple[str, Path]] = {}
    for path in stores:
        with open_store(path) as store:
            metric, n_texts = store.attributes["metric"], store.attributes["n_texts"] or None
            refuse_stranger(store, seen)
            found, listed = _of_store(store, settings)
            rows += [{"metric": metric, "n_texts": n_texts, **row}
                     for row in (*found, *seed_rows(store, by_metric.pop(metric, ())))]  # fmt: skip
            weights += [listed.assign(n_texts=n_texts)] if len(listed) else []
    if by_metric:
        metric, (path, *_) = next(iter(by_metric.items()))
        raise StoreError(f"score store {path} is of {metric}, of which there is no store to compare it with")
    return _frame(pd.DataFrame(rows), STABILITY), _frame(pd.concat(weights) if weights else None, WEIGHT_STABILITY)


def _of_store(store: ScoreStore, settings: StabilitySettings) -> tuple[list[Row], pd.DataFrame]:
    resampled = resample(store, settings.draws, settings.splits)
    metric = store.attributes["metric"]
    if isinstance(resampled, str):
        log.info("%s: %s", metric, resampled)
        return [{"mode": "", "k": None, "method": "none", "quantity": "resampling", "note": resampled}], pd.DataFrame()
    rows = list(stability_rows(resampled, settings.threshold))
    for row in rows:
        if row["method"] == "verdict":
            log.info("%s %s: largest k %s (%s)", metric, row["mode"], row["value"], row["note"])
    return rows, weight_table(store, resampled)


def _by_metric(paths: Sequence[str | Path]) -> Mapping[str, list[str | Path]]:
    found: dict[str, list[str | Path]] = {}
    for path in paths:
        with open_store(path) as store:
            found.setdefault(store.attributes["metric"], []).append(path)
    return found


def _frame(rows: pd.DataFrame | None, table: Table) -> pd.DataFrame:
    """Bring rows into the columns of a table; a text that a row lacks is empty."""
    columns = {column.name: column.dtype for column in table.columns}
    frame = pd.DataFrame(columns=list(columns)) if rows is None else rows.reindex(columns=list(columns))
    texts = {name: "" for name, dtype in columns.items() if dtype == "str"}
    return frame.fillna(texts).astype(columns).reset_index(drop=True)
