"""What lists cut tensor by tensor share by chance, all tensors together: the tail of a sum of hypergeometrics.

Two lists of the first 100 of every tensor share more by their make than two free draws of as many weights: within
each tensor both draw from that tensor alone. The number shared is then a sum of independent hypergeometric numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .chance import log_probability, of_draws

Floats = NDArray[np.float64]
_SMALLEST = -760.0
"""A tail whose logarithm is below this is no float64 above 0."""


def chance_of_sharing_in_all(shared: int, population: ArrayLike, a: ArrayLike, b: ArrayLike) -> float:
    """Return the probability that draws made tensor by tensor share at least ``shared`` weights in all.

    From tensor t the one draw takes ``a[t]`` of its ``population[t]`` weights and the other ``b[t]``, without
    replacement and independently. The distribution of the sum is a convolution, had by a Fourier transform; so that
    even a tail of 1e-300 comes out right (to some 1e-10 of itself), every term is first tilted by exp(theta x), with
    theta such that the tilted sum has its mean at ``shared``. Source: Esscher 1932; Keich 2005, sFFT. At or below the
    mean it is the lower tail, and the result 1 minus it. The result is 0 where it is below the smallest float64.

    Args:
        shared: weights in both draws, possible: at most the sum of min(a, b).
        population: weights of each tensor.
        a: size of one draw from each tensor, 0 to ``population``.
        b: size of the other.

    """
    parts = _Parts(*(np.asarray(v, np.float64) for v in (population, a, b)))
    if shared <= parts.lowest:
        return 1.0
    if shared > parts.mean(0.0):
        return parts.tail(int(shared), upper=True)
    return float(np.clip(1 - parts.tail(int(shared) - 1, upper=False), 0, 1))


class _Parts:
    """The numbers shared within each tensor: equal tensors once, with how often they come."""

    def __init__(self, population: Floats, a: Floats, b: Floats) -> None:
        sizes, self.times = np.unique(np.stack([population, a, b], axis=1), axis=0, return_counts=True)
        n, a, b = sizes.T
        low, high = np.maximum(0, a + b - n), np.minimum(a, b)
        self.lowest, self.highest = int((self.times * low).sum()), int((self.times * high).sum())
        length = (high - low + 1).astype(np.int64)
        self.part = np.repeat(np.arange(len(sizes)), length)
        self.starts = np.cumsum(length) - length
        n, a, b, low, draws = (v[self.part] for v in (n, a, b, low, of_draws(n, a, b)))
        step = np.arange(len(self.part)) - self.starts[self.part]
        self.x = low + step
        open_ = (length > 1)[self.part]  # a draw of everything or of nothing shares one number only
        self.log = np.zeros(len(self.x))
        self.log[open_] = log_probability(*(v[open_] for v in (self.x, n, a, b, draws)))

    def tilted(self, theta: float) -> tuple[Floats, Floats]:
        """Return each part's probabilities times exp(theta x), made to sum to 1, and the logs of their sums."""
        log = self.log + theta * self.x
        peak = np.maximum.reduceat(log, self.starts)
        weight = np.exp(log - peak[self.part])
        total = np.add.reduceat(weight, self.starts)
        return weight / total[self.part], np.log(total) + peak

    def moments(self, theta: float) -> tuple[float, float]:
        """Return the mean and the variance of the tilted sum."""
        q, _ = self.tilted(theta)
        mean = np.add.reduceat(q * self.x, self.starts)
        spread = np.add.reduceat(q * (self.x - mean[self.part]) ** 2, self.starts)
        return float((self.times * mean).sum()), float((self.times * spread).sum())

    def mean(self, theta: float) -> float:
        """Return the mean of the tilted sum."""
        return self.moments(theta)[0]

    def tail(self, at: int, *, upper: bool) -> float:
        """Return the probability of ``at`` or more (or, if not ``upper``, of ``at`` or less)."""
        if at in (self.lowest, self.highest):  # no tilt is enough; there is one way only
            chosen = self.starts if at == self.lowest else np.append(self.starts[1:], len(self.x)) - 1
            return float(np.exp((self.times * self.log[chosen]).sum()))
        theta = self._tilt_to(at)
        q, logs = self.tilted(theta)
        scale = float((self.times * logs).sum())
        if scale - theta * at < _SMALLEST:  # Chernoff's bound of the tail
            return 0.0
        half = int(20 * np.sqrt(self.moments(theta)[1]) + 60)
        size = 1 << int(np.ceil(np.log2(2 * half)))
        transform = np.ones(size // 2 + 1, np.complex128)
        ends = np.append(self.starts[1:], len(self.x))
        for start, end, times in zip(self.starts, ends, self.times, strict=True):
            folded = np.bincount(self.x[start:end].astype(np.int64) % size, q[start:end], minlength=size)
            transform *= np.fft.rfft(folded) ** int(times)
        density = np.maximum(np.fft.irfft(transform, size), 0)
        beyond = at + np.arange(half) * (1 if upper else -1)
        beyond = beyond[(beyond >= self.lowest) & (beyond <= self.highest)]
        return float(min(1.0, (density[beyond % size] * np.exp(scale - theta * beyond)).sum()))

    def _tilt_to(self, at: int) -> float:
        """Return the tilt whose sum has the mean ``at``: Newton's steps, halved intervals where they leave them."""
        low, high, theta = -1.0, 1.0, 0.0
        while self.mean(low) > at:
            low *= 2
        while self.mean(high) < at:
            high *= 2
        for _ in range(100):
            mean, variance = self.moments(theta)
            low, high = (theta, high) if mean < at else (low, theta)
            if abs(mean - at) < 1e-3 * max(1.0, np.sqrt(variance)):  # the tilt need not be exact, the result is
                break
            theta += (at - mean) / variance if variance > 0 else np.inf
            if not low < theta < high:
                theta = (low + high) / 2
        return theta
