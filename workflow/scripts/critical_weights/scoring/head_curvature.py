"""The head's part of Hessian-vector products, in row chunks and in closed form: no graph, never all logits at once.

With ``raw = x W^T + b``, ``z = s(raw)`` and ``p = softmax(z)``, the gradient with respect to z is
``p - onehot(target)``. Along a direction ``(xdot, V, vb)``::

    rawdot = xdot W^T + x V^T + vb          zdot = s'(raw) rawdot        m = <p, zdot>
    delta = s'(raw) (p - onehot)            deltadot = s''(raw) rawdot (p - onehot) + s'(raw) p (zdot - m)
    a = delta W                             adot = deltadot W + delta V
    (H v)_W = deltadot^T x + delta^T xdot   (H v)_b = sum of deltadot over positions

One sweep over the chunks of W gives the log-sum-exp and m, a second one the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import linear

from .head import Chunk, LogitShape, ReadChunk
from .loss import accumulator_dtype
from .processes import ALONE, Processes
from .running_mean import RunningMean

Direction = tuple[Tensor | None, Tensor | None]
"""V and vb of some rows of the head; None for what does not move."""
AddRows = Callable[[int, slice, Tensor], None]
"""Adds another use's ``v * (H v)`` to that of some rows of the head: (probe, rows, estimate)."""


@dataclass(frozen=True)
class Adjoints:
    """The gradient with respect to the head's input and its change along each probe, sums in the accumulators' dtype.

    Attributes:
        first: a by batch, (positions, size).
        second: adot by batch, (probes, positions, size).

    """

    first: list[Tensor]
    second: list[Tensor]


@dataclass(frozen=True)
class HeadPart:
    """Some rows of the head with their estimates; None for what no probe moves."""

    chunk: Chunk
    weight: RunningMean | None
    bias: RunningMean | None


