"""The block engine: exact gradients with one transformer block in memory at a time.

Forward once, block by block, keeping each block's input for every batch; then from the loss back: each block is run
again from its kept input with gradients on, its statistics over all texts are finished and handed on, and what it
holds is freed. Head and embedding go in chunks of rows. Nothing of a weight's size is ever kept for a text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..log import choice, logger, progress
from .accumulate import Sums, add_bias, add_linear, add_tied
from .batches import Batch, pack
from .capture import Capture
from .compact import compact_embedding, used_tokens
from .experts import eager_experts
from .gradients import GradientSums
from .head import ChunkedHead
from .loss import accumulator_dtype
from .outside import Outside
from .seam import Summary, TensorStatistics
from .stack import BlockCall, Stack
from .uses import Observed, Use, can_be_caught, group_uses
from .weights import ResidentWeights, Weights


@dataclass(frozen=True)
class BlockPlan:
    """What bounds the block engine's memory.

    Attributes:
        batch_tokens: padded tokens a batch at most.
        chunk_rows: rows of head and embedding at a time; None for all of them.
        keep_logits: whether the gradients of all logits are kept until they are used last.

    """

    batch_tokens: int = 2048
    chunk_rows: int | None = None
    keep_logits: bool = True


@dataclass
class _Pass:
    """What a pass carries from its forward to its backward half, by batch."""

    batches: list[Batch]
    calls: list[list[BlockCall]] = field(default_factory=list)
    kept: list[list[Tensor]] = field(default_factory=list)
    deltas: list[Tensor] = field(default_factory=list)


class BlockGradients:
    """One gradient pass, block by block; see :class:`critical_weights.scoring.seam.Run`.

    Args:
        model: in eval mode; its parameters in memory, or on the meta device with ``weights`` to read them.
        texts: token ids of each text.
        wanted: statistics of the analysed tensors; of the others only ``grad`` is gathered, for the self-checks.
        analysed: the analysed tensors.
        plan: what bounds its memory.
        weights: where the weights are.
        device: where to compute; by default where the parameters are.

    """

    def __init__(
        self,
        model: PreTrainedModel,
        texts: Sequence[Sequence[int]],
        wanted: Collection[str],
        analysed: Collection[str],
        plan: BlockPlan | None = None,
        weights: Weights | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.summary = Summary(n_texts=len(texts), n_predicted=sum(len(ids) - 1 for ids in texts))
        self._model = model
        self._texts = texts
        self._plan = plan or BlockPlan()
        self._weights = weights or ResidentWeights(model)
        first = next(model.parameters())
        self._device = device or first.device
        self._dtype = accumulator_dtype(first.dtype)
        self._wanted = {n: wanted if n in analysed else ("grad",) for n, _ in model.named_parameters()}

    def __iter__(self) -> Iterator[TensorStatistics]:
        """Run forward, then yield the tensors of each part as soon as it is finished, last block first."""
        stack, groups = Stack(self._model), group_uses(self._model)
        outside = Outside.find(self._model, groups, stack.names("outside"))
        rest = [name for name, group in groups.items() if not can_be_caught(group)]
        with ExitStack() as held:
            held.enter_context(eager_experts(self._model))
            run = _Pass(pack(self._texts, 1 if rest else self._plan.batch_tokens, self._device))
            tokens = used_tokens(run.batches)
            held.enter_context(self._weights.loaded(outside.others))
            embedding = self._model.get_input_embeddings()
            read = lambda ids: self._weights.rows(outside.embedding, ids)  # noqa: E731 (names the tensor once)
            held.enter_context(compact_embedding(embedding, tokens, read))
            shape = self._start(stack, run, outside)
            odd = self._forward(stack, run, groups)
            if odd and not rest:  # found only by running: then every text has to have its own pass
                run = _Pass(pack(self._texts, 1, self._device))
                self._forward(stack, run, groups)
            rest += odd
            if rest:
                reason = f"{len(rest)} tensors need each text's own backward pass, first {rest[0]}"
                choice("texts a batch", 1, reason, logger(__name__))
            caught = {name: group for name, group in groups.items() if name not in rest}
            others = self._sums(outside.others, caught)
            head = yield from self._tail(stack, run, others, caught, outside, shape)
            for index in progress(reversed(range(len(stack))), len(stack), "gradient pass", "blocks"):
                yield from self._block(stack, run, index, caught)
            seen = self._embed(stack, run, others, caught, embedding)
            yield from self._finished(others)
        if outside.tied:
            yield from self._head_statistics(head, outside, run.batches, [(tokens[ids], d) for ids, d in seen])
        else:
            yield from self._embedding_statistics(outside, run.batches, tokens, seen)

    def _start(self, stack: Stack, run: _Pass, outside: Outside) -> object:
        """Learn how blocks answer and what becomes of logits, on the shortest batch."""
        short = run.batches[-1]
        with self._weights.loaded(stack.names(0)):
            stack.learn_answer(short)
        return outside.logit_shape(stack, short)

    def _forward(self, stack: Stack, run: _Pass, groups: dict[str, list[Use]]) -> list[str]:
        """Keep each block's inputs and calls (the last block's outputs too); return what cannot be caught after all."""
        odd = []
        with torch.no_grad():
            hidden = []
            for batch in run.batches:
                first, called = stack.calls(batch)
                hidden.append(first)
                run.calls.append(called)
            run.kept = [hidden]
            for index in progress(range(len(stack)), len(stack), "forward pass", "blocks"):
                names = [n for n in stack.names(index) if can_be_caught(groups[n])]
                with self._weights.loaded(stack.names(index)):
                    with Observed([use.module for n in names for use in groups[n]], run.batches[0]) as observed:
                        hidden = [stack.run_block(index, run.calls[0][index], run.kept[-1][0])]
                    for b in range(1, len(run.batches)):
                        hidden.append(stack.run_block(index, run.calls[b][index], run.kept[-1][b]))
                odd += [n for n in names if not all(observed.plain(use.module) for use in groups[n])]
                run.kept.append(hidden)
        return odd

    def _tail(
        self,
        stack: Stack,
        run: _Pass,
        sums: GradientSums,
        caught: dict[str, list[Use]],
        outside: Outside,
        shape: object,
    ) -> Iterator[TensorStatistics]:
        """Go from the last block's outputs to the loss and back; yield the head where it is not tied.

        Returns the head, for a tied one's statistics later.
        """
        outputs = run.kept.pop()
        with self._capture(sums, caught):
            graphs = [stack.head_input(b, h.requires_grad_(True)) for b, h in zip(run.batches, outputs, strict=True)]
        inputs = [x.detach() for x in graphs]
        rows = outside.chunks(self._plan.chunk_rows)
        read = lambda chunk: outside.read(self._weights, chunk)  # noqa: E731
        head = ChunkedHead(run.batches, inputs, read, rows, shape, self._plan.keep_logits)
        with torch.no_grad():
            self.summary.corpus_loss = head.losses() / self.summary.n_predicted
        back = [torch.zeros_like(x) for x in inputs]
        if outside.tied:
            with torch.no_grad():
                for chunk, deltas in head.gradients():
                    for total, delta in zip(back, deltas, strict=True):
                        total += delta.to(total.dtype) @ chunk.weight
        else:
            yield from self._head_statistics(head, outside, run.batches, None, back)
        with self._capture(sums, caught):
            for b, batch in enumerate(run.batches):
                sums.begin(batch)
                graphs[b].backward(back[b])
                run.deltas.append(outputs[b].grad)
                self._add_plain(sums, caught)
        return head

    def _head_statistics(
        self,
        head: ChunkedHead,
        outside: Outside,
        batches: Sequence[Batch],
        embedded: Sequence[tuple[Tensor, Tensor]] | None,
        back: Sequence[Tensor] | None = None,
    ) -> Iterator[TensorStatistics]:
        """Yield the head's tensors chunk by chunk; add up the gradient of its inputs in ``back``."""
        name, bias = outside.head, outside.head_bias
        biases = []
        for chunk, deltas in head.gradients():
            with torch.no_grad():
                sums = Sums.zeros(chunk.weight.shape, self._wanted[name], self._dtype, self._device)
                own = None
                if bias:
                    own = Sums.zeros(chunk.weight.shape[:1], self._wanted[bias], self._dtype, self._device)
                for b, batch in enumerate(batches):
                    x, delta = head.inputs[b], deltas[b]
                    if embedded is None:
                        add_linear(sums, delta, x, batch.lengths, batch.predicted)
                    else:
                        first = chunk.rows.start
                        add_tied(sums, (delta, x), embedded[b], batch.lengths, batch.predicted, first)
                    if own:
                        add_bias(own, delta, batch.lengths, batch.predicted)
                    if back:
                        back[b].add_(delta.to(back[b].dtype) @ chunk.weight)
                if own:
                    biases.append((chunk.bias, self._means(own)))
                item = TensorStatistics(name, chunk.weight.to(self._dtype), self._means(sums))
                del sums, chunk, deltas, delta
            yield item
            del item
        if biases:
            means = {s: torch.cat([m[s] for _, m in biases]) for s in biases[0][1]}
            yield TensorStatistics(bias, torch.cat([v for v, _ in biases]).to(self._dtype), means)

    def _block(self, stack: Stack, run: _Pass, index: int, caught: dict[str, list[Use]]) -> Iterator[TensorStatistics]:
        """Run one block again and back over all batches; yield its tensors."""
        names = stack.names(index)
        inputs = run.kept.pop()
        with self._weights.loaded(names):
            sums = self._sums(names, caught)
            with self._capture(sums, caught):
                for b, batch in enumerate(run.batches):
                    sums.begin(batch)
                    hidden = inputs[b].requires_grad_(True)
                    stack.run_block(index, run.calls[b][index], hidden).backward(run.deltas[b])
                    run.deltas[b] = hidden.grad
                    self._add_plain(sums, caught)
            yield from self._finished(sums)

    def _embed(
        self,
        stack: Stack,
        run: _Pass,
        others: GradientSums,
        caught: dict[str, list[Use]],
        embedding: nn.Embedding,
    ) -> list[tuple[Tensor, Tensor]]:
        """Go back through what comes before the blocks; return compact token ids and their rows' gradients by batch."""
        seen: list[tuple[Tensor, Tensor]] = []
        use = Use("", embedding, "weight", "embedding")
        catch = Capture([use], lambda _, ids, delta: seen.append((ids, delta * Outside.scale(embedding))))
        with self._capture(others, caught), catch:
            for b, batch in enumerate(run.batches):
                others.begin(batch)
                stack.embed(batch).backward(run.deltas[b])
                self._add_plain(others, caught)
        return seen

    def _embedding_statistics(
        self, outside: Outside, batches: Sequence[Batch], tokens: Tensor, seen: Sequence[tuple[Tensor, Tensor]]
    ) -> Iterator[TensorStatistics]:
        """Yield the embedding slab by slab; rows of tokens that no text holds are 0."""
        name = outside.embedding
        size = seen[0][1].shape[-1]
        compact = Sums.zeros((len(tokens), size), self._wanted[name], self._dtype, self._device)
        with torch.no_grad():
            for batch, (ids, delta) in zip(batches, seen, strict=True):
                compact.add_tokens(ids, delta, batch.lengths, batch.predicted)
            means = self._means(compact)
            for rows in outside.chunks(self._plan.chunk_rows, name):
                weight = self._weights.rows(name, rows).to(self._dtype)
                here = (tokens >= rows.start) & (tokens < rows.stop)
                slab = {statistic: torch.zeros_like(weight) for statistic in means}
                for statistic, values in means.items():
                    slab[statistic][tokens[here] - rows.start] = values[here]
                item = TensorStatistics(name, weight, slab)
                del weight, slab
                yield item
                del item

    def _sums(self, names: Iterable[str], caught: dict[str, list[Use]]) -> GradientSums:
        parameters = dict(self._model.named_parameters())
        uses = [use for name in names if name in caught for use in caught[name]]
        return GradientSums({n: parameters[n] for n in names}, self._wanted, uses, self._dtype)

    def _capture(self, sums: GradientSums, caught: dict[str, list[Use]]) -> Capture:
        return Capture([use for name in sums.sums if name in caught for use in caught[name]], sums)

    def _add_plain(self, sums: GradientSums, caught: dict[str, list[Use]]) -> None:
        for name in sums.sums:
            if name not in caught:
                parameter = sums.parameters[name]
                sums.add_plain(name, parameter.grad)
                parameter.grad = None

    def _means(self, sums: Sums) -> dict[str, Tensor]:
        return sums.means(self.summary.n_texts, self.summary.n_predicted)

    def _finished(self, sums: GradientSums) -> Iterator[TensorStatistics]:
        for name in list(sums.sums):
            means = self._means(sums.sums.pop(name))
            yield TensorStatistics(name, sums.parameters[name].detach().to(self._dtype), means)
