"""The block engine: exact gradients with one transformer block in memory at a time.

Forward once, block by block, keeping each block's input for every batch; then from the loss back: each block is run
again from its kept input with gradients on, its statistics over all texts are finished and handed on, and what it
holds is freed. Head and embedding go in chunks of rows. Nothing of a weight's size is ever kept for a text.

The parts follow each other as head, blocks from the last to the first, and what is outside. Each one is told to
:mod:`.kept_parts` when it is finished: with what is told there a later run goes on behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..log import choice, logger, progress
from .batches import pack, turn_of
from .block_plan import BlockPlan
from .capture import Capture
from .compact import compact_embedding, used_tokens
from .experts import eager_experts
from .head import ChunkedHead, LogitShape
from .kept_inputs import KeptInputs
from .kept_parts import Kept, NothingKept, blocks_left
from .loss import accumulator_dtype
from .outside import Outside
from .part_sums import PartSums
from .processes import ALONE, Processes
from .seam import Summary, TensorStatistics
from .shelf import Shelf
from .stack import Stack
from .sums import Sums
from .text_gradients import Texts
from .uses import Use, can_be_caught, group_uses
from .vocabulary import Vocabulary
from .weights import ResidentWeights, Weights


class BlockGradients:
    """One gradient pass, block by block; see :class:`critical_weights.scoring.seam.Run`.

    Args:
        model: in eval mode; its parameters in memory, or on the meta device with ``weights`` to read them.
        texts: token ids of each text, of all processes.
        wanted: statistics of the analysed tensors; of the others only ``grad`` is gathered, for the self-checks.
        analysed: the analysed tensors.
        plan: what bounds its memory.
        weights: where the weights are.
        device: where to compute; by default where the parameters are.
        processes: those that share the texts; only the first one's statistics are over all of them.
        kept: what an earlier run finished, and where to keep what this one does.

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
        processes: Processes = ALONE,
        kept: Kept | None = None,
    ) -> None:
        self.summary = Summary(n_texts=len(texts), n_predicted=sum(len(ids) - 1 for ids in texts))
        self._model = model
        self._processes = processes
        self._texts = processes.share(texts)
        self._plan = plan or BlockPlan()
        self._weights = weights or ResidentWeights(model)
        self._kept = kept or NothingKept()
        first = next(model.parameters())
        self._device = device or first.device
        self._dtype = accumulator_dtype(first.dtype)
        self._by_text = Texts.of(texts, self._device, processes) if self._plan.by_text else None
        self._wanted = {n: wanted if n in analysed else ("grad",) for n, _ in model.named_parameters()}

    def __iter__(self) -> Iterator[TensorStatistics]:
        """Run forward, then yield the tensors of each part as soon as it is finished, last block first."""
        stack, groups = Stack(self._model), group_uses(self._model)
        finished, facts = self._kept.finished, dict(self._kept.facts)
        self.summary.corpus_loss = facts.get("corpus_loss")
        left = blocks_left(self._kept, len(stack))
        if left is None:
            return
        outside = Outside.find(self._model, groups, stack.names("outside"))
        static = [name for name, group in groups.items() if not can_be_caught(group)]
        with ExitStack() as held:
            held.enter_context(eager_experts(self._model))
            found = static + facts.get("odd", [])
            shelf = held.enter_context(Shelf(self._plan.inputs, self._device, self._plan.scratch))
            width, turn = 1 if found else self._plan.batch_tokens, turn_of(self._model.config)
            run = KeptInputs(pack(self._texts, width, self._device, turn), shelf)
            tokens = self._processes.union(used_tokens(run.batches), outside.vocabulary[outside.embedding])
            held.enter_context(self._weights.loaded(outside.others))
            embedding = self._model.get_input_embeddings()
            read = lambda ids: self._weights.rows(outside.embedding, ids)  # noqa: E731 (names the tensor once)
            held.enter_context(compact_embedding(embedding, tokens, read))
            shape = self._start(stack, run, outside)
            # Only inputs of blocks that are still to do are needed; a tied head is used last, from the last output.
            depth = len(stack) if finished == 0 or outside.tied else max(left - 1, 0)
            odd = run.run(stack, self._weights, groups, depth)
            if finished == 0:
                if odd and not static:  # found only by running: then every text has to have its own pass
                    run = KeptInputs(pack(self._texts, 1, self._device), shelf)
                    run.run(stack, self._weights, groups, depth)
                facts["odd"] = odd
            rest = static + facts["odd"]
            if rest:
                reason = f"{len(rest)} tensors need each text's own backward pass, first {rest[0]}"
                choice("texts a batch", 1, reason, logger(__name__))
            caught = {name: group for name, group in groups.items() if name not in rest}
            sums_of = partial(PartSums, self._model, wanted=self._wanted, caught=caught, dtype=self._dtype,
                              by_text=self._by_text)  # fmt: skip
            others = sums_of(outside.others)
            large = Vocabulary(outside, run.batches, self._wanted, self._weights, self._means,
                               self._plan.chunk_rows, self._dtype, self._device, self._by_text)  # fmt: skip
            if finished == 0:
                head = yield from self._tail(stack, run, others, large, shape)
                others.forget_texts()
                facts["corpus_loss"] = self.summary.corpus_loss
                self._finish(run, others, facts)
            else:
                head = self._tied_head(stack, run, large, shape) if outside.tied else None
                self._restore(run, others, left)
            for index in progress(reversed(range(left)), left, "gradient pass", "blocks"):
                names = stack.names(index)
                with self._weights.loaded(names):
                    yield from self._block(stack, run, index, sums_of(names))
                self._finish(run, others, facts)
            seen = self._embed(stack, run, others, embedding)
            yield from others.finished(self._means)
        if outside.tied:
            yield from large.head(head, [(tokens[ids], d) for ids, d in seen])
        else:
            yield from large.embedding(tokens, seen)
        self._kept.finish({}, facts)

    def _finish(self, run: KeptInputs, others: PartSums, facts: dict[str, Any]) -> None:
        """Tell that a part is finished, and what the next one starts from."""
        deltas = {f"delta {b}": delta for b, delta in enumerate(run.deltas)}
        self._kept.finish(deltas | others.state(), facts)

    def _restore(self, run: KeptInputs, others: PartSums, left: int) -> None:
        """Put back what an earlier run told last; ``left`` blocks are still to do."""
        state = self._kept.take_state()
        del run.kept[left:]
        run.deltas = [state[f"delta {b}"].to(self._device) for b in range(len(run.batches))]
        others.restore(state)

    def _start(self, stack: Stack, run: KeptInputs, outside: Outside) -> LogitShape:
        """Learn how blocks answer and what becomes of logits, on the shortest batch."""
        short = run.batches[-1]
        with self._weights.loaded(stack.names(0)):
            stack.learn(short)
        return outside.logit_shape(stack, short)

    def _head(self, run: KeptInputs, inputs: list[Tensor], large: Vocabulary, shape: LogitShape) -> ChunkedHead:
        rows = large.outside.chunks(self._plan.chunk_rows)
        read = lambda chunk: large.outside.read(self._weights, chunk)  # noqa: E731
        return ChunkedHead(run.batches, inputs, read, rows, shape, self._plan.keep_logits)

    @torch.no_grad()
    def _tied_head(self, stack: Stack, run: KeptInputs, large: Vocabulary, shape: LogitShape) -> ChunkedHead:
        """Return the head as an earlier run had it when it came to the blocks."""
        outputs = run.take()
        inputs = [stack.head_input(batch, hidden) for batch, hidden in zip(run.batches, outputs, strict=True)]
        head = self._head(run, inputs, large, shape)
        head.losses()
        return head

    def _tail(
        self, stack: Stack, run: KeptInputs, sums: PartSums, large: Vocabulary, shape: LogitShape
    ) -> Iterator[TensorStatistics]:
        """Go from the last block's outputs to the loss and back; yield the head where it is not tied.

        Returns the head, for a tied one's statistics later.
        """
        outputs = run.take()
        with sums.capture():
            graphs = [stack.head_input(b, h.requires_grad_(True)) for b, h in zip(run.batches, outputs, strict=True)]
        head = self._head(run, [x.detach() for x in graphs], large, shape)
        with torch.no_grad():
            self.summary.corpus_loss = self._processes.total(head.losses()) / self.summary.n_predicted
        back = [torch.zeros_like(x) for x in head.inputs]
        if large.outside.tied:
            with torch.no_grad():
                for chunk, deltas in head.gradients():
                    for total, delta in zip(back, deltas, strict=True):
                        total += delta.to(total.dtype) @ chunk.weight
        else:
            yield from large.head(head, back=back)
        with sums.capture():
            for b, batch in enumerate(run.batches):
                sums.begin(batch)
                graphs[b].backward(back[b])
                run.deltas.append(outputs[b].grad)
                sums.end_batch()
        return head

    def _block(self, stack: Stack, run: KeptInputs, index: int, sums: PartSums) -> Iterator[TensorStatistics]:
        """Run one block again and back over all batches; yield its tensors."""
        inputs = run.take()
        with sums.capture():
            for b, batch in enumerate(run.batches):
                sums.begin(batch)
                hidden = inputs[b].requires_grad_(True)
                stack.run_block(index, run.calls[b][index], hidden).backward(run.deltas[b])
                run.deltas[b] = hidden.grad
                sums.end_batch()
        yield from sums.finished(self._means)

    def _embed(
        self, stack: Stack, run: KeptInputs, others: PartSums, embedding: nn.Embedding
    ) -> list[tuple[Tensor, Tensor]]:
        """Go back through what comes before the blocks; return compact token ids and their rows' gradients by batch."""
        seen: list[tuple[Tensor, Tensor]] = []
        use = Use("", embedding, "weight", "embedding")
        catch = Capture([use], lambda _, ids, delta: seen.append((ids, delta * Outside.scale(embedding))))
        with others.capture(), catch:
            for b, batch in enumerate(run.batches):
                others.begin(batch)
                stack.embed(batch).backward(run.deltas[b])
                others.end_batch()
        return seen

    def _means(self, sums: Sums) -> dict[str, Tensor]:
        self._processes.join(sums.tensors.values())
        return sums.means(self.summary.n_texts, self.summary.n_predicted)
