"""The statistics of head and embedding: matrices larger than a block, which go in chunks of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .accumulate import add_bias, add_linear, add_tied
from .batches import Batch
from .head import ChunkedHead
from .outside import Outside
from .part_sums import Means
from .seam import TensorStatistics
from .sums import Sums
from .text_gradients import TextGradients, Texts
from .weights import Weights


@dataclass(frozen=True)
class Vocabulary:
    """Head and embedding of one pass.

    Attributes:
        outside: which tensors they are.
        batches: the texts.
        wanted: statistics of each tensor.
        weights: where the weights are.
        means: turns sums into statistics.
        chunk_rows: rows of a chunk; None for all of them.
        dtype: of the sums.
        device: where to compute.
        by_text: the texts, to tell each one's own gradient of single weights; or None.

    """

    outside: Outside
    batches: Sequence[Batch]
    wanted: Mapping[str, Sequence[str]]
    weights: Weights
    means: Means
    chunk_rows: int | None
    dtype: torch.dtype
    device: torch.device
    by_text: Texts | None = None

    def head(
        self,
        head: ChunkedHead,
        embedded: Sequence[tuple[Tensor, Tensor]] | None = None,
        back: Sequence[Tensor] | None = None,
    ) -> Iterator[TensorStatistics]:
        """Yield the head's tensors chunk by chunk.

        Args:
            head: its losses are known.
            embedded: (token ids, output gradients) of the embedding that the head is tied to, by batch; None for none.
            back: where to add up the gradient of the head's inputs, by batch.

        """
        name, bias = self.outside.head, self.outside.head_bias
        biases = []
        for chunk, deltas in head.gradients():
            with torch.no_grad():
                sums = Sums.zeros(chunk.weight.shape, self.wanted[name], self.dtype, self.device)
                own = None
                if bias:
                    own = Sums.zeros(chunk.weight.shape[:1], self.wanted[bias], self.dtype, self.device)
                texts = self._texts(name, chunk.weight.shape[1], chunk.rows.start)
                for b, batch in enumerate(self.batches):
                    x, delta = head.inputs[b], deltas[b]
                    if texts:
                        texts.add_product(delta, x, batch)
                        if embedded is not None:
                            texts.add_tokens(*embedded[b], batch)
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
                    biases.append((chunk.bias, self.means(own)))
                item = TensorStatistics(name, chunk.weight.to(self.dtype), self.means(sums), texts)
                del sums, chunk, deltas, delta
            yield item
            del item
            if texts:
                texts.close()
            del texts
        if biases:
            means = {s: torch.cat([m[s] for _, m in biases]) for s in biases[0][1]}
            yield TensorStatistics(bias, torch.cat([v for v, _ in biases]).to(self.dtype), means)

    def embedding(self, tokens: Tensor, seen: Sequence[tuple[Tensor, Tensor]]) -> Iterator[TensorStatistics]:
        """Yield an embedding of its own slab by slab; rows of tokens that no text holds are 0.

        Args:
            tokens: the distinct tokens of all texts, ascending.
            seen: (places among them, output gradients) of the embedding, by batch.

        """
        name = self.outside.embedding
        size = seen[0][1].shape[-1]
        compact = Sums.zeros((len(tokens), size), self.wanted[name], self.dtype, self.device)
        texts = self._texts(name, size)
        with torch.no_grad():
            for batch, (ids, delta) in zip(self.batches, seen, strict=True):
                if texts:
                    texts.add_tokens(tokens[ids], delta, batch)
                compact.add_tokens(ids, delta, batch.lengths, batch.predicted)
            means = self.means(compact)
            for rows in self.outside.chunks(self.chunk_rows, name):
                weight = self.weights.rows(name, rows).to(self.dtype)
                here = (tokens >= rows.start) & (tokens < rows.stop)
                slab = {statistic: torch.zeros_like(weight) for statistic in means}
                for statistic, values in means.items():
                    slab[statistic][tokens[here] - rows.start] = values[here]
                item = TensorStatistics(name, weight, slab, texts)
                del weight, slab
                yield item
                del item
            if texts:
                texts.close()

    def _texts(self, name: str, columns: int, first_row: int = 0) -> TextGradients | None:
        """Return where to note what single texts do at a matrix, or None where that is not wanted."""
        if self.by_text is None or "grad_sq" not in self.wanted[name]:
            return None
        return TextGradients(columns, self.by_text, self.dtype, first_row)
