"""Where caught inputs and output gradients go: the sums of each parameter tensor, one batch at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

from .accumulate import add_bias, add_linear, add_replayed, add_tied
from .batches import Batch
from .sums import Sums
from .text_gradients import TextGradients, Texts
from .uses import Use, embedding_scale


class GradientSums:
    """The gradient statistics of a set of parameter tensors over all texts seen so far.

    Args:
        parameters: by name.
        wanted: by name, the statistics to gather.
        uses: the uses that hooks catch.
        dtype: of the sums.
        by_text: the texts, to keep what is caught of the matrices until their candidates are known; or None.

    Attributes:
        sums: by name.
        texts: by name, each text's gradient at single weights; of matrices that hooks catch, where it is kept.

    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        wanted: Mapping[str, Collection[str]],
        uses: Iterable[Use],
        dtype: torch.dtype,
        by_text: Texts | None = None,
    ) -> None:
        self.parameters = dict(parameters)
        self.sums = {n: Sums.zeros(p.shape, wanted[n], dtype, p.device) for n, p in parameters.items()}
        by_name: dict[str, int] = {}
        for use in uses:
            by_name[use.name] = by_name.get(use.name, 0) + 1
        self._tied = {name for name, count in by_name.items() if count == 2}
        self._by_module: dict[int, dict[str, Use]] = {}
        for use in uses:
            if use.kind == "replay":
                self._by_module.setdefault(id(use.module), {})[use.attribute] = use
        self._head: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
        self._batch: Batch | None = None
        self._by_text = by_text
        self.texts: dict[str, TextGradients] = {}
        if by_text is not None:
            self.texts = {
                use.name: TextGradients(parameters[use.name].shape[1], by_text, dtype)
                for use in uses
                if use.kind in ("linear", "conv1d", "embedding") and self.sums[use.name].per_text
            }

    def begin(self, batch: Batch) -> None:
        """Say which batch the next caught gradients belong to."""
        self._batch = batch

    def __call__(self, use: Use, x: Tensor, delta: Tensor) -> None:
        """Take one use's module input and output gradient; called by the hooks of a backward pass."""
        lengths, predicted = self._batch.lengths, self._batch.predicted
        sums = self.sums[use.name]
        if use.kind == "embedding":
            delta = delta * embedding_scale(use.module)
        self._keep(use, x, delta)
        if use.name in self._tied:
            if use.kind == "linear":  # a backward pass comes to the head first
                self._head[use.name, id(self._batch)] = (delta, x)
            else:
                add_tied(sums, self._head.pop((use.name, id(self._batch))), (x, delta), lengths, predicted)
        elif use.kind == "linear":
            add_linear(sums, delta, x, lengths, predicted)
        elif use.kind == "conv1d":
            add_linear(sums, x, delta, lengths, predicted)
        elif use.kind == "bias":
            add_bias(sums, delta, lengths, predicted)
        elif use.kind == "embedding":
            sums.add_tokens(x, delta, lengths, predicted)
        else:
            together = self._by_module[id(use.module)]
            if use is next(iter(together.values())):  # once for all vectors of the norm
                add_replayed({a: self.sums[u.name] for a, u in together.items()}, use.module, x, delta, predicted)

    def _keep(self, use: Use, x: Tensor, delta: Tensor) -> None:
        texts = self.texts.get(use.name)
        if texts is None:
            return
        if use.kind == "embedding":
            texts.add_tokens(x, delta, self._batch)
        elif use.kind == "linear":
            texts.add_product(delta, x, self._batch)
        else:
            texts.add_product(x, delta, self._batch)

    def take_texts(self, name: str) -> TextGradients | None:
        """Return what single texts do at a tensor and forget it; None where some process does not know it."""
        texts = self.texts.pop(name, None)
        unknown = texts is None or not texts.seen
        if self._by_text and self._by_text.processes.any(unknown):
            return None
        return texts

    def add_plain(self, name: str, gradient: Tensor | None) -> None:
        """Add the gradient of the one text of the batch, as autograd gave it."""
        if gradient is not None:
            sums = self.sums[name]
            sums.add(gradient.to(sums.dtype, copy=True), self._batch.predicted[0])
