"""The forward half of the block engine: each block's input, and how it was called, kept for every batch."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..log import progress
from .batches import Batch
from .shelf import Laid, Shelf
from .stack import BlockCall, Stack
from .uses import Observed, Use, can_be_caught
from .weights import Weights


@dataclass
class KeptInputs:
    """What a pass carries from its forward to its backward half, by batch.

    Attributes:
        batches: the texts.
        shelf: where the inputs lie.
        calls: how each block is called, by batch.
        kept: the input of each block, then the last one's output, by batch; taken off from the end.
        deltas: the loss's gradient at the input of the block that was last gone back through, by batch.

    """

    batches: list[Batch]
    shelf: Shelf
    calls: list[list[BlockCall]] = field(default_factory=list)
    kept: list[Laid] = field(default_factory=list)
    deltas: list[Tensor] = field(default_factory=list)

    def take(self) -> list[Tensor]:
        """Take the newest of what is kept off."""
        return self.shelf.take(self.kept.pop())

    @torch.no_grad()
    def run(self, stack: Stack, weights: Weights, groups: dict[str, list[Use]], depth: int) -> list[str]:
        """Run the first ``depth`` blocks.

        Returns:
            The names of their tensors that cannot be caught by hooks after all.

        """
        odd = []
        hidden = []
        for batch in self.batches:
            first, called = stack.calls(batch)
            hidden.append(first)
            self.calls.append(called)
        self.kept = [self.shelf.lay(hidden)]
        for index in progress(range(depth), depth, "forward pass", "blocks"):
            names = [n for n in stack.names(index) if can_be_caught(groups[n])]
            with weights.loaded(stack.names(index)):
                with Observed([use.module for n in names for use in groups[n]], self.batches[0]) as observed:
                    outputs = [stack.run_block(index, self.calls[0][index], hidden[0])]
                for b in range(1, len(self.batches)):
                    outputs.append(stack.run_block(index, self.calls[b][index], hidden[b]))
            odd += [n for n in names if not all(observed.plain(use.module) for use in groups[n])]
            hidden = outputs
            self.kept.append(self.shelf.lay(hidden))
        return odd
