"""From one tensor's scores to what a store keeps: against a full sort, numpy, and loops over lines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from critical_weights.errors import ModelError
from critical_weights.metrics import METRICS
from critical_weights.score_store import TensorScores
from critical_weights.scoring import reduce
from critical_weights.scoring.reduce import check_finite, fine_histogram, line_figures, moments, top_indices
from critical_weights.scoring.reducer import TensorReducer
from critical_weights.scoring.seam import TensorStatistics, slabs

MAX = float(np.finfo(np.float32).max)
FEW_VALUES = st.sampled_from([0.0, -0.0, 2.0**-149, 0.5, 1.0, 1.0009765625, 2.0, MAX])
MANY = st.floats(0, MAX, width=32)


def _top(scores: np.ndarray, count: int) -> list[int]:
    score = torch.from_numpy(scores)
    index = top_indices(score, count, fine_histogram(score)[0])
    assert index.dtype == torch.int64
    return index.tolist()


def _full_sort(scores: np.ndarray, count: int) -> list[int]:
    flat = scores.reshape(-1)
    return sorted(range(flat.size), key=lambda i: (-float(flat[i]), i))[:count]


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float32, st.integers(1, 40), elements=FEW_VALUES | MANY), st.integers(1, 45))
def test_top_indices_equal_a_full_sort_with_ties(scores: np.ndarray, count: int) -> None:
    assert _top(scores, count) == _full_sort(scores, count)


@pytest.mark.parametrize("count", [1, 7, 500, 501, 2999, 3000, 10_000])
@pytest.mark.parametrize("kind", ["all equal", "all zero", "half zeros", "few values", "distinct"])
def test_top_indices_of_larger_tensors(kind: str, count: int) -> None:
    rng = np.random.default_rng(0)
    n = 3000
    scores = {
        "all equal": np.full(n, 0.25),
        "all zero": np.zeros(n),
        "half zeros": np.where(rng.random(n) < 0.5, 0, rng.random(n)),
        "few values": rng.integers(0, 4, n).astype(float),
        "distinct": rng.permutation(n).astype(float),
    }[kind].astype(np.float32)
    assert _top(scores.reshape(50, 60), count) == _full_sort(scores, count)


def test_moments_are_numpys_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduce, "_CHUNK", 100)
    rng = np.random.default_rng(0)
    scores = rng.lognormal(0, 8, (37, 41)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = 0
    found = moments(torch.from_numpy(scores))
    wide = scores.astype(np.float64)
    assert found == {
        "zeros": int((scores == 0).sum()),
        "nonfinite": 0,
        "sum": pytest.approx(wide.sum(), rel=1e-13),
        "sum_sq": pytest.approx((wide**2).sum(), rel=1e-13),
        "min": 0.0,
        "max": float(scores.max()),
    }


def test_sums_do_not_lose_small_scores_beside_a_large_one() -> None:
    """In float32 the 2^24 + 1st unit would vanish: 16777216 + 1 = 16777216."""
    scores = torch.ones(1001)
    scores[0] = 2.0**24
    assert moments(scores)["sum"] == 2.0**24 + 1000
    assert moments(torch.full((10,), 1e30))["sum_sq"] == pytest.approx(1e61)
    assert line_figures(scores.reshape(7, 143), ("row", "col"), "sum")["row"][0].item() == 2.0**24 + 142


def _lines_by_hand(value: np.ndarray, axes: tuple[str, ...], line: str, how: str) -> np.ndarray:
    """One row or column at a time, expert by expert."""
    if axes[0] == "expert":
        return np.stack([_lines_by_hand(part, axes[1:], line, how) for part in value])
    first = axes[0] == line
    figures = [value[i, :] if first else value[:, i] for i in range(value.shape[0 if first else 1])]
    return np.array([figure.sum() if how == "sum" else figure.max() for figure in figures])


@pytest.mark.parametrize(
    "axes, shape",
    [
        (("row", "col"), (3, 5)),
        (("col", "row"), (3, 5)),
        (("expert", "row", "col"), (2, 3, 4)),
        (("expert", "col", "row"), (2, 3, 4)),
    ],
)
@pytest.mark.parametrize("how", ["sum", "max"])
def test_lines_are_outputs_and_inputs_whatever_the_storage_order(
    axes: tuple[str, ...], shape: tuple[int, ...], how: str
) -> None:
    value = np.random.default_rng(0).standard_normal(shape)
    found = line_figures(torch.from_numpy(value), axes, how)
    assert set(found) == {"row", "col"}
    for line, figures in found.items():
        np.testing.assert_allclose(figures.numpy(), _lines_by_hand(value, axes, line, how), rtol=1e-14)


@pytest.mark.parametrize("axes", [("row",), ("expert", "row"), (), ("axis0", "axis1", "axis2")])
def test_tensors_without_rows_and_columns_have_no_lines(axes: tuple[str, ...]) -> None:
    assert line_figures(torch.ones((2,) * len(axes)), axes, "sum") == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_no_numbers_are_refused_by_tensor_metric_and_count(value: float) -> None:
    score = torch.ones(4, 5)
    check_finite(score, "x.weight", "obd")
    score[1, 2] = score[3, 3] = value
    with pytest.raises(ModelError, match=r"2 of 20 obd scores of x\.weight are NaN or infinite\. Use a wider dtype"):
        check_finite(score, "x.weight", "obd")


@pytest.mark.parametrize("axes", [("row", "col"), ("col", "row")])
def test_a_tensor_cut_into_slabs_is_reduced_to_the_same(axes: tuple[str, str]) -> None:
    """Scores rounded to one digit: thousands of ties, which must fall the same way however the tensor is cut."""
    weight = torch.randn(300, 70, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    entry = {"name": "x", "position": 0, "shape": [300, 70], "layer": None, "component": "c", "axes": axes}
    entry |= {"tied_to": [], "numel": 21_000}

    def reduced(size: int) -> TensorScores:
        reducer = TensorReducer(METRICS["magnitude"], entry, candidates=5000, dense=True)
        for slab in slabs(TensorStatistics("x", weight, {}), size):
            assert not reducer.complete
            reducer.add(slab)
        assert reducer.complete
        return reducer.finish()

    whole, cut = reduced(10**9), reduced(7 * 70)
    order = np.lexsort((np.arange(21_000), -weight.abs().numpy().ravel()))[:5000]
    assert (whole.candidates["top_index"] == order).all()
    assert all((whole.candidates[name] == cut.candidates[name]).all() for name in whole.candidates)
    assert all(np.allclose(whole.lines[name], cut.lines[name], rtol=1e-6) for name in whole.lines)
    assert (whole.histogram == cut.histogram).all()
    assert (whole.scores == cut.scores).all()
    assert whole.attributes["zeros"] == cut.attributes["zeros"] > 0
    assert whole.attributes["sum"] == pytest.approx(cut.attributes["sum"], rel=1e-12)
