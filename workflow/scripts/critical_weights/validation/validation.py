"""Proof by intervention: every condition applied, measured and taken back; single weights one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import TextError
from ..evaluation.bootstrap import intervals
from ..evaluation.damage import Damage, Evaluation
from ..evaluation.gradients_at import gradients_at
from ..interventions.apply import Applied, applied
from ..log import logger, progress
from ..scoring.same_model import check_same_model, check_tokens
from ..tables.interventions import INTERVENTIONS_TABLE, in_order
from .conditions import Condition, ValidationSettings, plan_conditions
from .control_sets import deciles_of
from .measured_once import MeasuredOnce
from .single_trials import single_trials
from .weight_sets import Places, union_of

log = logger(__name__)
Gradients = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]

DECILES_KEPT = 1 << 28
"""Bytes of deciles that are kept for the next control of the same tensor."""


@dataclass(frozen=True)
class Tables:
    """What a validation gives; see :mod:`.tables.interventions`."""

    interventions: pd.DataFrame
    texts: pd.DataFrame
    single_weights: pd.DataFrame
    single_scores: pd.DataFrame


def check_texts(calibration: Sequence[Sequence[int]], evaluation: Sequence[Sequence[int]]) -> None:
    """Check that no evaluation text is a calibration text, token by token.

    Raises:
        TextError: some are.

    """
    shared = {tuple(ids) for ids in calibration} & {tuple(ids) for ids in evaluation}
    if shared:
        count = sum(tuple(ids) in shared for ids in evaluation)
        raise TextError(f"{count} of {len(evaluation)} evaluation texts are calibration texts too",
                        fix="Damage must be measured on texts that the scores have not seen")  # fmt: skip


def validate(
    model: nn.Module,
    facts: Mapping[str, Any],
    tokens: Mapping[str, Any],
    stores: Sequence[str | Path],
    settings: ValidationSettings,
    *,
    device: torch.device,
    spare: int,
) -> Tables:
    """Run every condition of the plan and every single weight.

    Args:
        model: in eval mode, all of it in memory; as it was again afterwards.
        facts: the model's.
        tokens: ``tokens.json``: texts of both uses.
        stores: score stores of the model, one a metric.
        settings: what is tried.
        device: where the model lies.
        spare: bytes that may be kept beside the model.

    Raises:
        ConfigError: a setting is wrong.
        ModelError: a tensor is quantised or not in memory, or the model is not that of the facts.
        RankingError: a selection is of another model, or reaches beyond a store.
        StoreError: a store is damaged or of another model.
        TextError: evaluation texts are calibration texts, or hold tokens that the model does not have.

    """
    settings.check()
    check_texts(tokens["calibration"], tokens["evaluation"])
    texts = tokens["evaluation"][: settings.texts]
    check_same_model(model, {tensor["name"]: tensor for tensor in facts["tensors"]})
    check_tokens(texts, facts)
    stored = getattr(torch, facts["checkpoint_dtype"])
    conditions = plan_conditions(stores, facts, settings, _Deciles(model))
    _try_changes(model, conditions, stored)
    union = union_of([condition.chosen.places for condition in conditions])
    evaluation = Evaluation(model, texts, device, spare)
    gradients = gradients_at(model, texts, union, device)
    measured_once = MeasuredOnce(evaluation)
    rows: list[dict[str, Any]] = [_unchanged(evaluation)]
    damages: list[Damage] = [measured_once.unchanged]
    for condition in progress(conditions, len(conditions), "interventions", "conditions"):
        chosen = condition.chosen
        seed = settings.seed if chosen.seed is None else chosen.seed
        change = (condition.intervention, condition.strength)
        with applied(model, chosen.places, *change, seed=seed, stored=stored) as done:
            damages.append(measured_once(chosen.places, done))
        rows.append(_described(condition, done) | _predicted(done, chosen.places, union, gradients))
    _tell_outcomes(rows)
    log.info("%d of %d conditions leave the weights as another one does, and are measured once",
             measured_once.spared, len(conditions))  # fmt: skip
    changes = np.array([damage.change for damage in damages])
    frame = pd.DataFrame(rows).assign(condition=range(len(rows)))
    frame["dnll"], frame["low"], frame["high"] = intervals(changes, evaluation.predicted, settings.draws, settings.seed)
    measured = pd.DataFrame([_measured(damage, evaluation) for damage in damages])
    few = Evaluation(model, texts[: settings.single_texts], device, spare)
    singles, scores = single_trials(model, facts, few, stores, settings, device)
    return Tables(in_order(frame.join(measured), INTERVENTIONS_TABLE), _by_text(damages, evaluation), singles, scores)


def _try_changes(model: nn.Module, conditions: Sequence[Condition], stored: torch.dtype) -> None:
    """Make each kind of change once, so that one which the weights' format does not allow is told before the hours."""
    for condition in {(one.intervention, one.strength): one for one in conditions}.values():
        with applied(model, condition.chosen.places, condition.intervention, condition.strength, stored=stored):
            pass


