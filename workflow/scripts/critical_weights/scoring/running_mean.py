"""Mean and standard error over probes, gathered a few probes at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class RunningMean:
    """Mean and summed squared deviation of estimates of one tensor (Chan, Golub and LeVeque 1979).

    The mean of squares less the square of the mean would cancel where the standard error is small.

    Args:
        shape: of one estimate.
        dtype: of the sums.
        device: of the sums.

    """

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
        self._mean = torch.zeros(tuple(shape), dtype=dtype, device=device)
        self._deviation = torch.zeros_like(self._mean)
        self._seen = 0

    def add(self, estimates: Tensor) -> None:
        """Add some probes' estimates, (probes, ...)."""
        count = len(estimates)
        mean = estimates.mean(0) if count > 1 else estimates[0]
        apart = mean - self._mean
        share = count / (self._seen + count)
        if count > 1:
            self._deviation += (estimates - mean).square().sum(0)
        self._deviation.addcmul_(apart, apart, value=self._seen * share)
        self._mean.add_(apart, alpha=share)
        self._seen += count

    def result(self) -> dict[str, Tensor]:
        """Return ``hessian_diag``, the mean, and ``hessian_stderr`` (sample variance over the n probes, by n).

        The sums are turned into them in place: nothing can be added afterwards.
        """
        freedom = self._seen * (self._seen - 1)
        return {"hessian_diag": self._mean, "hessian_stderr": self._deviation.div_(freedom).sqrt_()}
