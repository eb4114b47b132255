"""How each parameter tensor is used, as far as that decides how its per-text gradients can be had."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, partial
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init
from torch.utils.hooks import RemovableHandle
from transformers.pytorch_utils import Conv1D

from .batches import Batch


@dataclass(frozen=True)
class Use:
    """One use of a parameter tensor by a module.

    Attributes:
        name: the tensor, as ``named_parameters()`` has it.
        module: the module that uses it.
        attribute: its name there.
        kind: ``linear`` or ``conv1d`` (a matrix), ``embedding``, ``bias`` (of the former two), or ``replay`` (vectors
            of a norm, whose gradient is had by running the norm alone once more).

    """

    name: str
    module: nn.Module
    attribute: str
    kind: str


def group_uses(model: nn.Module) -> dict[str, list[Use]]:
    """Return every use of every parameter tensor, by tensor name; a tied tensor has several."""
    modules = dict(model.named_modules())
    tensor_names = {id(p): n for n, p in model.named_parameters()}
    groups: dict[str, list[Use]] = {name: [] for name in tensor_names.values()}
    for path_name, parameter in model.named_parameters(remove_duplicate=False):
        path, _, attribute = path_name.rpartition(".")
        name = tensor_names[id(parameter)]
        groups[name].append(Use(name, modules[path], attribute, _kind(modules[path], attribute)))
    return groups


def can_be_caught(group: list[Use]) -> bool:
    """Return whether hooks can tell a tensor's per-text gradients, as far as the kinds of its uses say."""
    kinds = sorted(use.kind for use in group)
    return kinds == ["embedding", "linear"] or (len(kinds) == 1 and kinds != [""])


def embedding_scale(module: nn.Module) -> float:
    """Return the factor between a row of an embedding and its output (Gemma multiplies by the root of the size)."""
    scale = getattr(module, "embed_scale", 1.0)
    return float(scale.to(module.weight.dtype)) if isinstance(scale, Tensor) else float(scale)


class Observed:
    """Sees, while entered, which modules run once and on whole texts, (texts, width, ...): only those can be caught."""

    def __init__(self, modules: Iterable[nn.Module], batch: Batch) -> None:
        self._modules = {id(module): module for module in modules}
        self._shape = tuple(batch.ids.shape)
        self._seen: dict[int, list[bool]] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        """Put hooks on."""

        def observe(module: nn.Module, arguments: tuple[object, ...]) -> None:
            x = arguments[0] if len(arguments) == 1 else None
            whole = isinstance(x, Tensor) and tuple(x.shape[:2]) == self._shape
            self._seen.setdefault(id(module), []).append(whole)

        self._handles = [module.register_forward_pre_hook(observe) for module in self._modules.values()]
        return self

    def __exit__(self, *_: object) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()

    def plain(self, module: nn.Module) -> bool:
        """Whether the module ran exactly once, on whole texts."""
        return self._seen.get(id(module)) == [True]


def find_uses(model: nn.Module, batch: Batch) -> tuple[list[Use], list[str]]:
    """Sort a model's parameter tensors into those whose uses hooks can catch, and the rest.

    Args:
        model: in eval mode, its weights in memory.
        batch: a short text to try.

    Returns:
        All uses of the tensors that can be caught, and the names of the rest, for which plain autograd has to serve,
        text by text.

    """
    groups = group_uses(model)
    modules = [use.module for group in groups.values() for use in group]
    with torch.no_grad(), Observed(modules, batch) as observed:
        run_model(model, batch)
    caught = {n for n, group in groups.items() if can_be_caught(group) and all(observed.plain(u.module) for u in group)}
    return [use for n in groups if n in caught for use in groups[n]], [n for n in groups if n not in caught]


def _kind(module: nn.Module, attribute: str) -> str:
    """Return the kind of a use, or an empty word where hooks cannot tell a parameter's gradient."""
    if isinstance(module, nn.Linear) and is_linear(type(module)):
        return {"weight": "linear", "bias": "bias"}.get(attribute, "")
    if isinstance(module, Conv1D):
        return {"weight": "conv1d", "bias": "bias"}.get(attribute, "")
    if type(module).forward is nn.Embedding.forward or (
        isinstance(module, nn.Embedding) and hasattr(module, "embed_scale")
    ):
        return "embedding"
    leaf = not list(module.children())
    if leaf and "Norm" in type(module).__name__ and all(p.dim() == 1 for p in module.parameters()):
        return "replay"
    return ""


@cache
def is_linear(kind: type[nn.Linear]) -> bool:
    """Return whether a kind of Linear with a ``forward`` of its own does as ``nn.Linear``, tried on a small one.

    Outputs and gradients have to agree, with and without a bias; one that needs more than weight and bias does not.
    """
    if kind.forward is nn.Linear.forward:
        return True
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator, dtype=torch.float64)
    for bias in (True, False):
        small = skip_init(nn.Linear, 5, 3, bias=bias, dtype=torch.float64)  # draws no random number
        x, upstream = draw(2, 4, 5, requires_grad=True), draw(2, 4, 3)
        with torch.no_grad():
            for parameter in small.parameters():
                parameter.copy_(draw(parameter.shape))
        found = []
        with torch.enable_grad():
            for forward in (nn.Linear.forward, kind.forward):
                try:
                    y = forward(small, x)
                    found.append([y, *torch.autograd.grad(y, [x, *small.parameters()], upstream)])
                except Exception:  # whatever it is that a small Linear does not have
                    return False
        if not all(
            a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-12) for a, b in zip(*found, strict=True)
        ):
            return False
    return True


def run_model(model: nn.Module, batch: Batch) -> Tensor:
    """Return the logits of a batch, (texts, width, vocabulary).

    Learned positions are given one row a text, so that each text's gradient of them can be told apart; but to models
    that begin to count elsewhere than at 0 (RoBERTa and its kin, behind the id of padding), which do so by themselves.
    """
    tables = sum(isinstance(module, nn.Embedding) for module in model.modules())
    if tables > 1 and not any(hasattr(m, "create_position_ids_from_input_ids") for m in model.modules()):
        positions = torch.arange(batch.ids.shape[1], device=batch.ids.device).expand_as(batch.ids)
        return model(input_ids=batch.ids, position_ids=positions, use_cache=False).logits
    return model(input_ids=batch.ids, use_cache=False).logits
