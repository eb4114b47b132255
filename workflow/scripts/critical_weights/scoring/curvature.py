"""Hutchinson's estimate of the Hessian's diagonal: one Hessian-vector product over all parameters per probe."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..log import choice, logger, progress
from .loss import text_loss
from .probes import rademacher
from .processes import ALONE, Processes
from .running_mean import RunningMean

PROBE_BYTES = 2 << 30
"""Memory for the probes that are carried through one pass over the texts."""


class HessianDiagonal:
    """diag(H) of the mean loss per token by Rademacher probes (Bekas et al. 2007).

    For probe k: v_k * (H v_k), with H v_k the derivative of the gradient of the whole corpus loss along v_k. A text's
    graph is differentiated once and then used for every probe of the pass. Outside the probed tensors v is 0.
    """

    def __init__(
        self, model: nn.Module, probed: Collection[str], dtype: torch.dtype, *, seed: int, probes: int
    ) -> None:
        self._model = model
        self._names = [name for name, _ in model.named_parameters() if name in probed]
        self._parameters = [p for name, p in model.named_parameters() if name in probed]
        self._dtype = dtype
        self._seed = seed
        self._probes = probes
        self._means = {
            n: RunningMean(p.shape, dtype, p.device) for n, p in zip(self._names, self._parameters, strict=True)
        }

    def run(self, texts: Sequence[Tensor], predicted: int, processes: Processes = ALONE) -> float:
        """Add all texts' products for all probes; return the sum of this process's texts' losses in nats.

        Args:
            texts: (1, tokens) token ids of each text of this process.
            predicted: positions of the texts of all processes.
            processes: those that share the texts; only the first one's estimates are over all of them.

        """
        weights = sum(p.numel() for p in self._parameters)
        together = max(1, min(self._probes, PROBE_BYTES // (weights * self._dtype.itemsize * 2)))
        passes = -(-self._probes // together)
        choice("probes a pass", together, f"{self._probes} probes in {passes} passes", logger(__name__))
        losses = 0.0
        # Fused attention kernels have no second derivative; the plain formula has.
        with sdpa_kernel(SDPBackend.MATH):
            for start in range(0, self._probes, together):
                chunk = range(start, min(start + together, self._probes))
                what = f"curvature, pass {start // together + 1} of {passes}"
                losses = self._pass(texts, chunk, predicted, processes, what)
        return losses

    def _pass(self, texts: Sequence[Tensor], chunk: range, predicted: int, processes: Processes, what: str) -> float:
        device = self._parameters[0].device
        vectors = [
            torch.stack([rademacher(self._seed, k, n, p.shape, p.dtype, device) for k in chunk])
            for n, p in zip(self._names, self._parameters, strict=True)
        ]
        products = [torch.zeros_like(v, dtype=self._dtype) for v in vectors]
        losses = 0.0
        for ids in progress(texts, len(texts), what, "texts"):
            loss = text_loss(self._model, ids)
            losses += loss.item()
            gradients = torch.autograd.grad(loss, self._parameters, create_graph=True, materialize_grads=True)
            for product, hv in zip(products, self._second(gradients, vectors), strict=True):
                product += hv
        processes.join(products)
        for name, vector, product in zip(self._names, vectors, products, strict=True):
            self._means[name].add(vector.to(self._dtype) * product / predicted)
        return losses

    def _second(self, gradients: Sequence[Tensor], vectors: Sequence[Tensor]) -> list[Tensor]:
        """Return H_s v for each probe of the chunk, stacked."""
        kept = [(g, v) for g, v in zip(gradients, vectors, strict=True) if g.requires_grad]
        return list(
            torch.autograd.grad(
                [g for g, _ in kept],
                self._parameters,
                grad_outputs=[v for _, v in kept],
                is_grads_batched=True,
                materialize_grads=True,
            )
        )

    def result(self) -> dict[str, dict[str, Tensor]]:
        """Return, by tensor, the mean over the probes and its standard error (sample variance over n probes)."""
        return {name: mean.result() for name, mean in self._means.items()}
