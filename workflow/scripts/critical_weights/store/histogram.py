"""The fixed log-spaced bins in which every score store counts its scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS_PER_OCTAVE = 8
_MANTISSA_BITS = 10
SHIFT = 23 - _MANTISSA_BITS
"""Right shift that turns the bits of a positive float32 into a fine bin: sign 0, exponent, 10 bits of mantissa."""
FINE_BINS = 255 << _MANTISSA_BITS
"""Number of fine bins of the finite non-negative float32 (exponent bits 255 are infinite or NaN)."""


def _fine_starts() -> NDArray[np.int64]:
    # An edge 2^(e + i/8) is rounded to 10 bits of mantissa, so that a score's bin follows from its own bits.
    steps = np.round((2.0 ** (np.arange(BINS_PER_OCTAVE) / BINS_PER_OCTAVE) - 1) * 2**_MANTISSA_BITS).astype(np.int64)
    octaves = np.arange(1, 255, dtype=np.int64) << _MANTISSA_BITS
    return np.concatenate([[0], (octaves[:, None] + steps[None, :]).ravel()])


FINE_STARTS = _fine_starts()
"""First fine bin of each histogram bin; the first histogram bin holds the subnormal numbers."""


def histogram_edges() -> NDArray[np.float64]:
    """Return the edges of the bins, as float64: ``len(counts) + 1`` of them, the last one 2^128.

    Eight bins an octave over the normal float32 numbers, each edge within 0.05 % of 2^(i/8); one bin below
    them, from the smallest subnormal number. Zeros are counted apart.
    """
    edges = (FINE_STARTS << SHIFT).astype(np.int32).view(np.float32).astype(np.float64)
    edges[0] = 2.0**-149
    return np.append(edges, 2.0**128)


def merge_fine(fine: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum counts of fine bins (length ``FINE_BINS``) into the histogram's bins."""
    return np.add.reduceat(fine, FINE_STARTS)


def quantile_from_histogram(counts: NDArray[np.int64], zeros: int, q: float) -> tuple[float, float, float]:
    """Return (estimate, lower, upper) of the ``q`` quantile of scores known only by their histogram.

    The quantile is the smallest score s with at least ``q`` of all scores <= s; the true one lies in its bin, and
    the estimate is the bin's geometric middle.

    Args:
        counts: scores a bin, zeros not among them.
        zeros: number of scores that are exactly 0.
        q: between 0 and 1.

    """
    total = int(counts.sum()) + zeros
    rank = max(1, int(np.ceil(q * total)))
    if rank <= zeros:
        return 0.0, 0.0, 0.0
    bin_ = int(np.searchsorted(zeros + np.cumsum(counts), rank))
    low, high = histogram_edges()[bin_ : bin_ + 2]
    return float(np.sqrt(low * high)), float(low), float(high)
