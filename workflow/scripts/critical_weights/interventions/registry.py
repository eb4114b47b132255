"""The registry of interventions: a decorator that records what a change is called, does, and needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Change = Callable[[Tensor, "Setting"], Tensor]


@dataclass(frozen=True)
class Setting:
    """What a change may read beside the values that it changes.

    Attributes:
        strength: how strong; the meaning is the intervention's. 0 where it has none.
        tensor: the whole parameter tensor, unchanged.
        stored: the format that the checkpoint stores its weights in.
        generator: of random numbers, on the CPU; it follows from the seed and the tensor's name.

    """

    strength: float
    tensor: Tensor
    stored: torch.dtype
    generator: torch.Generator


@dataclass(frozen=True)
class Intervention:
    """A change of single weights.

    Attributes:
        name: as the config and the tables have it.
        change: (values (n,), setting) -> new values (n,), elementwise; values come in float32 (float64 of a float64
            model), or in the stored format where ``of_bits``.
        meaning: what it does.
        strength: what the strength means; empty: there is none.
        default: the strength where none is given.
        lowest: smallest strength that makes sense.
        highest: largest strength that makes sense.
        whole: whether the strength is a whole number.
        of_bits: whether it changes the bits of the stored format.

    """

    name: str
    change: Change
    meaning: str
    strength: str = ""
    default: float = 0.0
    lowest: float = -math.inf
    highest: float = math.inf
    whole: bool = False
    of_bits: bool = False

    def check_strength(self, strength: float | None) -> float:
        """Return the strength to use.

        Raises:
            ConfigError: it is no finite number, too small, too large, no whole number, or this intervention has none.

        """
        if strength is None:
            return self.default
        if not self.strength:
            raise ConfigError(f"intervention {self.name} has no strength", got=strength)
        if not math.isfinite(strength):
            raise ConfigError(f"the strength of {self.name} is no finite number", got=strength, expected=self.strength)
        if not self.lowest <= strength <= self.highest or (self.whole and strength != int(strength)):
            kind = "a whole number" if self.whole else "a number"
            most = f"to {self.highest:g}" if math.isfinite(self.highest) else "up"
            raise ConfigError(f"the strength of {self.name} does not fit", got=f"{strength:g}",
                              expected=f"{kind} from {self.lowest:g} {most} ({self.strength})")  # fmt: skip
        return float(strength)


INTERVENTIONS: dict[str, Intervention] = {}


def intervention(
    *,
    name: str,
    meaning: str,
    strength: str = "",
    default: float = 0.0,
    lowest: float = -math.inf,
    highest: float = math.inf,
    whole: bool = False,
    of_bits: bool = False,
) -> Callable[[Change], Change]:
    """Register the decorated function as an intervention; see :class:`Intervention`.

    Raises:
        ValueError: the name is taken (a mistake in the code).

    """

    def register(change: Change) -> Change:
        if name in INTERVENTIONS:
            raise ValueError(f"intervention {name} is registered twice")
        INTERVENTIONS[name] = Intervention(name, change, meaning, strength, default, lowest, highest, whole, of_bits)
        return change

    return register
