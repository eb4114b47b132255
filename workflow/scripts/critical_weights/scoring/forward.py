"""Activation statistics block by block: forward only, with one block in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..log import progress
from .activations import WITHOUT_FIRST, InputStatistics
from .batches import pack
from .blockwise import BlockPlan
from .compact import compact_embedding, used_tokens
from .head import ChunkedHead
from .loss import accumulator_dtype
from .outside import Outside
from .processes import ALONE, Processes
from .seam import Summary, TensorStatistics
from .stack import Stack
from .uses import group_uses
from .weights import Weights


class BlockForward:
    """One forward pass, block by block, each text by itself; see :class:`critical_weights.scoring.seam.Run`.

    Args:
        model: in eval mode; its parameters in memory, or on the meta device.
        texts: token ids of each text.
        plan: what bounds its memory.
        weights: where the weights are.
        device: where to compute.
        processes: those that share the texts; only the first one's statistics are over all of them.

    """

    def __init__(
        self,
        model: PreTrainedModel,
        texts: Sequence[Sequence[int]],
        plan: BlockPlan,
        weights: Weights,
        device: torch.device,
        processes: Processes = ALONE,
    ) -> None:
        self.summary = Summary(n_texts=len(texts), n_predicted=sum(len(ids) - 1 for ids in texts))
        self._model = model
        self._plan = plan
        self._weights = weights
        self._processes = processes
        self._batches = pack(processes.share(texts), 1, device)
        self._dtype = accumulator_dtype(next(model.parameters()).dtype)

    @torch.no_grad()
    def __iter__(self) -> Iterator[TensorStatistics]:
        """Yield the tensors of each block as soon as every text has passed it, then those outside."""
        stack = Stack(self._model, alone=False)
        outside = Outside.find(self._model, group_uses(self._model), stack.names("outside"))
        tokens = used_tokens(self._batches)
        with ExitStack() as held:
            held.enter_context(self._weights.loaded(outside.others))
            embedding = self._model.get_input_embeddings()
            rows = self._weights.rows(outside.embedding, tokens)
            held.enter_context(compact_embedding(embedding, tokens, lambda _: rows))
            with self._weights.loaded(stack.names(0)):
                stack.learn(self._batches[-1])
            shape = outside.logit_shape(stack, self._batches[-1])
            before, after = (InputStatistics(self._model, self._dtype) for _ in range(2))
            with before:
                started = [stack.calls(batch) for batch in self._batches]
            hidden = [first for first, _ in started]
            for index in progress(range(len(stack)), len(stack), "forward pass", "blocks"):
                names = stack.names(index)
                with self._weights.loaded(names):
                    inputs = InputStatistics(self._model, self._dtype)
                    with inputs:
                        for b, (_, calls) in enumerate(started):
                            hidden[b] = stack.run_block(index, calls[index], hidden[b])
                            inputs.end_text()
                    inputs.join(self._processes)
                    yield from self._finished(names, inputs.result())
            with after:  # sees what comes before the blocks once more: that has been counted
                heads = [stack.head_input(batch, h) for batch, h in zip(self._batches, hidden, strict=True)]
            for _ in self._batches:
                before.end_text()
                after.end_text()
            for seen in (before, after):  # the embedding's own count is made below
                seen.join(self._processes, outside.others)
            yield from self._finished(outside.others, after.result() | before.result())
        read = lambda chunk: outside.read(self._weights, chunk)  # noqa: E731
        head = ChunkedHead(self._batches, heads, read, outside.chunks(self._plan.chunk_rows), shape, keep=False)
        self.summary.corpus_loss = self._processes.total(head.losses()) / self.summary.n_predicted
        yield from self._matrix(outside.embedding, self._token_counts(outside), outside)
        if not outside.tied:
            yield from self._matrix(outside.head, self._head_inputs(heads), outside)
        if outside.head_bias:
            self.summary.missing[outside.head_bias] = "no product of it with an input was seen"

    def _token_counts(self, outside: Outside) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for end, start in (("", 0), (WITHOUT_FIRST, 1)):
            ids = torch.cat([batch.ids[0, start:] for batch in self._batches])
            counts = torch.bincount(ids, minlength=outside.vocabulary[outside.embedding]).to(self._dtype)[:, None]
            found |= self._means(end, counts, counts.clone(), len(ids))
        return found

    def _head_inputs(self, heads: Sequence[Tensor]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for end, start in (("", 0), (WITHOUT_FIRST, 1)):
            x = torch.cat([head[0, start:] for head in heads]).to(self._dtype)
            found |= self._means(end, x.abs().sum(0)[None], x.square().sum(0)[None], len(x))
        return found

    def _means(self, end: str, total: Tensor, square: Tensor, tokens: int) -> dict[str, Tensor]:
        """Return the statistics that follow from sums over this process's tokens, so many."""
        self._processes.join([total, square])
        count = self._processes.total(tokens)
        return {"input_abs" + end: total / count, "input_sq" + end: square / self.summary.n_texts}

    def _matrix(self, name: str, statistics: dict[str, Tensor], outside: Outside) -> Iterator[TensorStatistics]:
        """Yield embedding or head, slab by slab."""
        for rows in outside.chunks(self._plan.chunk_rows, name):
            slab = {s: v if len(v) == 1 else v[rows] for s, v in statistics.items()}
            yield TensorStatistics(name, self._weights.rows(name, rows).to(self._dtype), slab)

    def _finished(self, names: Sequence[str], found: dict[str, dict[str, Tensor]]) -> Iterator[TensorStatistics]:
        parameters = dict(self._model.named_parameters())
        for name in names:
            if name not in found:
                self.summary.missing[name] = "no product of it with an input was seen"
            yield TensorStatistics(name, parameters[name].detach().to(self._dtype), found.get(name, {}))
