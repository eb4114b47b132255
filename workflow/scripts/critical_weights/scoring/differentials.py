"""Derivatives of a part of a network along the probes, and of its gradients (Pearlmutter 1994), by double backward.

With ``y = f(h, t)`` of hidden states h and parameters t, a direction ``(hdot, v)`` in both, and a loss whose gradient
with respect to y is a, itself changing by adot along the direction:

* forward: ``(g_h, g_t) = grad <u, y>`` is linear in u, and ``ydot = grad_u (<g_h, hdot> + <g_t, v>)``;
* backward: ``(g_h, g_t) = grad <a, y>``, and with ``psi = <g_h, hdot> + <g_t, v> + <adot, y>`` the change of these
  gradients along the direction is ``(grad_h psi, grad_t psi)``: the next adot, and this part of ``H v``.

Forward-mode differentiation would serve the former faster, but not for a model with autograd functions of its own
(BLOOM's GELU). Hidden states are (texts, width, size) by batch; what belongs to all probes is
(probes, texts, width, size) by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .directions import Directions
from .loss import accumulator_dtype

SHARED_BYTES = 2 << 30
"""Memory for the probes and products of a part that share one graph."""


@dataclass(frozen=True)
class Part:
    """A part of a model that runs by itself.

    Attributes:
        run: runs the part on a batch (its index) and its hidden states, or None where it has no such input.
        moved: the parameters that probes move, by name.

    """

    run: Callable[[int, Tensor | None], Tensor]
    moved: Mapping[str, nn.Parameter]

    def groups(self, probes: int) -> Iterator[range]:
        """Yield runs of probes that share one graph; each probe holds its signs and its products meanwhile."""
        each = sum(p.numel() * (p.element_size() + accumulator_dtype(p.dtype).itemsize) for p in self.moved.values())
        together = max(1, min(probes, SHARED_BYTES // max(each, 1)))
        for start in range(0, probes, together):
            yield range(start, min(start + together, probes))


def push(
    part: Part,
    directions: Directions,
    inputs: Sequence[Tensor | None],
    tangents: Sequence[Tensor | None],
) -> tuple[list[Tensor], list[Tensor]]:
    """Run a part forward on all batches, with its derivative along every probe.

    Args:
        part: of the model.
        directions: v.
        inputs: h; None where the part has none.
        tangents: hdot of all probes; None where the part has no h.

    Returns:
        y, and ydot of all probes, by batch.

    """
    outputs: list[Tensor] = []
    moved: list[Tensor] = []
    for group in part.groups(directions.probes):
        signs = {k: directions.of(part.moved, k) for k in group}
        for b, (hidden, tangent) in enumerate(zip(inputs, tangents, strict=True)):
            graph = _Graph(part, b, hidden)
            if group.start == 0:
                outputs.append(graph.output.detach())
                moved.append(outputs[b].new_empty((directions.probes, *outputs[b].shape)))
            for k in group:
                moved[b][k] = graph.forward(None if tangent is None else tangent[k], signs[k], last=k == group[-1])
            del graph
    return outputs, moved


def pull(
    part: Part,
    directions: Directions,
    inputs: Sequence[Tensor | None],
    tangents: Sequence[Tensor | None],
    adjoints: list[Tensor],
    changes: Sequence[Tensor],
) -> Iterator[tuple[int, list[Tensor]]]:
    """Go back through a part on all batches; yield each probe's estimates of the moved parameters' second derivatives.

    When all are taken, ``adjoints`` holds the gradients with respect to ``inputs``, and ``tangents`` has been
    overwritten with their changes along the probes.

    Args:
        part: of the model.
        directions: v.
        inputs: h; None where the part has none.
        tangents: hdot of all probes; None where the part has no h.
        adjoints: a.
        changes: adot of all probes.

    Yields:
        A probe, and ``v * (H v)`` of each moved parameter for the summed loss, as far as this part's uses of it go,
        in the accumulators' dtype.

    """
    gradients: list[Tensor | None] = []
    for group in part.groups(directions.probes):
        signs = {k: directions.of(part.moved, k) for k in group}
        products = {k: [torch.zeros_like(v, dtype=accumulator_dtype(v.dtype)) for v in signs[k]] for k in group}
        gradients = []
        for b, adjoint in enumerate(adjoints):
            graph = _Graph(part, b, inputs[b], adjoint)
            gradients.append(graph.gradient)
            for k in group:
                tangent = None if tangents[b] is None else tangents[b][k]
                change, found = graph.backward(tangent, signs[k], changes[b][k], last=k == group[-1])
                for total, product in zip(products[k], found, strict=True):
                    total += product
                del found
                if tangent is not None:
                    tangent.copy_(change)
            del graph
        for k in group:
            for total, v in zip(products[k], signs.pop(k), strict=True):
                total *= v
            yield k, products.pop(k)
    adjoints[:] = gradients


class _Graph:
    """The graph of a part's gradients on one batch; without an adjoint, of the gradients of ``<u, y>``.

    Attributes:
        output: y.
        gradient: g_h, or None where there is no h.

    """

    def __init__(self, part: Part, batch: int, hidden: Tensor | None, adjoint: Tensor | None = None) -> None:
        leaf = None if hidden is None else hidden.detach().requires_grad_(True)
        self._inputs = [*([] if leaf is None else [leaf]), *part.moved.values()]
        self.output = part.run(batch, leaf)
        self._weight = adjoint if adjoint is not None else torch.zeros_like(self.output).requires_grad_(True)
        self._gradients: tuple[Tensor, ...] = ()
        if self._inputs and self.output.requires_grad:
            self._gradients = torch.autograd.grad(
                self.output, self._inputs, self._weight, create_graph=True, materialize_grads=True
            )
        self.gradient = None if leaf is None else self._gradients[0].detach()

    def _moves(self, tangent: Tensor | None, signs: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return each gradient with the direction of what it belongs to, as far as it depends on anything."""
        moves = [*([] if tangent is None else [tangent]), *signs] if self._gradients else []
        return [(g, v) for g, v in zip(self._gradients, moves, strict=True) if g.requires_grad]

    def forward(self, tangent: Tensor | None, signs: Sequence[Tensor], *, last: bool) -> Tensor:
        """Return ydot from hdot and v; the ``last`` call frees the graph."""
        pairs = self._moves(tangent, signs)
        if not pairs:
            return torch.zeros_like(self._weight)
        (found,) = torch.autograd.grad(
            [g for g, _ in pairs], [self._weight], [v for _, v in pairs], retain_graph=not last, materialize_grads=True
        )
        return found

    def backward(
        self, tangent: Tensor | None, signs: Sequence[Tensor], change: Tensor, *, last: bool
    ) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        """Return the change of g_h, or None, and of each parameter's gradient; the ``last`` call frees the graph."""
        if not self._gradients:  # the part does not use what moves
            return None, tuple(torch.zeros_like(v) for v in signs)
        pairs = [*self._moves(tangent, signs), (self.output, change)]
        found = torch.autograd.grad(
            [g for g, _ in pairs], self._inputs, [v for _, v in pairs], retain_graph=not last, materialize_grads=True
        )
        return (None, found) if tangent is None else (found[0], found[1:])
