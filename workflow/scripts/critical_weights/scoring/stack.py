"""The model as a stack: what comes before the blocks, the blocks, what comes after; each run alone on kept inputs.

The model's own ``forward`` is reused: the entries of its ``ModuleList`` of blocks are replaced for a moment, so that
masks, positions and everything else that an architecture passes to its blocks are made by its own code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..model.facts import find_blocks
from .batches import Batch
from .causal import refuse_ahead
from .taken_apart import carries_gradient, check_order, check_own_tensors, refused, told
from .uses import run_model


@dataclass
class BlockCall:
    """What a block was called with, its hidden states apart."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    def run(self, block: nn.Module, hidden: Tensor) -> Tensor | tuple[Any, ...]:
        """Run a block on hidden states (texts, width, size) as it was called."""
        return block(hidden, *self.arguments, **self.keywords)


def _output(answer: Tensor | tuple[Any, ...]) -> Tensor:
    return answer[0] if isinstance(answer, tuple) else answer


class _Stop(Exception):
    """Ends a model's forward early, on purpose."""


class _Stub(nn.Module):
    """Stands in for a block or the head: a function of its input, answered in the shape that the model expects.

    Attributes that a model reads off its blocks (such as a layer's attention type) come from the replaced one.
    """

    def __init__(self, replaced: nn.Module, act: Callable[[Tensor, tuple[Any, ...], dict[str, Any]], Any]) -> None:
        super().__init__()
        object.__setattr__(self, "_replaced", replaced)
        self._act = act

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(object.__getattribute__(self, "_replaced"), name)

    def forward(self, hidden: Tensor, *arguments: Any, **keywords: Any) -> Any:
        return self._act(hidden, arguments, keywords)


