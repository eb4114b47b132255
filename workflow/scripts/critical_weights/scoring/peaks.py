"""The largest activations of every ``down_proj`` in one forward pass, with some weights set to zero meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from ..errors import ModelError
from ..superweights.layers import storage_index
from ..superweights.rule import LayerPeak
from .batches import Batch, pack
from .compact import compact_embedding, used_tokens
from .engine import Placed
from .outside import Outside
from .stack import Stack
from .uses import group_uses, run_model
from .weights import ResidentWeights


@dataclass(frozen=True)
class Edit:
    """A weight that is set to zero: the facts of its tensor, its output and its input index."""

    tensor: Mapping[str, Any]
    row: int
    col: int


@contextmanager
def zeroed(model: nn.Module, edits: Iterable[Edit]) -> Iterator[None]:
    """Set weights that are in memory to zero, and put their very bits back afterwards, also after an exception."""
    parameters = dict(model.named_parameters())
    saved: list[tuple[Tensor, tuple[int, int], Tensor]] = []
    try:
        for edit in edits:
            values = parameters[edit.tensor["name"]].detach()
            index = storage_index(edit.tensor, edit.row, edit.col)
            saved.append((values, index, values[index].clone()))
            values[index] = 0
        yield
    finally:
        for values, index, value in reversed(saved):
            values[index] = value


class Watch:
    """Sees the input and output of one matrix, text by text, and keeps what :class:`LayerPeak` tells.

    Args:
        tensor: the matrix's facts.
        module: the module that holds it.

    """

    def __init__(self, tensor: Mapping[str, Any], module: nn.Module) -> None:
        self.tensor = tensor
        self.module = module
        self._text = 0
        self._inputs: list[Tensor] = []
        self._outputs: list[Tensor] = []
        self._input = (-1.0, 0, 0, 0)
        self._output = (-1.0, 0, 0)
        self._at: tuple[Tensor, Tensor] | None = None

    def hook(self) -> RemovableHandle:
        """Put the hook on."""
        return self.module.register_forward_hook(lambda _, arguments, output: self._see(arguments[0], output))

    def end_text(self) -> None:
        """Count one text."""
        self._text += 1

    def _see(self, x: Tensor, y: Tensor) -> None:
        x, y = (value.detach().reshape(-1, value.shape[-1]) for value in (x, y))
        per_token = x.abs().amax(-1), y.abs().amax(-1)
        if not all(torch.isfinite(values).all() for values in per_token):
            dtype = str(y.dtype).removeprefix("torch.")
            raise ModelError(f"activations of {self.tensor['name']} are not finite in {dtype}",
                             fix="Compute in a wider dtype (scoring: dtype: float32)")  # fmt: skip
        self._inputs.append(per_token[0])
        self._outputs.append(per_token[1])
        position = int(per_token[0].argmax())
        if (size := float(per_token[0][position])) > self._input[0]:
            self._input = size, self._text, position, int(x[position].abs().argmax())
        position = int(per_token[1].argmax())
        if (size := float(per_token[1][position])) > self._output[0]:
            self._output = size, self._text, position
            self._at = x[position].clone(), y[position].clone()

    def peak(self, edits: Iterable[Edit]) -> LayerPeak:
        """Return what was seen; the matrix must be in memory, its ``edits`` set to zero.

        Raises:
            ModelError: the module was never called.

        """
        if self._at is None:
            raise ModelError(f"{self.tensor['name']} took no part in the forward pass")
        x, y = (value.double().cpu().numpy() for value in self._at)
        row = int(np.abs(y).argmax())
        size = np.abs(x)
        # A weight that was set to zero leaves its input as it is: what the next column does would never be seen.
        size[[edit.col for edit in edits if edit.row == row and edit.tensor["name"] == self.tensor["name"]]] = -1
        col = int(size.argmax())
        weight = self.module.weight.detach()
        column = weight.select(list(self.tensor["axes"]).index("col"), col).double().cpu().numpy()
        return LayerPeak(
            layer=self.tensor["layer"],
            component=self.tensor["component"],
            parameter=self.tensor["name"],
            text=self._output[1],
            position=self._output[2],
            outputs=y,
            col=col,
            input=float(x[col]),
            weights=column,
            max_input=self._input[0],
            input_text=self._input[1],
            input_position=self._input[2],
            input_col=self._input[3],
            median_input=float(np.median(torch.cat(self._inputs).double().cpu().numpy())),
            median_output=float(np.median(torch.cat(self._outputs).double().cpu().numpy())),
        )


class Passes(Protocol):
    """Runs the texts through the model as often as asked."""

    def peaks(self, edits: Sequence[Edit]) -> list[LayerPeak]:
        """Run once, with these weights set to zero meanwhile; one peak a block that has a ``down_proj``."""
        ...


def start_passes(
    model: PreTrainedModel, texts: Sequence[Sequence[int]], tensors: Mapping[int, Mapping[str, Any]], placed: Placed
) -> Passes:
    """Choose how the texts are run: through the whole model, or block by block where it is not all in memory."""
    if placed.placement == "resident":
        return WholePasses(model, texts, tensors)
    return BlockPasses(model, texts, tensors, placed)


class WholePasses:
    """The model's own forward, text by text, the whole model in memory; see :class:`Passes`."""

    def __init__(
        self, model: PreTrainedModel, texts: Sequence[Sequence[int]], tensors: Mapping[int, Mapping[str, Any]]
    ) -> None:
        self._model = model
        self._batches = each_alone(texts, next(model.parameters()).device)
        self._tensors = tensors

    @torch.no_grad()
    def peaks(self, edits: Sequence[Edit]) -> list[LayerPeak]:
        """Run once; see :class:`Passes`."""
        watches = [_watch(self._model, tensor) for tensor in self._tensors.values()]
        with zeroed(self._model, edits):
            with _hooked(watches):
                for batch in self._batches:
                    run_model(self._model, batch)
                    for watch in watches:
                        watch.end_text()
            return [watch.peak(edits) for watch in watches]


