"""The gradient sums of one part of a model, gathered over the batches of a backward pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from .capture import Capture
from .gradients import GradientSums
from .seam import TensorStatistics
from .sums import Sums
from .text_gradients import Texts
from .uses import Use

Means = Callable[[Sums], dict[str, Tensor]]
"""Turns sums over texts, of all processes, into statistics."""


class PartSums(GradientSums):
    """The sums of some tensors: of those that hooks catch, and of those that need each text's own backward pass.

    Args:
        model: holds the tensors.
        names: of the tensors.
        wanted: statistics of each tensor.
        caught: uses of the tensors that hooks can catch; of the others autograd's own gradient is taken.
        dtype: of the sums.
        by_text: the texts, to tell each one's own gradient of single weights; or None.

    """

    def __init__(
        self,
        model: nn.Module,
        names: Iterable[str],
        wanted: Mapping[str, Collection[str]],
        caught: Mapping[str, list[Use]],
        dtype: torch.dtype,
        by_text: Texts | None = None,
    ) -> None:
        parameters = dict(model.named_parameters())
        names = list(names)
        self._uses = [use for name in names if name in caught for use in caught[name]]
        self._rest = [name for name in names if name not in caught]
        super().__init__({n: parameters[n] for n in names}, wanted, self._uses, dtype, by_text)

    def capture(self) -> Capture:
        """Return the hooks; inside them, what a backward pass leaves at the caught tensors is added."""
        return Capture(self._uses, self)

    def end_batch(self) -> None:
        """Add what autograd left at the tensors that hooks cannot catch."""
        for name in self._rest:
            self.add_plain(name, self.parameters[name].grad)
            self.parameters[name].grad = None

    def finished(self, means: Means) -> Iterator[TensorStatistics]:
        """Yield each tensor, giving its sums up."""
        for name in list(self.sums):
            own = means(self.sums.pop(name))
            parameter = self.parameters[name].detach()
            texts = self.take_texts(name)
            yield TensorStatistics(name, parameter.to(next(iter(own.values())).dtype), own, texts)
            if texts:
                texts.close()

    def forget_texts(self) -> None:
        """Forget what single texts did so far: a run that goes on behind this point would not know it."""
        self.texts = {name: texts for name, texts in self.texts.items() if not texts.seen}

    def state(self) -> dict[str, Tensor]:
        """Return the sums as they stand, by a name of each."""
        return {f"{s} of {name}": total for name, sums in self.sums.items() for s, total in sums.tensors.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put sums back that :meth:`state` gave."""
        for name, total in self.state().items():
            total.copy_(state[name])
