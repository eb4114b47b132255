"""The plain engine: ordinary autograd, text by text. Exact and obvious; needs the whole model and its gradients.

Every statistic of a family comes out of one pass. Nothing depends on a text's neighbours, for there are none:
no padding, no batches.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..log import progress
from ..metrics import FAMILIES
from .activations import InputStatistics
from .curvature import HessianDiagonal
from .loss import accumulator_dtype, every_token_counts, refuse_train_mode, text_loss
from .processes import ALONE, Processes
from .seam import Summary, TensorStatistics


class PlainRun:
    """One pass of the plain engine; see :class:`critical_weights.scoring.seam.Run`."""

    def __init__(
        self,
        model: PreTrainedModel,
        texts: Sequence[Sequence[int]],
        family: str,
        *,
        seed: int,
        probes: int,
        probed: Collection[str],
        processes: Processes = ALONE,
    ) -> None:
        self.summary = Summary(n_texts=len(texts), n_predicted=sum(len(ids) - 1 for ids in texts))
        self._processes = processes
        self._model = model
        self._family = family
        self._seed = seed
        self._probes = probes
        self._probed = probed
        self._parameters = dict(model.named_parameters())
        first = next(iter(self._parameters.values()))
        own = processes.share(texts)
        self._texts = [torch.tensor([list(ids)], dtype=torch.long, device=first.device) for ids in own]
        self._dtype = accumulator_dtype(first.dtype)

    def __iter__(self) -> Iterator[TensorStatistics]:
        """Run the family's pass over every text, then yield each tensor in the model's order."""
        gather = {
            "static": dict,
            "forward": self._forward,
            "gradient": self._gradient,
            "curvature": self._curvature,
        }[self._family]
        with every_token_counts(self._model):
            statistics = gather()
        for name, parameter in self._parameters.items():
            own = statistics.pop(name, {})
            yield TensorStatistics(name, parameter.detach().to(self._dtype), own)

    def _seen(self, losses: float) -> None:
        self.summary.corpus_loss = self._processes.total(losses) / self.summary.n_predicted

    def _progress(self) -> Iterator[Tensor]:
        return progress(self._texts, len(self._texts), f"{self._family} pass", "texts")

    def _forward(self) -> dict[str, dict[str, Tensor]]:
        losses = 0.0
        with InputStatistics(self._model, self._dtype) as inputs, torch.no_grad():
            for ids in self._progress():
                losses += text_loss(self._model, ids).item()
                inputs.end_text()
        self._seen(losses)
        inputs.join(self._processes)
        gathered = inputs.result()
        self.summary.missing = {
            name: "no product of it with an input was seen" for name in self._parameters if name not in gathered
        }
        return gathered

    def _gradient(self) -> dict[str, dict[str, Tensor]]:
        names = ("grad", "grad_sq", "grad_abs", "grad_sq_token")
        sums = {
            name: {s: torch.zeros_like(p, dtype=self._dtype, requires_grad=False) for s in names}
            for name, p in self._parameters.items()
        }
        losses = 0.0
        for ids in self._progress():
            loss = text_loss(self._model, ids)
            losses += loss.item()
            gradients = torch.autograd.grad(loss, list(self._parameters.values()), allow_unused=True)
            predicted = ids.shape[1] - 1
            for own, gradient in zip(sums.values(), gradients, strict=True):
                if gradient is None:
                    continue
                gradient = gradient.to(self._dtype)
                square = gradient.square()
                own["grad"] += gradient
                own["grad_sq"].add_(square, alpha=1 / predicted**2)
                own["grad_abs"].add_(gradient.abs(), alpha=1 / predicted)
                own["grad_sq_token"] += square
        self._seen(losses)
        for own in sums.values():
            own["grad"] /= self.summary.n_predicted
            own["grad_sq"] /= self.summary.n_texts
            own["grad_abs"] /= self.summary.n_texts
            own["grad_sq_token"] /= self.summary.n_predicted
        return sums

    def _curvature(self) -> dict[str, dict[str, Tensor]]:
        estimate = HessianDiagonal(self._model, self._probed, self._dtype, seed=self._seed, probes=self._probes)
        losses = estimate.run(self._texts, self.summary.n_predicted, self._processes)
        self._seen(losses)
        gathered = estimate.result()
        self.summary.missing = {name: "no probe moves it" for name in self._parameters if name not in gathered}
        return gathered


def gather_plain(
    model: nn.Module,
    texts: Sequence[Sequence[int]],
    family: str,
    *,
    seed: int = 0,
    probes: int = 10,
    analysed: Collection[str] | None = None,
    processes: Processes = ALONE,
) -> PlainRun:
    """Start one pass of the plain engine.

    Args:
        model: a causal LM in eval mode, gradients on; its dtype and device are used.
        texts: token ids of each text, at least two each.
        family: one of :data:`critical_weights.metrics.FAMILIES`.
        seed: of the curvature probes.
        probes: number of curvature probes, at least two.
        analysed: the tensors that curvature probes move; by default those of two dimensions or more.
        processes: those that share the texts, for the families ``forward`` and ``curvature``; only the first one's
            statistics are over all of them.

    Raises:
        ValueError: the model is in train mode, or the family is unknown (mistakes in the calling code).

    """
    refuse_train_mode(model)
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family}")
    if analysed is None:
        analysed = {name for name, p in model.named_parameters() if p.dim() >= 2}
    return PlainRun(model, texts, family, seed=seed, probes=probes, probed=analysed, processes=processes)