class BlockPasses:
    """Block by block, with one block in memory at a time where weights are streamed; see :class:`Passes`."""

    @torch.no_grad()
    def __init__(
        self,
        model: PreTrainedModel,
        texts: Sequence[Sequence[int]],
        tensors: Mapping[int, Mapping[str, Any]],
        placed: Placed,
    ) -> None:
        self._model = model
        self._weights = placed.weights or ResidentWeights(model)
        self._stack = Stack(model, alone=False)
        self._tensors = tensors
        batches = each_alone(texts, placed.device or next(model.parameters()).device)
        outside = Outside.find(model, group_uses(model), self._stack.names("outside"))
        tokens = used_tokens(batches)
        with ExitStack() as held:
            held.enter_context(self._weights.loaded(outside.others))
            rows = self._weights.rows(outside.embedding, tokens)
            held.enter_context(compact_embedding(model.get_input_embeddings(), tokens, lambda _: rows))
            with self._weights.loaded(self._stack.names(0)):
                self._stack.learn(min(batches, key=lambda batch: batch.tokens))
            self._started = [self._stack.calls(batch) for batch in batches]

    @torch.no_grad()
    def peaks(self, edits: Sequence[Edit]) -> list[LayerPeak]:
        """Run once; see :class:`Passes`."""
        hidden = [first.clone() for first, _ in self._started]
        found = []
        for index in range(len(self._stack)):
            names = self._stack.names(index)
            own = [edit for edit in edits if edit.tensor["name"] in names]
            with self._weights.loaded(names), zeroed(self._model, own):
                watches = [_watch(self._model, self._tensors[index])] if index in self._tensors else []
                with _hooked(watches):
                    for text, (_, calls) in enumerate(self._started):
                        hidden[text] = self._stack.run_block(index, calls[index], hidden[text])
                        for watch in watches:
                            watch.end_text()
                found += [watch.peak(own) for watch in watches]
        return found


def each_alone(texts: Sequence[Sequence[int]], device: torch.device) -> list[Batch]:
    """Return a batch a text, in the order given: positions are places in a text, and there is no padding."""
    return [batch for ids in texts for batch in pack([ids], 1, device)]


def _watch(model: nn.Module, tensor: Mapping[str, Any]) -> Watch:
    return Watch(tensor, model.get_submodule(tensor["name"].rpartition(".")[0]))


@contextmanager
def _hooked(watches: Iterable[Watch]) -> Iterator[None]:
    with ExitStack() as held:
        for watch in watches:
            held.callback(watch.hook().remove)
        yield
