"""What a backward pass leaves at each weight: inputs and output gradients of modules, caught by hooks.

Autograd's own weight gradients are switched off for the modules caught here; what they would have been is formed
from what is caught, text by text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..errors import ModelError
from .uses import Use

Sink = Callable[[Use, Tensor, Tensor], None]


class Capture:
    """Hooks that give each use's module input and output gradient to a sink, once a backward pass.

    A context manager: inside, the caught parameters have ``requires_grad`` off; after, also after an exception, hooks
    are gone and the flags are as they were.
    """

    def __init__(self, uses: Iterable[Use], sink: Sink) -> None:
        self._modules: dict[int, tuple[nn.Module, list[Use]]] = {}
        for use in uses:
            self._modules.setdefault(id(use.module), (use.module, []))[1].append(use)
        self._sink = sink
        self._handles: list[Any] = []
        self._flags: list[tuple[nn.Parameter, bool]] = []

    def __enter__(self) -> Self:
        """Put the hooks on and switch autograd's own gradients off."""
        for module, uses in self._modules.values():
            for use in uses:
                parameter = getattr(use.module, use.attribute)
                self._flags.append((parameter, parameter.requires_grad))
                parameter.requires_grad_(False)
            self._handles.append(module.register_forward_hook(self._hook(uses)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the hooks off and put the flags back."""
        for handle in self._handles:
            handle.remove()
        for parameter, flag in reversed(self._flags):
            parameter.requires_grad_(flag)

    def _hook(self, uses: list[Use]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]:
        def forward(_: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            if not torch.is_grad_enabled():
                return None
            x, version = arguments[0].detach(), arguments[0]._version
            replaced = None
            if not output.requires_grad:
                # The first weights of a model have no input that needs a gradient; their outputs must carry one.
                # Some models scale them in place, which no leaf allows: they are given a copy.
                output = output.detach().requires_grad_(True)
                replaced = output.clone()

            def backward(gradient: Tensor) -> None:
                if arguments[0]._version != version:
                    raise ModelError(f"the input of {uses[0].name} is changed in place after its use")
                for use in uses:
                    self._sink(use, x, gradient.detach())

            output.register_hook(backward)
            return replaced

        return forward
