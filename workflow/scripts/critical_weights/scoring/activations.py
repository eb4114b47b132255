"""Statistics of what weights multiply: the inputs of every matrix product with a weight, over all real tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .experts import eager_experts
from .processes import Processes

WITHOUT_FIRST = "_without_first"
"""End of the names of those statistics that leave the first position of every text out."""

_MATMUL = (torch.matmul, Tensor.matmul, Tensor.__matmul__)


class InputStatistics(TorchFunctionMode):
    """Gathers ``input_abs`` and ``input_sq`` while it is entered, text by text.

    It sees the functions by which models multiply by weights: ``linear`` (y = x W^T), ``addmm`` (Conv1D, y = x W),
    ``matmul`` with a weight or its transpose, and ``embedding``. An embedding's input is one-hot: its mean of abs(x_j)
    is token j's share of the tokens, its sum over a text of x_tj^2 the count of j. A tied tensor takes its embedding
    use. Of a 3-D tensor each expert has its own input; its mean is over the tokens routed to that expert, and an expert
    that saw none has 0.

    Beside each statistic stands the one without the first position of every text, its name ending in
    :data:`WITHOUT_FIRST`; not for experts, which are not told the positions of their tokens.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self._parameters = {id(p): (name, p) for name, p in model.named_parameters()}
        self._model = model
        self._dtype = dtype
        self._axis: dict[str, int] = {}
        self._abs: dict[str, Tensor] = {}
        self._square: dict[str, Tensor] = {}
        self._rows: dict[str, Tensor] = {}
        self._first: dict[str, tuple[Tensor, Tensor]] = {}
        self._embeddings: set[str] = set()
        self._texts = 0

    def __enter__(self) -> Self:
        """Start seeing; experts run one by one, so that each one's product can be told apart."""
        self._experts = eager_experts(self._model)
        self._experts.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        """Stop seeing."""
        super().__exit__(*error)
        self._experts.__exit__(*error)

    def __torch_function__(
        self, function: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Pass a call on, after adding its input to the statistics where it multiplies by a weight."""
        if function is functional.linear:
            self._see(args[0], args[1], axis=-1)
        elif function is torch.addmm:
            self._see(args[1], args[2], axis=-2)
        elif function in _MATMUL and isinstance(args[1], Tensor):
            transposed = args[1].dim() == 2 and args[1].stride(0) < args[1].stride(1)
            self._see(args[0], args[1], axis=-1 if transposed else -2)
        elif function is functional.embedding:
            self._see_tokens(args[0], args[1])
        return function(*args, **(kwargs or {}))

    def _named(self, weight: Tensor) -> tuple[str, Tensor, int | None] | None:
        """Return the parameter that a factor is, or is a slice of, with the slice's index."""
        if id(weight) in self._parameters:
            return (*self._parameters[id(weight)], None)
        whole = self._parameters.get(id(weight._base))
        if whole is None or weight.dim() != 2:
            return None
        if whole[1].dim() == 2:
            return (*whole, None) if weight.numel() == whole[1].numel() else None
        return (*whole, weight.storage_offset() // whole[1].stride(0))

    @torch.no_grad()
    def _see(self, x: Tensor, weight: Tensor, axis: int) -> None:
        found = self._named(weight)
        if found is None or found[0] in self._embeddings:
            return
        name, parameter, expert = found
        x = x.detach().reshape(-1, x.shape[-1]).to(self._dtype)
        if expert is not None:
            self._add(name, parameter, axis, expert, x.abs().sum(0), x.square().sum(0), len(x))
            return
        # Position 0 is summed apart: its activations can be so large that taking them away again leaves rounding.
        rest = x[1:]
        self._add(name, parameter, axis, None, rest.abs().sum(0), rest.square().sum(0), len(rest))
        self._add_first(name, x[0].abs(), x[0].square())

    def _see_tokens(self, ids: Tensor, weight: Tensor) -> None:
        found = self._named(weight)
        if found is None:
            return
        name, parameter, _ = found
        if name not in self._embeddings:  # of a tied tensor forget the head's use
            self._embeddings.add(name)
            self._abs.pop(name, None)
            self._first.pop(name, None)
        flat = ids.reshape(-1)
        counts, first = (
            torch.bincount(part, minlength=parameter.shape[0]).to(self._dtype) for part in (flat[1:], flat[:1])
        )
        self._add(name, parameter, -2, None, counts, counts, len(flat) - 1)
        self._add_first(name, first, first)

    def _add(
        self, name: str, weight: Tensor, axis: int, expert: int | None, total: Tensor, square: Tensor, rows: int
    ) -> None:
        if name not in self._abs:
            shape = (weight.shape[0], weight.shape[axis]) if weight.dim() == 3 else (1, weight.shape[axis])
            self._axis[name] = axis
            self._abs[name] = torch.zeros(shape, dtype=self._dtype, device=weight.device)
            self._square[name] = torch.zeros_like(self._abs[name])
            self._rows[name] = torch.zeros(shape[0], dtype=self._dtype, device=weight.device)
        slot = expert or 0
        self._abs[name][slot] += total
        self._square[name][slot] += square
        self._rows[name][slot] += rows

    def _add_first(self, name: str, total: Tensor, square: Tensor) -> None:
        if name not in self._first:
            self._first[name] = (torch.zeros_like(total), torch.zeros_like(square), total.new_zeros(1))
        for own, more in zip(self._first[name], (total, square, 1), strict=True):
            own.add_(more)  # a weight that is used twice a text has two first positions

    def end_text(self) -> None:
        """Count one text."""
        self._texts += 1

    def join(self, processes: Processes, names: Iterable[str] | None = None) -> None:
        """Add everything up over processes, in the first one; where ``names`` are given, of these tensors only."""
        for name in sorted(self._abs if names is None else set(names) & set(self._abs)):
            processes.join([self._abs[name], self._square[name], self._rows[name], *self._first.get(name, ())])
        self._texts = int(processes.total(self._texts))

    def result(self) -> dict[str, dict[str, Tensor]]:
        """Return the statistics by tensor, shaped to broadcast along the weight's input axis."""

        def shaped(name: str, value: Tensor) -> Tensor:
            value = value[:, None, :] if self._axis[name] == -1 else value[:, :, None]
            return value if len(self._abs[name]) > 1 else value[0]

        found: dict[str, dict[str, Tensor]] = {}
        for name, rest in self._abs.items():
            total, square, rows = rest, self._square[name], self._rows[name]
            own = found[name] = {}
            if name in self._first:
                own |= {
                    "input_abs" + WITHOUT_FIRST: shaped(name, rest / rows.clamp(min=1)[:, None]),
                    "input_sq" + WITHOUT_FIRST: shaped(name, square / self._texts),
                }
                first = self._first[name]
                total, square, rows = rest + first[0], square + first[1], rows + first[2]
            own |= {
                "input_abs": shaped(name, total / rows.clamp(min=1)[:, None]),
                "input_sq": shaped(name, square / self._texts),
            }
        return found
