"""The head in row chunks: loss, its gradient, and the head's own statistics, without all logits at once.

With ``z = f(x W^T + b)`` and targets y, the loss of a text is the sum over its predicted positions of
``logsumexp(z) - z_y``, and ``dL/dz = softmax(z) - onehot(y)``. One pass over the chunks of W gives the log-sum-exp, a
second one everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .batches import IGNORED, Batch


@dataclass(frozen=True)
class LogitShape:
    """What a model does to its logits, elementwise: ``z = cap * tanh(scale * raw / cap)``, or ``scale * raw``."""

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, raw: Tensor) -> Tensor:
        """Return z."""
        z = raw * self.scale if self.scale != 1.0 else raw
        return z if self.cap is None else torch.tanh(z / self.cap) * self.cap

    def derivative(self, z: Tensor) -> Tensor | float:
        """Return dz/draw, from z."""
        return self.scale if self.cap is None else self.scale * (1 - (z / self.cap).square())


@dataclass(frozen=True)
class Chunk:
    """Some rows of the head: their place, weights (rows, size) and bias, or None."""

    rows: slice
    weight: Tensor
    bias: Tensor | None


ReadChunk = Callable[[slice], Chunk]


@dataclass
class ChunkedHead:
    """The head over all batches; see the module's docstring.

    Attributes:
        batches: the texts.
        inputs: the head's input (texts, width, size) by batch.
        read: gives a chunk of the head.
        chunks: which rows go together.
        shape: what the model does to its logits.
        keep: whether the logits' gradients of all batches are kept rather than computed again (they fit).

    """

    batches: Sequence[Batch]
    inputs: Sequence[Tensor]
    read: ReadChunk
    chunks: Sequence[slice]
    shape: LogitShape
    keep: bool
    _lse: list[Tensor] = field(default_factory=list)
    _targets: list[Tensor] = field(default_factory=list)
    _kept: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def losses(self) -> float:
        """Run the first pass; return the sum of all texts' losses in nats."""
        self._targets = [batch.targets() for batch in self.batches]
        peak = [torch.full(t.shape, -torch.inf, device=t.device) for t in self._targets]
        total = [torch.zeros_like(p) for p in peak]
        chosen = [torch.zeros_like(p) for p in peak]
        if self.inputs[0].dtype == torch.float64:
            peak, total, chosen = ([v.double() for v in values] for values in (peak, total, chosen))
        for c, rows in enumerate(self.chunks):
            chunk = self.read(rows)
            for b, x in enumerate(self.inputs):
                z = self._logits(x, chunk)
                higher = torch.maximum(peak[b], z.amax(-1))
                total[b] = total[b] * (peak[b] - higher).exp() + (z - higher[..., None]).exp_().sum(-1)
                peak[b] = higher
                index, inside = self._inside(b, rows)
                chosen[b] += z.gather(-1, index[..., None])[..., 0] * inside
                if self.keep:
                    self._kept[c, b] = z
        self._lse = [p + t.log() for p, t in zip(peak, total, strict=True)]
        return sum(
            ((lse - z) * (targets != IGNORED)).sum().item()
            for lse, z, targets in zip(self._lse, chosen, self._targets, strict=True)
        )

    def gradients(self) -> Iterator[tuple[Chunk, list[Tensor]]]:
        """Yield each chunk with the gradients of its raw logits (texts, width, rows), by batch.

        Kept logits are turned into their gradients on the first call and given again on the next ones.
        """
        for c, rows in enumerate(self.chunks):
            chunk = self.read(rows)
            deltas = []
            for b, x in enumerate(self.inputs):
                delta = self._kept.get((c, b))
                if delta is None or (c, b) not in self._done:
                    delta = self._delta(b, rows, self._logits(x, chunk) if delta is None else delta)
                    if self.keep:
                        self._kept[c, b] = delta
                        self._done.add((c, b))
                deltas.append(delta)
            yield chunk, deltas

    def __post_init__(self) -> None:
        """Nothing has been turned into gradients yet."""
        self._done: set[tuple[int, int]] = set()

    def _logits(self, x: Tensor, chunk: Chunk) -> Tensor:
        raw = torch.nn.functional.linear(x, chunk.weight, chunk.bias)
        return self.shape(raw.to(torch.promote_types(raw.dtype, torch.float32)))

    def _inside(self, b: int, rows: slice) -> tuple[Tensor, Tensor]:
        """Return each target's place in the chunk, and whether it is there at all."""
        targets = self._targets[b]
        inside = (targets >= rows.start) & (targets < rows.stop)
        return torch.where(inside, targets - rows.start, 0), inside

    def _delta(self, b: int, rows: slice, z: Tensor) -> Tensor:
        index, inside = self._inside(b, rows)
        slope = self.shape.derivative(z)
        delta = (z - self._lse[b][..., None]).exp_()
        delta.scatter_add_(-1, index[..., None], -inside.to(delta.dtype)[..., None])
        delta *= slope
        delta *= (self._targets[b] != IGNORED)[..., None]
        return delta
