"""The score store's fixed bins, against numpy.histogram over the edges that the store keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from critical_weights.metrics import METRICS
from critical_weights.scoring.reducer import TensorReducer
from critical_weights.scoring.seam import TensorStatistics
from critical_weights.store.histogram import BINS_PER_OCTAVE, FINE_BINS, histogram_edges, quantile_from_histogram

EDGES = histogram_edges()
TINY, MAX = np.float32(2.0**-149), np.finfo(np.float32).max
SCORES = hnp.arrays(
    np.float32,
    st.integers(1, 60),
    elements=st.floats(0, float(MAX), width=32, allow_subnormal=True) | st.sampled_from([0.0, 1.0, 0.5, float(TINY)]),
)


def _counts(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    entry = {"name": "x", "position": 0, "shape": list(scores.shape), "layer": None, "component": "c"}
    entry |= {"axes": ("axis0",) * scores.ndim, "tied_to": [], "numel": scores.size}
    reducer = TensorReducer(METRICS["magnitude"], entry, candidates=1, dense=False)
    reducer.add(TensorStatistics("x", torch.from_numpy(scores), {}))
    return reducer.finish().histogram


def _by_numpy(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.histogram(scores[scores > 0].astype(np.float64), EDGES)[0]


def _whole_range(seed: int, n: int) -> NDArray[np.float32]:
    """Every kind of non-negative finite float32: their bits are drawn, so each octave is as likely."""
    bits = np.random.default_rng(seed).integers(0, int(MAX.view(np.int32)) + 1, n).astype(np.int32)
    subnormal = np.random.default_rng(seed + 1).integers(1, 1 << 23, n // 20).astype(np.int32)
    special = np.array([0, 0, 1, (1 << 23) - 1, 1 << 23, int(MAX.view(np.int32))], np.int32)
    return np.concatenate([bits, subnormal, special]).view(np.float32)


def test_edges_are_eight_an_octave_over_the_normal_numbers_and_one_bin_below() -> None:
    assert len(EDGES) == 254 * BINS_PER_OCTAVE + 2
    assert EDGES[0] == 2.0**-149
    assert EDGES[1] == 2.0**-126
    assert EDGES[-1] == 2.0**128
    assert (np.diff(EDGES) > 0).all()
    wanted = 2.0 ** (-126 + np.arange(254 * BINS_PER_OCTAVE + 1) / BINS_PER_OCTAVE)
    np.testing.assert_allclose(EDGES[1:], wanted, rtol=5e-4)
    assert (EDGES[:-1].astype(np.float32) == EDGES[:-1]).all(), "an edge is a float32, so a score equal to it is clear"


@pytest.mark.parametrize("seed", range(3))
def test_counts_equal_numpys_over_the_whole_range(seed: int) -> None:
    scores = _whole_range(seed, 200_000)
    counts = _counts(scores)
    np.testing.assert_array_equal(counts, _by_numpy(scores))
    assert counts.sum() + (scores == 0).sum() == len(scores)
    assert (counts > 0).mean() > 0.99


def test_scores_on_an_edge_and_just_beside_it_fall_as_numpy_has_them() -> None:
    on = EDGES[1:-1].astype(np.float32)
    scores = np.concatenate([on, np.nextafter(on, np.float32(0)), np.nextafter(on, np.float32(np.inf))])
    np.testing.assert_array_equal(_counts(scores), _by_numpy(scores))


def test_zeros_of_either_sign_are_in_no_bin_and_the_ends_are() -> None:
    counts = _counts(np.array([0.0, -0.0, TINY, MAX, MAX], np.float32))
    assert counts[0] == 1
    assert counts[-1] == 2
    assert counts.sum() == 3


def test_large_tensors_are_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = _whole_range(3, 1000)
    whole = _counts(scores)
    monkeypatch.setattr("critical_weights.scoring.bands.BAND_ELEMENTS", 64)
    np.testing.assert_array_equal(_counts(scores), whole)


def test_shape_does_not_matter() -> None:
    scores = _whole_range(4, 1014)[:1014]
    np.testing.assert_array_equal(_counts(scores.reshape(2, 13, 39)), _counts(scores))


def test_fine_bins_hold_every_finite_float() -> None:
    assert int(MAX.view(np.int32)) >> 13 == FINE_BINS - 1


def _exact_quantile(scores: NDArray[np.float32], q: float) -> float:
    """The smallest score s with at least ``q`` of all scores <= s, found by trying each."""
    return min(float(s) for s in scores if (scores <= s).sum() >= q * len(scores))


@settings(max_examples=60, deadline=None)
@given(SCORES, st.floats(0, 1))
def test_a_quantile_lies_within_its_bounds(scores: NDArray[np.float32], q: float) -> None:
    estimate, low, high = quantile_from_histogram(_by_numpy(scores), int((scores == 0).sum()), q)
    exact = _exact_quantile(scores, q)
    assert low <= exact < high or low == exact == high == 0
    assert low <= estimate <= high
    if exact >= 2.0**-126:
        assert estimate == pytest.approx(exact, rel=0.0445)


@pytest.mark.parametrize("q", [0.0, 0.5, 0.95, 0.99, 1.0])
def test_quantiles_of_many_scores(q: float) -> None:
    scores = np.random.default_rng(0).lognormal(-9, 4, 20_001).astype(np.float32)
    scores[:3000] = 0
    _, low, high = quantile_from_histogram(_counts(scores), 3000, q)
    assert low <= np.quantile(scores, q, method="inverted_cdf") <= high


def test_quantiles_of_zeros_are_exact() -> None:
    counts = _counts(np.array([0, 0, 0, 1.0], np.float32))
    assert quantile_from_histogram(counts, 3, 0.75) == (0.0, 0.0, 0.0)
    assert quantile_from_histogram(counts, 3, 0.76)[1] == 1.0
