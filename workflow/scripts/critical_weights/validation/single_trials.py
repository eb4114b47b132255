"""Single weights changed one at a time: the top of every metric, and a sample over the range of each one's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..evaluation.bootstrap import intervals
from ..evaluation.damage import Evaluation
from ..evaluation.gradients_at import gradients_at
from ..interventions.apply import applied
from ..log import progress
from ..ranking.addresses import address_columns
from ..store.read import open_store
from ..tables.interventions import SINGLE_SCORES, SINGLE_WEIGHTS, in_order
from .conditions import ValidationSettings, first_weights, parse_change
from .stratified import scores_at, stratified_weights
from .weight_sets import Places, union_of


def single_trials(
    model: nn.Module,
    facts: Mapping[str, Any],
    evaluation: Evaluation,
    stores: Sequence[str | Path],
    settings: ValidationSettings,
    device: torch.device,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure what each weight does alone, and what gradient and Fisher diagonal of the same texts predict.

    Args:
        model: in eval mode, all of it in memory.
        facts: the model's.
        evaluation: on few texts.
        stores: score stores of the model, one a metric.
        settings: how many of which, changed how.
        device: where the model lies.

    Returns:
        The columns of :data:`.tables.interventions.SINGLE_WEIGHTS` and :data:`.tables.interventions.SINGLE_SCORES`.

    """
    drawn = [_drawn(path, facts, settings, len(stores)) for path in stores]
    union = union_of(places for _, own in drawn for places in own.values())
    tensors = {tensor["name"]: tensor for tensor in facts["tensors"] if tensor["name"] in union}
    union = {name: union[name] for name in tensors}
    gradients = gradients_at(model, evaluation.texts, union, device)
    change, stored = parse_change(settings.intervention), getattr(torch, facts["checkpoint_dtype"])
    weights = [(name, place, flat) for name, own in union.items() for place, flat in enumerate(own)]
    rows, changes = [], []
    for name, place, flat in progress(weights, len(weights), "single weights", "weights"):
        with applied(model, {name: np.array([flat])}, *change, seed=settings.seed, stored=stored) as done:
            damage = evaluation.measure([name])
        changes.append(damage.change)
        step, old = float(done.change[name][0]), float(done.before[name][0])
        g, h = (values[place] for values in gradients[name])
        rows.append(_address(tensors[name], flat) | {
            "weight": old, "change": step, "gradient": g, "first_order": g * step,
            "second_order": g * step + 0.5 * h * step**2, "kl": damage.divergence.sum() / evaluation.predicted.sum(),
        })  # fmt: skip
    frame = pd.DataFrame(rows, columns=[column.name for column in SINGLE_WEIGHTS.columns])
    if rows:
        bounds = intervals(np.array(changes), evaluation.predicted, settings.draws, settings.seed)
        frame["dnll"], frame["low"], frame["high"] = bounds
    tokens = int(evaluation.predicted.sum())
    frame = frame.assign(number=range(len(rows)), n_texts=len(evaluation.texts), n_tokens=tokens)
    scores = [_scores(path, metric, own, union) for path, (metric, own) in zip(stores, drawn, strict=True)]
    return in_order(frame, SINGLE_WEIGHTS), pd.concat(scores, ignore_index=True)


def _drawn(
    path: str | Path, facts: Mapping[str, Any], settings: ValidationSettings, metrics: int
) -> tuple[str, dict[str, Places]]:
    """Return the metric of a store, and its weights to try: ``top`` and its share of the ``sample``."""
    with open_store(path) as store:
        metric, top = first_weights(store, facts, settings.top)
        share = -(-settings.singles // metrics)
        return metric, {"top": top, "sample": stratified_weights(store, facts, share, settings.seed) if share else {}}


def _address(tensor: Mapping[str, Any], flat: np.int64) -> dict[str, Any]:
    indices = address_columns(dict(tensor), np.array([flat]))["indices"][0]
    own = {key: tensor[key] for key in ("layer", "component")}
    return {"parameter": tensor["name"], "indices": indices} | own


def _scores(path: str | Path, metric: str, own: Mapping[str, Places], union: Places) -> pd.DataFrame:
    """Return one metric's score of every weight that is tried, and why the weight was taken."""
    with open_store(path) as store:
        scores = scores_at(store, union)
    parts = []
    for name, flat in union.items():
        among = {kind: np.isin(flat, places.get(name, [])) for kind, places in own.items()}
        drawn = [" ".join(kind for kind in among if among[kind][i]) for i in range(len(flat))]
        parts.append(pd.DataFrame({"score": scores[name], "drawn": drawn}))
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"score": [], "drawn": []})
    return in_order(frame.assign(number=range(len(frame)), metric=metric), SINGLE_SCORES)