class Stack:
    """A causal LM taken apart into blocks. Not every model can be: :meth:`learn` tries it, on a short batch.

    Args:
        model: in eval mode.
        alone: whether each block is also run again without those before it, as gradients and changed weights need it:
            then nothing but the hidden states may go from one block to the next.

    Raises:
        ModelError: the model has no list of blocks, or one of its tensors belongs to several blocks.

    """

    def __init__(self, model: nn.Module, *, alone: bool = True) -> None:
        self.model = model
        self.prefix, self.blocks = find_blocks(model)
        self._answers: type = torch.Tensor
        self._alone = alone
        check_own_tensors(model, self.prefix)

    def __len__(self) -> int:
        return len(self.blocks)

    def names(self, part: int | str) -> list[str]:
        """Return the parameter names of a block (its index) or of ``outside``; tied tensors by first name."""
        named = [name for name, _ in self.model.named_parameters()]
        if part == "outside":
            return [name for name in named if not name.startswith(f"{self.prefix}.")]
        return [name for name in named if name.startswith(f"{self.prefix}.{part}.")]

    @contextmanager
    def _replaced(self, stubs: Sequence[nn.Module]) -> Iterator[None]:
        originals = list(self.blocks)
        try:
            for i, stub in enumerate(stubs):
                self.blocks[i] = stub
            yield
        finally:
            for i, block in enumerate(originals):
                self.blocks[i] = block

    def learn(self, batch: Batch) -> None:
        """See whether the model runs its blocks one after the other, and whether they answer with tensor or tuple.

        The first block is run on a short batch; the others' weights need not be in memory.

        Raises:
            ModelError: it does not, the first block sees later tokens, a block is called with something that depends on
                the hidden states between blocks or, where each block is also run alone, that weights have made.

        """
        with told(self.model):
            self._answers = type(self._first_answer(batch))
            self.calls(batch)
            self._check_calls(batch)
            refuse_ahead(self.model, lambda few: _output(self._first_answer(few)), batch)

    @torch.no_grad()
    def _first_answer(self, batch: Batch) -> Tensor | tuple[Any, ...]:
        """Return what the first block answers."""
        first = self.blocks[0]
        found: list[Any] = []

        def see(hidden: Tensor, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            found.append(first(hidden, *arguments, **keywords))
            raise _Stop

        with self._replaced([_Stub(first, see)]), suppress(_Stop):
            run_model(self.model, batch)
        return found[0]

    def _check_calls(self, batch: Batch) -> None:
        """Refuse a model that does not run each block once or, where they run alone, gives them what weights made."""
        seen: list[int] = []

        def note(block: int, hidden: Tensor, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
            seen.append(block)
            if self._alone and carries_gradient((*arguments, *keywords.values())):
                raise refused(self.model, f"block {block} reads what weights outside the blocks made of the text")
            return self._answer(hidden)

        def stop(*_: Any) -> None:
            raise _Stop

        stubs = [_Stub(block, partial(note, i)) for i, block in enumerate(self.blocks)]
        with torch.set_grad_enabled(self._alone), self._replaced(stubs), self._head_replaced(stop), suppress(_Stop):
            run_model(self.model, batch)
        check_order(self.model, seen, len(self.blocks))

    def _answer(self, hidden: Tensor) -> Tensor | tuple[Tensor]:
        return (hidden,) if issubclass(self._answers, tuple) else hidden

    def embed(self, batch: Batch) -> Tensor:
        """Return the first block's input (texts, width, size), with the graph that led to it if gradients are on."""
        found: list[Tensor] = []

        def stop(hidden: Tensor, *_: Any) -> None:
            found.append(hidden)
            raise _Stop

        with self._replaced([_Stub(self.blocks[0], stop)]):
            try:
                run_model(self.model, batch)
            except _Stop:
                return found[0]
        raise ModelError(f"{type(self.model).__name__} does not run its list of blocks {self.prefix}")

    def calls(self, batch: Batch) -> tuple[Tensor, list[BlockCall]]:
        """Return the first block's input and how each block is called, without running any block.

        Raises:
            ModelError: a block is called with something that depends on the hidden states between blocks.

        """
        seen: list[BlockCall] = []
        hidden0: list[Tensor] = []

        def note(hidden: Tensor, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
            if seen and hidden is not hidden0[0]:
                raise ModelError(f"{type(self.model).__name__} changes hidden states between its blocks")
            hidden0[:] = [hidden]
            seen.append(BlockCall(arguments, keywords))
            if len(seen) == len(self.blocks):
                raise _Stop
            return self._answer(hidden)

        with torch.no_grad(), self._replaced([_Stub(block, note) for block in self.blocks]):
            try:
                run_model(self.model, batch)
            except _Stop:
                return hidden0[0], seen
        raise ModelError(f"{type(self.model).__name__} does not run its list of blocks {self.prefix}")

    def run_block(self, index: int, call: BlockCall, hidden: Tensor) -> Tensor:
        """Run one block on hidden states (texts, width, size), as the model would call it.

        Raises:
            ModelError: blocks run alone, and this one leaves something for others beside its output.

        """
        given = (*call.arguments, *call.keywords.values()) if self._alone else ()
        shared = [value for value in given if isinstance(value, MutableMapping)]
        before = [len(mapping) for mapping in shared]
        output = call.run(self.blocks[index], hidden)
        if before != [len(mapping) for mapping in shared]:
            raise refused(self.model, f"block {index} leaves keys and values for later ones")
        return _output(output)

    def tail(self, batch: Batch, hidden: Tensor) -> Tensor:
        """Return the logits (texts, width, vocabulary) that follow from the last block's output."""

        def give(*_: Any) -> Any:
            return self._answer(hidden)

        with self._replaced([_Stub(block, give) for block in self.blocks]):
            return run_model(self.model, batch)

    def head_input(self, batch: Batch, hidden: Tensor) -> Tensor:
        """Return the head's input (texts, width, size) that follows from the last block's output."""
        found: list[Tensor] = []

        def stop(x: Tensor, *_: Any) -> None:
            found.append(x)
            raise _Stop

        with suppress(_Stop):
            self._with_head(stop, batch, hidden)
        return found[0]

    def logits_from(self, batch: Batch, hidden: Tensor, raw: Tensor) -> Tensor:
        """Return what the model makes of its head's output ``raw`` (texts, width, any size)."""
        return self._with_head(lambda *_: raw, batch, hidden)

    def _with_head(self, act: Callable[..., Any], batch: Batch, hidden: Tensor) -> Tensor:
        with self._head_replaced(act):
            return self.tail(batch, hidden)

    @contextmanager
    def _head_replaced(self, act: Callable[..., Any]) -> Iterator[None]:
        head = self.model.get_output_embeddings()
        self.model.set_output_embeddings(_Stub(head, act))
        try:
            yield
        finally:
            self.model.set_output_embeddings(head)
