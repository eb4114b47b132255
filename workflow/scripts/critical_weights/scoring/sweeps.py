"""What the sweeps of a curvature pass carry from block to block, and what of it a later run starts from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from .batches import Batch
from .differentials import Part
from .stack import BlockCall


@dataclass
class Sweeps:
    """What the sweeps carry, by batch; see :mod:`.differentials` for words and shapes.

    Attributes:
        batches: the texts.
        tokens: distinct token ids of the texts of all processes, ascending.
        calls: how each block is called.
        inputs: h of each block so far, then what the last one gave.
        tangents: hdot of the same.
        adjoints: a of the block that was last gone back through.
        changes: adot of the same.

    """

    batches: list[Batch]
    tokens: Tensor
    calls: list[list[BlockCall]] = field(default_factory=list)
    inputs: list[list[Tensor]] = field(default_factory=list)
    tangents: list[list[Tensor]] = field(default_factory=list)
    adjoints: list[Tensor] = field(default_factory=list)
    changes: list[Tensor] = field(default_factory=list)

    def state(self, ends: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return, by a name of each, what the next part starts from.

        Args:
            ends: estimates so far of the tensors outside the blocks, (probes, ...) each.

        """
        state = {f"end {name}": sums for name, sums in ends.items()}
        for what, carried in (("adjoint", self.adjoints), ("change", self.changes)):
            state |= {f"{what} {b}": value for b, value in enumerate(carried)}
        return state

    def restore(self, state: Mapping[str, Tensor], ends: Mapping[str, Tensor], left: int) -> None:
        """Put back what :meth:`state` gave; ``left`` blocks are still to do."""
        del self.inputs[left:], self.tangents[left:]
        count, device = range(len(self.batches)), self.tokens.device
        self.adjoints = [state[f"adjoint {b}"].to(device) for b in count]
        self.changes = [state[f"change {b}"].to(device) for b in count]
        for name, sums in ends.items():
            sums.copy_(state[f"end {name}"])


def add_end(ends: dict[str, Tensor], part: Part, found: Iterable[tuple[int, list[Tensor]]]) -> None:
    """Add one end's estimates to all probes' sums."""
    for probe, estimates in found:
        for name, estimate in zip(part.moved, estimates, strict=True):
            ends[name][probe] += estimate


def add_rows(tokens: Tensor, embedded: Tensor, probe: int, rows: slice, estimate: Tensor) -> None:
    """Add the estimates of an embedding's used rows to those of some rows of the head that it is tied to."""
    here = (tokens >= rows.start) & (tokens < rows.stop)
    estimate[tokens[here] - rows.start] += embedded[probe, here]
