"""Selected weights changed in place for a while: counted, checked, and put back bit by bit, whatever happens inside.

Only the selected entries are saved, never the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ConfigError, ModelError, RankingError, near_names
from . import Intervention, Setting, find_intervention

_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
FORMATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
"""What weights may be stored and held in."""

Places = Mapping[str, NDArray[np.int64]]
"""Selected weights: tensor name -> flat indices in storage order."""


@dataclass(frozen=True)
class Applied:
    """What an intervention did; all numbers count weights.

    Attributes:
        asked: selected.
        changed: with other bits than before.
        unchanged: left as they were: zero was set to zero, or the stored format's rounding swallowed the change.
        nonfinite: that became infinite or NaN.
        before: of each tensor, the values as they were, in the order of the given indices.
        after: of each tensor, the values as they are now, likewise.

    """

    asked: int
    changed: int
    unchanged: int
    nonfinite: int
    before: dict[str, Tensor]
    after: dict[str, Tensor]

    @cached_property
    def change(self) -> dict[str, Tensor]:
        """Of each tensor, new minus old value (float64), in the order of the given indices."""
        return {name: new.double() - self.before[name].double() for name, new in self.after.items()}


@contextmanager
def applied(
    model: nn.Module,
    places: Places,
    intervention: str | Intervention,
    strength: float | None = None,
    *,
    seed: int = 0,
    stored: torch.dtype | None = None,
) -> Iterator[Applied]:
    """Change the selected weights inside the block; afterwards every bit of them is as it was.

    New values are computed in float32 (float64 of a float64 model) and rounded to the stored format, so that nothing is
    measured that the checkpoint could not hold. A change of bits works on the stored format itself.

    Args:
        model: its parameters are changed in place; a tied tensor goes by its first name.
        places: tensor name -> flat indices in storage order, each once.
        intervention: one of :data:`critical_weights.interventions.INTERVENTIONS`, or its name.
        strength: see there; None for its default.
        seed: of random changes; they follow from it and the tensor's name.
        stored: the checkpoint's format; None for the parameter's own.

    Yields:
        The counts.

    Raises:
        ConfigError: the intervention or its strength is wrong, or the model holds other values than the format can.
        ModelError: a tensor is of no plain floating format (quantised).
        RankingError: a tensor is unknown, an index is out of range or named twice.

    """
    chosen = find_intervention(intervention) if isinstance(intervention, str) else intervention
    strength = chosen.check_strength(strength)
    parameters = check_places(model, places)
    if stored is not None and stored not in FORMATS:
        raise ModelError(f"weights stored as {_name(stored)} cannot be changed one by one", expected="a float format")
    saved: list[tuple[Tensor, tuple[Tensor, ...], Tensor]] = []
    counts = {"asked": 0, "changed": 0, "unchanged": 0, "nonfinite": 0}
    before: dict[str, Tensor] = {}
    after: dict[str, Tensor] = {}
    try:
        for name, flat in places.items():
            tensor = parameters[name].detach()
            at = _indices(tensor, flat)
            old = tensor[at]
            own = stored or tensor.dtype
            new = _new_values(chosen, old, Setting(strength, tensor, own, _generator(seed, name)), name)
            saved.append((tensor, at, old))
            tensor[at] = new
            counts = _counted(counts, bits(old), bits(new), bits(tensor[at]), new, name)
            before[name], after[name] = old, new
        yield Applied(**counts, before=before, after=after)
    finally:
        for tensor, at, old in reversed(saved):
            tensor[at] = old


def bits(values: Tensor) -> Tensor:
    """Return values as whole numbers of their width: NaN and the two zeros compare like others."""
    return values.contiguous().view(_WORDS[values.dtype.itemsize])


def check_places(model: nn.Module, places: Places) -> dict[str, nn.Parameter]:
    """Check that every selected weight is there, once, in a plain floating tensor; return the named tensors.

    Raises:
        ModelError: a tensor is of no plain floating format.
        RankingError: a tensor is unknown or goes by another name, an index is out of range or named twice.

    """
    parameters = dict(model.named_parameters())
    for name, flat in places.items():
        if name not in parameters:
            every = dict(model.named_parameters(remove_duplicate=False))
            tied = [first for first, own in parameters.items() if own is every.get(name)]
            fix = f"It is tied to {tied[0]}: use that name" if tied else "The selection is of another model"
            raise RankingError(f"the model has no tensor {name}", near=near_names(name, parameters), fix=fix)
        tensor = parameters[name]
        if tensor.dtype not in FORMATS:
            raise ModelError(f"{name} holds {_name(tensor.dtype)} numbers: a quantised weight cannot be changed alone",
                             fix="Use the unquantised checkpoint")  # fmt: skip
        if tensor.is_meta:
            raise ModelError(f"the weights of {name} are not in memory",
                             fix="Interventions need a placement that holds the model (resident, blocks)")  # fmt: skip
        outside = (flat < 0) | (flat >= tensor.numel())
        if outside.any():
            raise RankingError(f"{int(outside.sum())} selected weights lie outside {name}", got=int(flat[outside][0]),
                               expected=f"flat indices from 0 to {tensor.numel() - 1}, shape {tuple(tensor.shape)}",
                               fix="The selection is of another model")  # fmt: skip
        if len(np.unique(flat)) < len(flat):
            raise RankingError(f"the selection names a weight of {name} twice")
    return parameters


def _new_values(chosen: Intervention, old: Tensor, setting: Setting, name: str) -> Tensor:
    """Return what the selected entries become, in the model's dtype."""
    stored = setting.stored
    if chosen.of_bits:
        held = old.to(stored)
        if not torch.equal(bits(held.to(old.dtype)), bits(old)):
            raise ConfigError(f"the model holds {name} as {_name(old.dtype)}, its checkpoint as {_name(stored)}, and "
                              "not every value fits both: no bit of the stored format can be turned over",
                              fix=f"Load the model as {_name(stored)}")  # fmt: skip
        return chosen.change(held, setting).to(old.dtype)
    wide = old.to(torch.promote_types(old.dtype, torch.float32))
    return chosen.change(wide, setting).to(stored).to(old.dtype)


def _counted(
    counts: dict[str, int], old: Tensor, new: Tensor, there: Tensor, values: Tensor, name: str
) -> dict[str, int]:
    """Add one tensor's counts, after a look at what now stands in the model.

    Raises:
        RuntimeError: the model does not hold what was written (a mistake in the code).

    """
    changed, unchanged = int((there != old).sum()), int((new == old).sum())
    if changed + unchanged != len(old) or not torch.equal(there, new):
        raise RuntimeError(f"{changed} weights of {name} changed, {len(old) - unchanged} were to")
    nonfinite = len(values) - int(torch.isfinite(values).sum())
    own: dict[str, Any] = {"asked": len(old), "changed": changed, "unchanged": unchanged, "nonfinite": nonfinite}
    return {key: counts[key] + own[key] for key in counts}


def _indices(tensor: Tensor, flat: NDArray[np.int64]) -> tuple[Tensor, ...]:
    places = torch.from_numpy(np.ascontiguousarray(flat, np.int64)).to(tensor.device)
    return torch.unravel_index(places, tensor.shape)


def _generator(seed: int, name: str) -> torch.Generator:
    digest = blake2b(f"{seed} {name}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