@dataclass
class HeadCurvature:
    """The head over all batches and probes; see the module's docstring.

    Attributes:
        inputs: x by batch, (positions, size): predicted positions only, the others have no gradient.
        tangents: xdot by batch, (probes, positions, size).
        targets: next token of each position, by batch.
        read: gives a chunk of the head.
        direction: gives V and vb of (probe, rows).
        chunks: which rows go together.
        shape: what the model does to its logits.
        keep: whether logits are kept from one sweep to the next rather than computed again (they fit).
        predicted: positions of the texts of all processes.
        processes: those that share the texts; only the first one's estimates are over all of them.

    """

    inputs: Sequence[Tensor]
    tangents: Sequence[Tensor]
    targets: Sequence[Tensor]
    read: ReadChunk
    direction: Callable[[int, slice], Direction]
    chunks: Sequence[slice]
    shape: LogitShape
    keep: bool
    predicted: int
    processes: Processes = ALONE
    _lse: list[Tensor] = field(default_factory=list)
    _moved: list[Tensor] = field(default_factory=list)
    _kept: dict[int, list[Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Learn what follows from the inputs."""
        self._probes = len(self.tangents[0])
        self._dtype = accumulator_dtype(self.inputs[0].dtype)

    def losses(self) -> float:
        """Run the first sweep; return the sum of this process's texts' losses in nats."""
        peak = [x.new_full((len(x),), -torch.inf, dtype=self._dtype) for x in self.inputs]
        total, chosen = ([torch.zeros_like(p) for p in peak] for _ in range(2))
        moved = [x.new_zeros((self._probes, len(x)), dtype=self._dtype) for x in self.inputs]
        for chunk, logits in self._logits():
            for b, z in enumerate(logits):
                higher = torch.maximum(peak[b], z.amax(-1))
                shrink = (peak[b] - higher).exp()
                total[b] = total[b] * shrink + (z - higher[:, None]).exp_().sum(-1)
                moved[b] *= shrink
                peak[b] = higher
                place, inside = self._place(b, chunk.rows)
                chosen[b] += z.gather(-1, place)[:, 0] * inside
            for k in range(self._probes):
                direction = self.direction(k, chunk.rows)
                for b, z in enumerate(logits):
                    zdot = self._tangent(b, k, chunk, direction) * self.shape.derivative(z)
                    moved[b][k] += ((z - peak[b][:, None]).exp_() * zdot).sum(-1)
        self._lse = [p + t.log() for p, t in zip(peak, total, strict=True)]
        self._moved = [m / t for m, t in zip(moved, total, strict=True)]
        return sum((lse - z).sum().item() for lse, z in zip(self._lse, chosen, strict=True))

    def adjoints(self) -> Adjoints:
        """Return sums of nothing yet, for :meth:`sweep` to add to."""
        first = [torch.zeros_like(x, dtype=self._dtype) for x in self.inputs]
        return Adjoints(first, [torch.zeros_like(x, dtype=self._dtype) for x in self.tangents])

    def sweep(
        self, adjoints: Adjoints | None, *, products: bool, add_rows: AddRows | None = None
    ) -> Iterator[HeadPart]:
        """Go over the chunks once more; yield each with the estimates of its rows.

        Args:
            adjoints: where the head's input gradients are added up; None where that is done already.
            products: whether the head's own products are formed.
            add_rows: adds what a tied embedding has.

        """
        for chunk, logits in self._logits():
            weight = bias = None
            for k in range(self._probes):
                v, vb = self.direction(k, chunk.rows)
                total = torch.zeros_like(chunk.weight, dtype=self._dtype) if products and v is not None else None
                total_bias = chunk.weight.new_zeros(len(chunk.weight), dtype=self._dtype)
                for b, z in enumerate(logits):
                    delta, change = self._gradients(b, k, z, chunk, (v, vb))
                    total_bias += change.sum(0)
                    x = self.inputs[b]
                    delta, change = delta.to(x.dtype), change.to(x.dtype)
                    if adjoints:
                        if k == 0:
                            adjoints.first[b] += delta @ chunk.weight
                        adjoints.second[b][k] += change @ chunk.weight
                        if v is not None:
                            adjoints.second[b][k] += delta @ v
                    if total is not None:
                        total += change.T @ x
                        total += delta.T @ self.tangents[b][k]
                if total is not None:
                    self.processes.join([total])
                    total *= v
                    if add_rows:
                        add_rows(k, chunk.rows, total)
                    weight = self._add(weight, total)
                if products and vb is not None:
                    self.processes.join([total_bias])
                    bias = self._add(bias, total_bias.mul_(vb))
            yield HeadPart(chunk, weight, bias)

    def _add(self, mean: RunningMean | None, estimate: Tensor) -> RunningMean:
        mean = mean or RunningMean(estimate.shape, estimate.dtype, estimate.device)
        mean.add(estimate.div_(self.predicted)[None])
        return mean

    def _logits(self) -> Iterator[tuple[Chunk, list[Tensor]]]:
        """Yield each chunk with its logits (positions, rows) by batch."""
        for c, rows in enumerate(self.chunks):
            chunk = self.read(rows)
            logits = self._kept.get(c)
            if logits is None:
                logits = [self.shape(linear(x, chunk.weight, chunk.bias).to(self._dtype)) for x in self.inputs]
                if self.keep:
                    self._kept[c] = logits
            yield chunk, logits

    def _place(self, b: int, rows: slice) -> tuple[Tensor, Tensor]:
        """Return each target's place in the chunk, (positions, 1), and whether it is there at all, (positions,)."""
        targets = self.targets[b]
        inside = (targets >= rows.start) & (targets < rows.stop)
        return torch.where(inside, targets - rows.start, 0)[:, None], inside

    def _tangent(self, b: int, k: int, chunk: Chunk, direction: Direction) -> Tensor:
        """Return rawdot (positions, rows)."""
        v, vb = direction
        moved = linear(self.tangents[b][k], chunk.weight, vb).to(self._dtype)
        return moved if v is None else moved.add_(linear(self.inputs[b], v))

    def _gradients(self, b: int, k: int, z: Tensor, chunk: Chunk, direction: Direction) -> tuple[Tensor, Tensor]:
        """Return delta and deltadot, (positions, rows)."""
        raw = self._tangent(b, k, chunk, direction)
        slope = self.shape.derivative(z)
        delta = (z - self._lse[b][:, None]).exp_()
        change = (raw * slope).sub_(self._moved[b][k][:, None]).mul_(delta).mul_(slope)
        place, inside = self._place(b, chunk.rows)
        delta.scatter_add_(-1, place, -inside.to(delta.dtype)[:, None])
        if self.shape.cap is not None:  # s'' = -2 scale / cap * tanh * s', with tanh = z / cap
            change += raw * delta * slope * z * (-2 * self.shape.scale / self.shape.cap**2)
        return delta * slope, change
