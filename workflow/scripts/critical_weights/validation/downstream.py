"""Downstream tasks before and after an intervention: what a selection's removal or change costs in use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import RankingError
from ..files import read_json
from ..log import logger
from ..ranking.chosen_weights import ChosenWeights, first_of, weights_of_list
from ..tables.downstream import DOWNSTREAM
from .harness import Harness, Measured, Results

if TYPE_CHECKING:
    import torch
    from torch import nn

log = logger(__name__)


def read_selections(sources: Sequence[str | Path], facts: str | Path, k: int | None) -> dict[str, ChosenWeights]:
    """Read selections of one model, by name: the run folder's, or the list's file name.

    Args:
        sources: run folders or CSV lists.
        facts: the model's ``model.json``.
        k: how many weights of each, from the first; None for all.

    Raises:
        RankingError: a selection is of another model, has fewer than k weights, or two have one name.

    """
    selections: dict[str, ChosenWeights] = {}
    sha256 = read_json(facts)["sha256"]
    for source in sources:
        weights = weights_of_list(source, facts)
        name = weights.origin["experiment"].rpartition("/")[2] or Path(source).stem
        if weights.origin["model_sha256"] != sha256:
            raise RankingError(f"{source} is of another model", got=weights.origin["model_sha256"], expected=sha256)
        if name in selections:
            raise RankingError(f"two selections are called {name}, the second one {source}")
        selections[name] = first_of(weights, k) if k else weights
    return selections


def downstream_table(
    harness: Harness,
    model: nn.Module,
    selections: Mapping[str, ChosenWeights],
    intervention: str,
    strength: float | None,
    *,
    seed: int,
    stored: torch.dtype,
) -> pd.DataFrame:
    """Run the tasks once on the model as it is, and once with each selection changed; the model comes out unchanged.

    Args:
        harness: the tasks on this model.
        model: whose weights are changed in place for a while.
        selections: by name.
        intervention: see :data:`critical_weights.interventions.INTERVENTIONS`.
        strength: its strength; None for its default.
        seed: of random interventions.
        stored: the checkpoint's format.

    Returns:
        The columns of :data:`critical_weights.tables.downstream.DOWNSTREAM`.

    """
    from ..interventions import find_intervention
    from ..interventions.apply import applied

    chosen = find_intervention(intervention)
    used = chosen.check_strength(strength)
    before = harness.run()
    rows: list[dict[str, Any]] = []
    for number, (name, weights) in enumerate(selections.items(), 1):
        log.info(
            "%s of %d weights of %s (selection %d of %d)", intervention, len(weights), name, number, len(selections)
        )
        places = {tensor: chosen.index for tensor, chosen in weights.tensors.items()}
        with applied(model, places, chosen, strength, seed=seed, stored=stored) as done:
            after = harness.run()
        what = {"intervention": intervention, "strength": used, "selection": name, "k": len(weights),
                "changed": done.changed}  # fmt: skip
        rows += [row | what for row in _rows(before, after)]
    return pd.DataFrame(rows, columns=[column.name for column in DOWNSTREAM.columns])


def _rows(before: Results, after: Results) -> list[dict[str, Any]]:
    rows = []
    for key, first in before.items():
        then = after.get(key, Measured(math.nan, math.nan, first.n, first.better, None))
        task, metric, chosen = key
        rows.append({
            "task": task, "metric": metric, "filter": chosen, "better": first.better, "n": first.n,
            "before": first.value, "before_stderr": first.stderr, "after": then.value, "after_stderr": then.stderr,
            "change": then.value - first.value, "change_stderr": paired_stderr(first, then),
        })  # fmt: skip
    return rows


def paired_stderr(before: Measured, after: Measured) -> float:
    """Return the standard error of the mean change over documents, the same ones before and after.

    It is that of the differences (n - 1 in the denominator); NaN where the figure is no mean over documents.
    """
    if before.by_document is None or after.by_document is None or len(before.by_document) < 2:
        return math.nan
    differences = after.by_document - before.by_document
    return float(differences.std(ddof=1) / np.sqrt(len(differences)))
