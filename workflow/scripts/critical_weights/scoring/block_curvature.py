"""Hutchinson's diagonal of the Hessian block by block: exact Hessian-vector products, one block in memory at a time.

A probe's product over **all** parameters takes one sweep forward, which carries the derivative of every block's input
along the probe, and one back, which carries the loss's gradient and its derivative along the probe. Within a block
plain autograd serves, twice; the head has a closed form. Only those two derivatives wait between blocks, for every
probe: so all probes go through one pair of sweeps, and a block's estimates are finished where it stands.

The parts follow each other as in :mod:`.blockwise`. A run that goes on behind one of them first sweeps forward again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from ..log import choice, logger, progress
from .batches import IGNORED, pack, turn_of
from .blockwise import BlockPlan
from .compact import compact_embedding, used_tokens
from .differentials import Part, pull, push
from .directions import Directions
from .experts import eager_experts
from .head import LogitShape
from .head_curvature import HeadCurvature, HeadPart
from .kept_parts import Kept, NothingKept, blocks_left
from .loss import accumulator_dtype
from .outside import Outside
from .processes import ALONE, Processes
from .running_mean import RunningMean
from .seam import Summary, TensorStatistics
from .stack import Stack
from .sweeps import Sweeps, add_end, add_rows
from .uses import group_uses
from .weights import Weights


class BlockCurvature:
    """One pass of curvature, block by block; see :class:`critical_weights.scoring.seam.Run`.

    The estimates of :class:`.curvature.HessianDiagonal`, from the same probes (Bekas et al. 2007).

    Args:
        model: in eval mode; its parameters in memory, gradients on, or on the meta device.
        texts: token ids of each text, at least two each.
        plan: what bounds its memory.
        weights: where the weights are.
        device: where to compute.
        analysed: the tensors that probes move.
        seed: of the probes.
        probes: how many, at least two.
        processes: those that share the texts; only the first one's estimates are over all of them.
        kept: what an earlier run finished, and where to keep what this one does.

    """

    def __init__(
        self,
        model: PreTrainedModel,
        texts: Sequence[Sequence[int]],
        plan: BlockPlan,
        weights: Weights,
        device: torch.device,
        analysed: Collection[str],
        *,
        seed: int,
        probes: int,
        processes: Processes = ALONE,
        kept: Kept | None = None,
    ) -> None:
        missing = {name: "no probe moves it" for name, _ in model.named_parameters() if name not in analysed}
        self.summary = Summary(len(texts), sum(len(ids) - 1 for ids in texts), missing=missing)
        self._model = model
        self._processes = processes
        self._texts = processes.share(texts)
        self._plan = plan
        self._weights = weights
        self._device = device
        self._probes = probes
        self._kept = kept or NothingKept()
        self._directions = Directions(model, analysed, seed, probes, device)
        self._dtype = accumulator_dtype(next(model.parameters()).dtype)

    def __iter__(self) -> Iterator[TensorStatistics]:
        """Sweep forward, then yield the tensors of each part as soon as it is finished, last block first."""
        stack = Stack(self._model)
        finished, facts = self._kept.finished, dict(self._kept.facts)
        self.summary.corpus_loss = facts.get("corpus_loss")
        left = blocks_left(self._kept, len(stack))
        if left is None:
            return
        outside = Outside.find(self._model, group_uses(self._model), stack.names("outside"))
        batches = pack(self._texts, self._plan.batch_tokens, self._device, turn_of(self._model.config))
        tokens = self._processes.union(used_tokens(batches), outside.vocabulary[outside.embedding])
        run = Sweeps(batches, tokens)
        with ExitStack() as held:
            held.enter_context(eager_experts(self._model))
            # Fused attention kernels have no second derivative; the plain formula has.
            held.enter_context(sdpa_kernel(SDPBackend.MATH))
            held.enter_context(self._weights.loaded(outside.others))
            read = partial(self._weights.rows, outside.embedding)
            held.enter_context(compact_embedding(self._model.get_input_embeddings(), run.tokens, read))
            self._directions.compact(outside.embedding, run.tokens)
            with self._weights.loaded(stack.names(0)):
                stack.learn(batches[-1])
            shape = outside.logit_shape(stack, batches[-1])
            moved = self._directions.moved([outside.embedding, *outside.others])
            enter = Part(lambda b, _: stack.embed(batches[b]), moved)
            others = {name: parameter for name, parameter in moved.items() if name != outside.embedding}
            leave = Part(lambda b, hidden: stack.head_input(batches[b], hidden), others)
            # Only inputs of blocks that are still to do are needed; a tied head is used last, from the last output.
            self._forward(stack, run, enter, len(stack) if finished == 0 or outside.tied else max(left - 1, 0))
            head = self._head(run, outside, shape, leave) if finished == 0 or outside.tied else None
            # A tensor may serve at both ends: all probes' sums of these few wait for both.
            ends = {n: p.new_zeros((self._probes, *p.shape), dtype=self._dtype) for n, p in moved.items()}
            if finished == 0:
                self.summary.corpus_loss = self._processes.total(head.losses()) / self.summary.n_predicted
                facts["corpus_loss"] = self.summary.corpus_loss
                yield from self._loss(run, outside, head)
                inputs, run.changes, changes = run.inputs.pop(), run.tangents.pop(), run.changes
                add_end(ends, leave, pull(leave, self._directions, inputs, run.changes, run.adjoints, changes))
                del inputs, changes
                self._kept.finish(run.state(ends), facts)
            else:
                if head:
                    head.losses()
                run.restore(self._kept.take_state(), ends, left)
            for index in progress(reversed(range(left)), left, "curvature pass", "blocks"):
                yield from self._block(stack, run, index)
                self._kept.finish(run.state(ends), facts)
            nothing = [None] * len(batches)
            add_end(ends, enter, pull(enter, self._directions, nothing, nothing, run.adjoints, run.changes))
            self._processes.join(ends.values())
            yield from self._finished(outside.others, {n: self._mean(ends[n]) for n in outside.others if n in ends})
        embedded = ends.get(outside.embedding)
        if outside.tied:
            add = partial(add_rows, run.tokens, embedded)
            yield from self._head_parts(outside, head.sweep(None, products=True, add_rows=add))
        else:
            yield from self._embedding(outside, run.tokens, embedded)
        self._kept.finish({}, facts)

    def _forward(self, stack: Stack, run: Sweeps, enter: Part, depth: int) -> None:
        """Keep each block's inputs and their derivatives along each probe, and what block ``depth`` - 1 gives."""
        run.calls = [stack.calls(batch)[1] for batch in run.batches]
        nothing = [None] * len(run.batches)
        inputs, tangents = push(enter, self._directions, nothing, nothing)
        kept = sum(t.numel() * t.element_size() for t in tangents) * (depth + 1)
        choice("probes a pass", self._probes, f"{kept / 1e9:.2f} GB of them wait between blocks", logger(__name__))
        run.inputs, run.tangents = [inputs], [tangents]
        for index in progress(range(depth), depth, "forward pass", "blocks"):
            with self._weights.loaded(stack.names(index)):
                part = self._part(stack, run, index)
                inputs, tangents = push(part, self._directions, inputs, tangents)
            run.inputs.append(inputs)
            run.tangents.append(tangents)

    def _part(self, stack: Stack, run: Sweeps, index: int) -> Part:
        return Part(
            lambda b, hidden: stack.run_block(index, run.calls[b][index], hidden),
            self._directions.moved(stack.names(index)),
        )

    def _head(self, run: Sweeps, outside: Outside, shape: LogitShape, leave: Part) -> HeadCurvature:
        """Return the head at the predicted positions, behind what the last block gave."""
        inputs, tangents = push(leave, self._directions, run.inputs[-1], run.tangents[-1])
        targets = [batch.targets() for batch in run.batches]
        masks = [y != IGNORED for y in targets]
        return HeadCurvature(
            inputs=[x[mask] for x, mask in zip(inputs, masks, strict=True)],
            tangents=[xdot[:, mask] for xdot, mask in zip(tangents, masks, strict=True)],
            targets=[y[mask] for y, mask in zip(targets, masks, strict=True)],
            read=partial(outside.read, self._weights),
            direction=partial(self._directions.of_rows, (outside.head, outside.head_bias)),
            chunks=outside.chunks(self._plan.chunk_rows),
            shape=shape,
            keep=self._plan.keep_logits,
            predicted=self.summary.n_predicted,
            processes=self._processes,
        )

    def _loss(self, run: Sweeps, outside: Outside, head: HeadCurvature) -> Iterator[TensorStatistics]:
        """Go back from the loss through the head; yield the head where it is not tied."""
        adjoints = head.adjoints()
        if outside.tied:
            deque(head.sweep(adjoints, products=False), maxlen=0)
        else:
            yield from self._head_parts(outside, head.sweep(adjoints, products=True))
        for b, batch in enumerate(run.batches):
            mask = batch.targets() != IGNORED
            x = head.inputs[b]
            run.adjoints.append(x.new_zeros((*mask.shape, x.shape[-1])))
            run.changes.append(x.new_zeros((self._probes, *mask.shape, x.shape[-1])))
            run.adjoints[b][mask] = adjoints.first[b].to(x.dtype)
            run.changes[b][:, mask] = adjoints.second[b].to(x.dtype)

    def _head_parts(self, outside: Outside, parts: Iterable[HeadPart]) -> Iterator[TensorStatistics]:
        """Yield the head's tensors chunk by chunk, its bias at the end."""
        biases = []
        for part in parts:
            weight, found = part.chunk.weight.to(self._dtype), part.weight.result() if part.weight else {}
            yield TensorStatistics(outside.head, weight, found)
            if outside.head_bias:
                biases.append((part.chunk.bias, part.bias.result() if part.bias else {}))
            del part, weight, found
        if biases:
            found = {s: torch.cat([own[s] for _, own in biases]) for s in biases[0][1]}
            yield TensorStatistics(outside.head_bias, torch.cat([v for v, _ in biases]).to(self._dtype), found)

    def _block(self, stack: Stack, run: Sweeps, index: int) -> Iterator[TensorStatistics]:
        """Go back through one block over all batches and probes; yield its tensors."""
        with self._weights.loaded(stack.names(index)):
            part = self._part(stack, run, index)
            means = {n: RunningMean(p.shape, self._dtype, self._device) for n, p in part.moved.items()}
            inputs, tangents = run.inputs.pop(), run.tangents.pop()
            for _, found in pull(part, self._directions, inputs, tangents, run.adjoints, run.changes):
                self._processes.join(found)
                for mean in means.values():
                    mean.add(found.pop(0).div_(self.summary.n_predicted)[None])
            run.changes = tangents
            yield from self._finished(stack.names(index), means)

    def _finished(self, names: Iterable[str], means: dict[str, RunningMean]) -> Iterator[TensorStatistics]:
        parameters = dict(self._model.named_parameters())
        for name in names:
            found = means.pop(name).result() if name in means else {}
            yield TensorStatistics(name, parameters[name].detach().to(self._dtype), found)

    def _mean(self, sums: Tensor) -> RunningMean:
        """Return the mean over all probes' ``v * (H v)`` of the summed loss, (probes, ...)."""
        mean = RunningMean(sums.shape[1:], self._dtype, self._device)
        mean.add(sums / self.summary.n_predicted)
        return mean

    def _embedding(self, outside: Outside, tokens: Tensor, embedded: Tensor | None) -> Iterator[TensorStatistics]:
        """Yield the embedding slab by slab; rows of tokens that no text holds are 0."""
        found = {} if embedded is None else self._mean(embedded).result()
        for rows in outside.chunks(self._plan.chunk_rows, outside.embedding):
            weight = self._weights.rows(outside.embedding, rows).to(self._dtype)
            here = (tokens >= rows.start) & (tokens < rows.stop)
            slab = {statistic: torch.zeros_like(weight) for statistic in found}
            for statistic, values in found.items():
                slab[statistic][tokens[here] - rows.start] = values[here]
            yield TensorStatistics(outside.embedding, weight, slab)
