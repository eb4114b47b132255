"""Running sums over texts of what a weight's gradients are, one a statistic."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

GRADIENT_STATISTICS = ("grad", "grad_sq", "grad_abs", "grad_sq_token")


@dataclass
class Sums:
    """Running sums over texts for one parameter tensor, in its storage shape; only those that were asked for.

    ``grad``: sum g_s. ``grad_sq``: sum (g_s / T_s)^2. ``grad_abs``: sum abs(g_s) / T_s. ``grad_sq_token``: sum g_s^2.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def zeros(cls, shape: Sequence[int], wanted: Collection[str], dtype: torch.dtype, device: torch.device) -> Sums:
        """Return sums of nothing yet."""
        kept = [name for name in GRADIENT_STATISTICS if name in wanted]
        return cls({name: torch.zeros(tuple(shape), dtype=dtype, device=device) for name in kept})

    @property
    def dtype(self) -> torch.dtype:
        """The sums' dtype."""
        return next(iter(self.tensors.values())).dtype

    @property
    def per_text(self) -> bool:
        """Whether a statistic needs each text's own gradient."""
        return any(name != "grad" for name in self.tensors)

    def band(self, rows: slice) -> Sums:
        """Return the sums of some rows, sharing memory."""
        return Sums({name: total[rows] for name, total in self.tensors.items()})

    def add(self, gradient: Tensor, predicted: int) -> None:
        """Add one text's gradient; ``gradient`` is overwritten."""
        t = self.tensors
        if "grad" in t:
            t["grad"] += gradient
        if "grad_sq_token" in t:
            t["grad_sq_token"].addcmul_(gradient, gradient)
        if "grad_sq" in t:
            t["grad_sq"].addcmul_(gradient, gradient, value=1 / predicted**2)
        if "grad_abs" in t:
            t["grad_abs"].add_(gradient.abs_(), alpha=1 / predicted)

    def add_rows(self, gradient: Tensor, predicted: int, rows: Tensor) -> None:
        """Add one text's gradient of some rows, given by distinct indices; the other rows' are zero."""
        kept = Sums({name: total[rows] for name, total in self.tensors.items()})
        kept.add(gradient, predicted)
        for name, total in kept.tensors.items():
            self.tensors[name][rows] = total

    def add_tokens(self, ids: Tensor, delta: Tensor, lengths: Sequence[int], predicted: Sequence[int]) -> None:
        """Add the gradients of an embedding's rows: each token's output gradients, summed within a text.

        Args:
            ids: (texts, width) row of each token.
            delta: (texts, width, size) output gradients.
            lengths: real positions of each text.
            predicted: T_s of each text.

        """
        for s, t in enumerate(predicted):
            rows, gradient = token_gradients(ids[s, : lengths[s]], delta[s, : lengths[s]], self.dtype)
            self.add_rows(gradient, t, rows)

    def means(self, n_texts: int, n_predicted: int) -> dict[str, Tensor]:
        """Turn the sums, in place, into the statistics of :mod:`critical_weights.metrics.statistics`."""
        count = {"grad": n_predicted, "grad_sq": n_texts, "grad_abs": n_texts, "grad_sq_token": n_predicted}
        for name, total in self.tensors.items():
            total /= count[name]
        return self.tensors


def token_gradients(ids: Tensor, delta: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return one text's distinct tokens, ascending, and the gradient of the embedding's row of each."""
    rows, inverse = torch.unique(ids, return_inverse=True)
    if delta.device.type != "cpu":  # there index_add_ adds in another order each time
        member = inverse == torch.arange(len(rows), device=delta.device)[:, None]
        return rows, member.to(dtype) @ delta.to(dtype)
    gradient = torch.zeros(len(rows), delta.shape[-1], dtype=dtype, device=delta.device)
    gradient.index_add_(0, inverse, delta.to(dtype))
    return rows, gradient
