"""Iterative detection of super weights by their activation spikes (Yu et al. 2024, arXiv 2411.07191).

Each round runs a few texts forward and looks at the largest outputs of every block's ``down_proj``. Where one stands
far above the other blocks, its row and the column of the largest input at that token name a weight; it is set to zero
and the next round shows what it had hidden. All weights have their own bits again afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedModel

from ..log import logger, progress
from ..superweights.layers import down_projections
from ..superweights.rule import EARLY, LayerPeak, Spike, SpikeRule, judge
from .engine import Placed
from .loss import refuse_train_mode
from .peaks import Edit, start_passes
from .same_model import check_same_model, check_tokens

log = logger(__name__)


@dataclass(frozen=True)
class Detection:
    """What the rounds found.

    Attributes:
        spikes: by round (from 1) the spikes first seen in it; of class early those that were then set to zero.
        peaks: by round the largest activations of each block, before that round's weights were set to zero.
        complete: whether the last round saw no early spike any more; False where the rounds were used up.
        missing: by block why it is not looked at.
        n_texts: texts run.
        n_tokens: their tokens.

    """

    spikes: list[list[Spike]] = field(default_factory=list)
    peaks: list[list[LayerPeak]] = field(default_factory=list)
    complete: bool = True
    missing: dict[int, str] = field(default_factory=dict)
    n_texts: int = 0
    n_tokens: int = 0


def detect(
    model: PreTrainedModel,
    texts: Sequence[Sequence[int]],
    facts: Mapping[str, Any],
    rule: SpikeRule,
    rounds: int,
    placed: Placed | None = None,
) -> Detection:
    """Find the super weights of a model.

    A round takes the first block with an early spike, because what comes behind it may follow from it.

    Args:
        model: in eval mode; on the meta device where its weights are streamed.
        texts: token ids of each text.
        facts: the model's ``model.json``.
        rule: what a spike is.
        rounds: passes at most.
        placed: where the model lies; all in memory by default.

    Raises:
        ModelError: activations overflow, the model is not that of the facts, or cannot be run block by block though it
            has to be.
        TextError: it does not have every token of the texts.

    """
    refuse_train_mode(model)
    check_same_model(model, {tensor["name"]: tensor for tensor in facts["tensors"]})
    check_tokens(texts, facts)
    tensors, missing = down_projections(facts)
    for layer, why in missing.items():
        log.info("block %d is not looked at: %s", layer, why)
    if len(tensors) < 2:
        log.warning("super weights: not applicable: a spike is told by comparing blocks, and %d can be", len(tensors))
        return Detection(missing=missing)
    passes = start_passes(model, texts, tensors, placed or Placed())
    edits: list[Edit] = []
    seen: set[tuple[int, int, int]] = set()
    by_round: list[list[Spike]] = []
    peaks: list[list[LayerPeak]] = []
    early: list[Spike] = []
    for number in progress(range(1, rounds + 1), rounds, "super weights", "rounds"):
        peaks.append(passes.peaks(edits))
        spikes = judge(peaks[-1], facts["n_layers"], rule)
        early = [spike for spike in spikes if spike.kind == EARLY]
        early = [spike for spike in early if spike.layer == early[0].layer]
        new = early + [s for s in spikes if s.kind != EARLY and (s.layer, s.row, s.col) not in seen]
        seen |= {(spike.layer, spike.row, spike.col) for spike in new}
        by_round.append(new)
        for spike in new:
            log.info("round %d: %s spike: %s [%d, %d] = %.6g, input %.4g, output %.4g, %.1f x the median block",
                     number, spike.kind, spike.parameter, spike.row, spike.col, spike.weight, spike.input,
                     spike.output, spike.to_median)  # fmt: skip
        if not early:
            break
        edits += [Edit(tensors[spike.layer], spike.row, spike.col) for spike in early]
    if early:
        log.warning("all %d rounds found an early spike: there may be more (superweights: rounds)", rounds)
    n_tokens = sum(len(ids) for ids in texts)
    log.info("%d weights make early spikes; %d texts, %d tokens, %d rounds", len(edits), len(texts), n_tokens,
             len(peaks))  # fmt: skip
    return Detection(by_round, peaks, not early, missing, len(texts), n_tokens)
