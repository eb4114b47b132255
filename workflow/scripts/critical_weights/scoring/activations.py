"""Statistics of what weights multiply: the inputs of Linear, Conv1D and Embedding modules, over all real tokens."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


class InputStatistics:
    """Gathers ``input_abs`` and ``input_sq`` by hooks, text by text; a context manager that removes its hooks.

    An embedding's input is one-hot: its mean of abs(x_j) is token j's share of the tokens, and its sum over a text of
    x_tj^2 is the count of j. A tied tensor takes its embedding use.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._abs: dict[str, Tensor] = {}
        self._square: dict[str, Tensor] = {}
        self._axis: dict[str, int] = {}
        self._tokens = 0
        self._texts = 0
        self._owners = self._find_owners(model)
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    @staticmethod
    def _find_owners(model: nn.Module) -> dict[str, nn.Module]:
        modules = dict(model.named_modules())
        owners: dict[int, tuple[str, nn.Module]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            module = modules[name.rpartition(".")[0]]
            known = isinstance(module, (nn.Linear, Conv1D)) or type(module).forward is nn.Embedding.forward
            if parameter.dim() != 2 or not known:
                continue
            first_name, current = owners.get(id(parameter), (name, module))
            owners[id(parameter)] = (first_name, module if isinstance(module, nn.Embedding) else current)
        return dict(owners.values())

    def __enter__(self) -> Self:
        """Put the hooks on."""
        for name, module in self._owners.items():
            weight = module.weight
            self._axis[name] = 0 if isinstance(module, (Conv1D, nn.Embedding)) else 1
            size = weight.shape[self._axis[name]]
            self._abs[name] = torch.zeros(size, dtype=self._dtype, device=weight.device)
            self._square[name] = torch.zeros_like(self._abs[name])
            self._hooks.append(module.register_forward_pre_hook(self._hook(name, module)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the hooks off, also after an exception."""
        for hook in self._hooks:
            hook.remove()

    def _hook(self, name: str, module: nn.Module):  # noqa: ANN202 (the type of a forward-pre hook)
        embedding = isinstance(module, nn.Embedding)
        def observe(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            x = arguments[0].detach()
            if embedding:
                counts = torch.bincount(x.reshape(-1), minlength=len(self._abs[name])).to(self._dtype)
                self._abs[name] += counts
                self._square[name] += counts
            else:
                x = x.reshape(-1, x.shape[-1]).to(self._dtype)
                self._abs[name] += x.abs().sum(0)
                self._square[name] += x.square().sum(0)

        return observe

    def end_text(self, tokens: int) -> None:
        """Count one text and its tokens, the last one included."""
        self._texts += 1
        self._tokens += tokens

    def result(self) -> dict[str, dict[str, Tensor]]:
        """Return the statistics by tensor, shaped to broadcast along the weight's input axis."""

        def shaped(name: str, vector: Tensor) -> Tensor:
            return vector[:, None] if self._axis[name] == 0 else vector[None, :]

        return {
            name: {
                "input_abs": shaped(name, self._abs[name] / self._tokens),
                "input_sq": shaped(name, self._square[name] / self._texts),
            }
            for name in self._owners
        }
