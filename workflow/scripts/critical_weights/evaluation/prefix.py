"""Logits of a changed model without computing its unchanged part again: from the kept input of the first changed block.

What comes before the first changed weight is the same as before the change, bit by bit, so that its result is kept
once. A change in block b starts at block b; one of the final norm or the head only starts at the last block's output;
one of the embedding starts from the token ids.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..log import choice, logger
from ..scoring.batches import Batch
from ..scoring.stack import BlockCall, Stack
from ..scoring.uses import run_model

log = logger(__name__)

_SAME = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.05}
"""Allowed norm-relative difference of logits; they are computed by the same operations."""
IDS = -1
"""The start that computes everything: the token ids."""


class PrefixRuns:
    """Runs a model on fixed batches from any of its blocks on.

    Args:
        model: in eval mode, unchanged.
        batches: what it is run on.
        limit: bytes that the kept inputs may take; beyond, or for a model that cannot be taken apart, nothing is kept
            and every run starts from the token ids.

    Attributes:
        keeps: whether inputs are kept.
        last: the start that runs only final norm and head; the number of blocks.

    """

    def __init__(self, model: nn.Module, batches: Sequence[Batch], limit: int) -> None:
        self._model = model
        self._batches = batches
        self._inputs: list[list[Tensor]] = []
        self._calls: list[list[BlockCall]] = []
        self._first_use: dict[str, int] = {}
        self.keeps = False
        self.last = 0
        self._stack = self._taken_apart()
        if self._stack is not None:
            self.last = len(self._stack)
            self._keep(limit)

    def _taken_apart(self) -> Stack | None:
        try:
            stack = Stack(self._model)
            stack.learn(self._batches[-1])
            if not self._does_as_the_model(stack, self._batches[-1]):
                raise ModelError("block by block its logits are others than the model's")
        except ModelError as error:
            choice("kept inputs of blocks", "none", str(error), log)
            return None
        return stack

    def _does_as_the_model(self, stack: Stack, batch: Batch) -> bool:
        hidden, calls = stack.calls(batch)
        for block, call in enumerate(calls):
            hidden = stack.run_block(block, call, hidden)
        ours, own = stack.tail(batch, hidden), run_model(self._model, batch)
        return bool((ours - own).norm() <= _SAME[own.dtype] * own.norm())

    def _keep(self, limit: int) -> None:
        """Keep every block's input and the last one's output for every batch, if they fit."""
        stack = self._stack
        hidden, calls = stack.calls(self._batches[0])
        width = hidden.shape[-1] * hidden.element_size()
        needed = sum(batch.ids.numel() for batch in self._batches) * width * (len(stack) + 1)
        if needed > limit:
            choice("kept inputs of blocks", "none, every condition runs the whole model",
                   f"they would take {needed / 1e9:.2f} GB, {limit / 1e9:.2f} GB may be taken", log)  # fmt: skip
            return
        choice("kept inputs of blocks", f"{needed / 1e6:.0f} MB", "a change starts at the first changed block", log)
        self._first_use = self._first_uses()
        for batch in self._batches:
            hidden, calls = stack.calls(batch)
            inputs = [hidden]
            for block in range(len(stack)):
                inputs.append(stack.run_block(block, calls[block], inputs[-1]))
            self._inputs.append(inputs)
            self._calls.append(calls)
        self.keeps = True

    def _modules_before_blocks(self) -> set[int]:
        """Return the modules that begin to run before the first block does."""
        begun: set[int] = set()
        handles = [m.register_forward_pre_hook(lambda own, _: begun.add(id(own))) for m in self._model.modules()]
        try:
            self._stack.embed(self._batches[-1])
        finally:
            for handle in handles:
                handle.remove()
        return begun

    def start_of(self, names: Collection[str]) -> int:
        """Return where a run has to start when these tensors are changed: a block, :attr:`last`, or :data:`IDS`.

        A tensor outside the blocks counts as used before them unless every module that holds it begins to run after.
        """
        if not self.keeps:
            return IDS
        return min((self._first_use[name] for name in names), default=self.last)

    def _first_uses(self) -> dict[str, int]:
        """Return for each parameter tensor where a run has to start when it alone is changed."""
        begun = self._modules_before_blocks()
        modules = dict(self._model.named_modules())
        holders: dict[int, list[int]] = {}
        for name, parameter in self._model.named_parameters(remove_duplicate=False):
            holders.setdefault(id(parameter), []).append(id(modules[name.rpartition(".")[0]]))
        starts = {
            name: IDS if any(holder in begun for holder in holders[id(parameter)]) else self.last
            for name, parameter in self._model.named_parameters()
        }
        return starts | {name: block for block in range(self.last) for name in self._stack.names(block)}

    def logits(self, number: int, start: int) -> Tensor:
        """Return the logits (texts, width, vocabulary) of one batch, with the model as it is now.

        Args:
            number: of the batch.
            start: what :meth:`start_of` said of all tensors that are changed.

        """
        batch = self._batches[number]
        if start == IDS:
            return run_model(self._model, batch)
        hidden = self._inputs[number][start]
        for block in range(start, self.last):
            hidden = self._stack.run_block(block, self._calls[number][block], hidden)
        return self._stack.tail(batch, hidden)