class _Deciles:
    """The decile of every weight of a tensor, made when first asked for and kept while that takes little."""

    def __init__(self, model: nn.Module) -> None:
        self._parameters = dict(model.named_parameters())
        self._kept: dict[str, NDArray[np.int8]] = {}

    def __call__(self, name: str) -> NDArray[np.int8]:
        if name not in self._kept:
            wide = torch.promote_types(self._parameters[name].dtype, torch.float32)
            found = deciles_of(self._parameters[name].detach().reshape(-1).abs().to("cpu", wide).numpy())
            if sum(map(len, self._kept.values())) + len(found) > DECILES_KEPT:
                return found
            self._kept[name] = found
        return self._kept[name]


def _predicted(done: Applied, places: Places, union: Places, gradients: Gradients) -> dict[str, float]:
    """Return the change that gradient and Fisher diagonal predict for a set: the sums over its weights."""
    first = second = 0.0
    for name, flat in places.items():
        at = np.searchsorted(union[name], flat)
        change = done.change[name].cpu().numpy()
        g, h = (values[at] for values in gradients[name])
        with np.errstate(over="ignore", invalid="ignore"):  # a flipped bit may leave nothing finite to predict from
            first += float(g @ change)
            second += float(0.5 * h @ change**2)
    return {"first_order": first, "second_order": first + second}


def _unchanged(evaluation: Evaluation) -> dict[str, Any]:
    log.info("unchanged model: %.4f nats per token on %d evaluation texts",
             evaluation.loss.sum() / evaluation.predicted.sum(), len(evaluation.predicted))  # fmt: skip
    counts = dict.fromkeys(("asked", "changed", "unchanged", "nonfinite", "unmatched"), 0)
    words = {"part": "unchanged", "metric": "", "mode": "", "kind": "", "name": "", "intervention": ""}
    return words | counts | {"k": None, "seed": None, "strength": None, "first_order": 0.0, "second_order": 0.0}


def _described(condition: Condition, done: Applied) -> dict[str, Any]:
    chosen = condition.chosen
    return {
        "part": condition.part, "metric": chosen.metric, "mode": chosen.mode, "kind": chosen.kind,
        "name": chosen.name, "k": chosen.k, "seed": chosen.seed, "intervention": condition.intervention,
        "strength": condition.strength, "asked": done.asked, "changed": done.changed, "unchanged": done.unchanged,
        "nonfinite": done.nonfinite, "unmatched": chosen.unmatched,
    }  # fmt: skip


def _measured(damage: Damage, evaluation: Evaluation) -> dict[str, Any]:
    finite = np.isfinite(damage.change)
    tokens = evaluation.predicted[finite].sum()
    loss = (evaluation.loss + damage.change)[finite].sum()
    with np.errstate(over="ignore"):
        perplexity = float(np.exp(loss / tokens)) if tokens else np.nan
    return {
        "perplexity": perplexity,
        "agreement": damage.agreed.sum() / evaluation.predicted.sum(),
        "kl": damage.divergence[finite].sum() / tokens if tokens else np.nan,
        "n_texts": len(finite),
        "n_tokens": evaluation.predicted.sum(),
        "nan_texts": damage.nan.sum(),
        "inf_texts": damage.inf.sum(),
        "collapsed_texts": damage.collapsed.sum(),
        "start": damage.start,
    }


def _by_text(damages: Sequence[Damage], evaluation: Evaluation) -> pd.DataFrame:
    texts = len(evaluation.predicted)
    return pd.DataFrame(
        {
            "condition": np.repeat(np.arange(len(damages)), texts),
            "text": np.tile(np.arange(texts), len(damages)),
            "predicted": np.tile(evaluation.predicted, len(damages)),
            "change": np.concatenate([damage.change for damage in damages]),
            "agreed": np.concatenate([damage.agreed for damage in damages]),
            "divergence": np.concatenate([damage.divergence for damage in damages]),
        }
    )


def _tell_outcomes(rows: Sequence[Mapping[str, Any]]) -> None:
    """Say how many weights a change could not reach, of all conditions together."""
    asked, unchanged = (sum(row[key] for row in rows) for key in ("asked", "unchanged"))
    if unchanged:
        log.info("%d of %d weights, over all conditions, stayed as they were: they had that value already, or the "
                 "stored format cannot hold the change", unchanged, asked)  # fmt: skip
