"""The resident engine: the whole model and its sums in memory, one ordinary forward and backward a batch.

What differs from plain autograd is only where weight gradients are formed: by hooks, text by text, from the inputs and
output gradients of each module (see :mod:`.accumulate`), so that a batch serves many texts and nothing is run twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from ..log import choice, logger, progress
from .batches import IGNORED, Batch, pack, turn_of
from .capture import Capture
from .experts import eager_experts
from .gradients import GradientSums
from .loss import accumulator_dtype, every_token_counts
from .processes import ALONE, Processes
from .seam import Summary, TensorStatistics
from .text_gradients import Texts
from .uses import find_uses, run_model

BATCH_TOKENS = 2048


class ResidentGradients:
    """One gradient pass; see :class:`critical_weights.scoring.seam.Run`.

    Args:
        model: in eval mode, gradients on.
        texts: token ids of each text, of all processes.
        wanted: statistics of the analysed tensors; of the others only ``grad`` is gathered, for the self-checks.
        analysed: the analysed tensors.
        batch_tokens: padded tokens a batch at most.
        processes: those that share the texts; only the first one's statistics are over all of them.
        by_text: whether to tell each text's own gradient of single weights.

    """

    def __init__(
        self,
        model: PreTrainedModel,
        texts: Sequence[Sequence[int]],
        wanted: Collection[str],
        analysed: Collection[str],
        batch_tokens: int = BATCH_TOKENS,
        processes: Processes = ALONE,
        *,
        by_text: bool = False,
    ) -> None:
        self.summary = Summary(n_texts=len(texts), n_predicted=sum(len(ids) - 1 for ids in texts))
        self._model = model
        self._processes = processes
        self._texts = processes.share(texts)
        self._parameters = dict(model.named_parameters())
        self._wanted = {name: wanted if name in analysed else ("grad",) for name in self._parameters}
        self._batch_tokens = batch_tokens
        self._by_text = Texts.of(texts, next(model.parameters()).device, processes) if by_text else None

    def __iter__(self) -> Iterator[TensorStatistics]:
        """Run every batch, then yield each tensor in the model's order."""
        first = next(iter(self._parameters.values()))
        dtype = accumulator_dtype(first.dtype)
        shortest = pack([min(self._texts, key=len)], 1, first.device)[0]
        uses, rest = find_uses(self._model, shortest)
        width = self._batch_tokens
        if rest:
            width = 1
            choice("texts a batch", 1, f"{len(rest)} tensors need each text's own backward pass, first {rest[0]}",
                   logger(__name__))  # fmt: skip
        batches = pack(self._texts, width, first.device, turn_of(self._model.config))
        gather = GradientSums(self._parameters, self._wanted, uses, dtype, self._by_text)
        losses = 0.0
        with Capture(uses, gather), every_token_counts(self._model), eager_experts(self._model):
            for batch in progress(batches, len(batches), "gradient pass", "batches"):
                gather.begin(batch)
                loss = batch_loss(run_model(self._model, batch), batch)
                losses += loss.item()
                loss.backward()
                for name in rest:
                    gather.add_plain(name, self._parameters[name].grad)
                    self._parameters[name].grad = None
        self.summary.corpus_loss = self._processes.total(losses) / self.summary.n_predicted
        for name, parameter in self._parameters.items():
            sums = gather.sums.pop(name)
            self._processes.join(sums.tensors.values())
            means = sums.means(self.summary.n_texts, self.summary.n_predicted)
            texts = gather.take_texts(name)
            yield TensorStatistics(name, parameter.detach().to(dtype), means, texts)
            if texts:
                texts.close()


def batch_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Return the sum over a batch's texts of L_s, float32 or wider."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), batch.targets().reshape(-1), ignore_index=IGNORED, reduction="sum"
    )
