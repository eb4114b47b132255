"""What a change does to the predictions: loss, agreement and divergence, text by text, against the unchanged model."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ModelError
from ..log import choice, logger
from ..scoring.batches import Batch, pack, turn_of
from .prefix import IDS, PrefixRuns

log = logger(__name__)

BATCH_TOKENS = {"cpu": 2048, "cuda": 16384}
LOGITS = 1 << 28
"""Logits of a batch at most; a longer text still makes one of its own."""
ROWS = 1 << 22
"""Logits that are compared at a time."""
NEAR = 0.5
"""Where no logit differs by more, the change of the loss is summed from the differences: no digits cancel."""
UNIFORM = 2.0
"""A prediction whose largest probability is below so many times 1 / vocabulary has collapsed to uniform."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Damage:
    """What one condition did; each array has one entry a text, in the given order of texts.

    Attributes:
        change: change of the summed negative log-likelihood, nats; not finite where the text's loss is not.
        agreed: predicted positions whose most likely token is the unchanged model's.
        divergence: sum over predicted positions of KL(unchanged || changed), nats; NaN where not measured.
        nan: whether the text has a NaN among its logits.
        inf: whether it has no NaN, but an infinite logit or loss.
        collapsed: whether more than half of its predictions are practically uniform.
        start: the first block that was run again; -1 for everything.

    """

    change: Floats
    agreed: NDArray[np.int64]
    divergence: Floats
    nan: NDArray[np.bool_]
    inf: NDArray[np.bool_]
    collapsed: NDArray[np.bool_]
    start: int


class Evaluation:
    """Measures damage on fixed texts; made with the unchanged model, whose predictions it keeps.

    Args:
        model: in eval mode, unchanged.
        texts: token ids of each text, at least two each.
        device: where the model lies.
        spare: bytes that may be kept: a third for inputs of blocks, a third for logits; the rest is for the runs.

    Attributes:
        texts: token ids of each text.
        predicted: T_s, predicted positions of each text.
        loss: L_s of the unchanged model, summed negative log-likelihood of each text, nats.

    """

    def __init__(self, model: nn.Module, texts: Sequence[Sequence[int]], device: torch.device, spare: int) -> None:
        self.texts = texts
        self._model = model
        vocabulary = model.get_output_embeddings().weight.shape[0]
        most = max(1, min(BATCH_TOKENS.get(device.type, 2048), LOGITS // vocabulary))
        self._batches = pack(texts, most, device, turn_of(model.config))
        self.predicted = np.array([len(ids) - 1 for ids in texts], np.int64)
        self.loss = np.zeros(len(texts))
        wide = torch.promote_types(next(model.parameters()).dtype, torch.float32).itemsize
        needed = int(self.predicted.sum()) * vocabulary * wide
        self._keeps_logits = needed <= spare // 3
        kept = "kept" if self._keeps_logits else "not kept, so that there is no KL divergence"
        choice("logits of the unchanged model", kept,
               f"{needed / 1e6:.0f} MB, {spare / 3e6:.0f} MB may be taken", log)  # fmt: skip
        with torch.no_grad():
            self._runs = PrefixRuns(model, self._batches, spare // 3)
            self._base = [self._baseline(number, batch) for number, batch in enumerate(self._batches)]

    def _baseline(self, number: int, batch: Batch) -> list[dict[str, Tensor]]:
        """Return what is kept of the unchanged model's predictions of one batch, a dict a text."""
        kept = []
        for place, logits, targets in _by_text(self._runs.logits(number, IDS), batch):
            at_target = logits.gather(1, targets[:, None])[:, 0]
            total = logits.logsumexp(1)
            self.loss[place] = float((total - at_target).double().sum())
            own = {"top": logits.argmax(1), "target": targets, "at_target": at_target, "total": total}
            kept.append(own | ({"logits": logits.clone()} if self._keeps_logits else {}))
        if not np.isfinite(self.loss[list(batch.places)]).all():
            raise ModelError("the unchanged model has no finite loss on every evaluation text",
                             fix="In float16 numbers above 65504 overflow: use float32 or bfloat16")  # fmt: skip
        return kept

    @torch.no_grad()
    def measure(self, names: Collection[str]) -> Damage:
        """Run the model as it is now and compare it with what it was.

        Args:
            names: every tensor that is changed.

        """
        start = self._runs.start_of(names)
        n = len(self.texts)
        found = Damage(np.zeros(n), np.zeros(n, np.int64), np.zeros(n), *(np.zeros(n, bool) for _ in range(3)), start)
        for number, batch in enumerate(self._batches):
            texts = _by_text(self._runs.logits(number, start), batch)
            for (place, logits, _), base in zip(texts, self._base[number], strict=True):
                _compare(found, place, logits, base)
        return found


def _by_text(logits: Tensor, batch: Batch) -> list[tuple[int, Tensor, Tensor]]:
    """Return place, logits (T_s, vocabulary) and targets (T_s,) of each text, padding and last positions left out."""
    wide = torch.promote_types(logits.dtype, torch.float32)
    return [
        (place, logits[row, :predicted].to(wide), batch.ids[row, 1 : predicted + 1])
        for row, (place, predicted) in enumerate(zip(batch.places, batch.predicted, strict=True))
    ]


def _compare(found: Damage, place: int, logits: Tensor, base: dict[str, Tensor]) -> None:
    """Add one text's figures, a few rows at a time."""
    rows = max(1, ROWS // logits.shape[1])
    uniform = 0
    for at in range(0, len(logits), rows):
        part = slice(at, at + rows)
        own = logits[part]
        best, top = own.max(1)
        total = own.logsumexp(1)
        change, divergence = _changes(own, total, {key: value[part] for key, value in base.items()})
        found.change[place] += float(change.double().sum())
        found.divergence[place] += float(divergence.double().sum())
        found.agreed[place] += int((top == base["top"][part]).sum())
        # A largest probability of p: best - total = log p.
        uniform += int((best - total < math.log(UNIFORM / own.shape[1])).sum())
        # The sum of all numbers is NaN or infinite if one is; two infinities of different sign make a NaN: look then.
        if not torch.isfinite(total).all() or not math.isfinite(float(own.sum())):
            found.nan[place] |= bool(own.isnan().any())
            found.inf[place] |= bool(own.isinf().any())
    found.collapsed[place] = uniform > len(logits) / 2
    found.inf[place] = (found.inf[place] or math.isinf(found.change[place])) and not found.nan[place]


def _changes(own: Tensor, total: Tensor, base: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the change of the negative log-likelihood and KL(unchanged || changed) of each position.

    With d the difference of the logits and p the unchanged probabilities, log Z' - log Z = log E_p[e^d], the change is
    that minus d of the target, and the divergence that minus E_p[d]. Near 0 the first form of log E_p[e^d] is used,
    log(1 + E_p[e^d - 1]), which keeps changes far below the rounding of the losses themselves.
    """
    at_target = own.gather(1, base["target"][:, None])[:, 0]
    if "logits" not in base:
        return (total - base["total"]) - (at_target - base["at_target"]), torch.full_like(total, math.nan)
    difference = own - base["logits"]
    p = (base["logits"] - base["total"][:, None]).exp_()
    near = difference.abs().amax(1) <= NEAR
    grown = total - base["total"]
    if near.any():
        small = torch.log1p((p * torch.expm1(difference)).sum(1))
        grown = torch.where(near, small, grown)
    divergence = grown - (p * difference).sum(1)
    return grown - (at_target - base["at_target"]), divergence.clamp(min=0)
