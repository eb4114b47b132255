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
from critical_weights.scoring import bands
from critical_weights.scoring.activations import WITHOUT_FIRST
from critical_weights.scoring.reduce import check_finite, line_sums, top_indices
from critical_weights.scoring.reducer import TensorReducer
from critical_weights.scoring.seam import TensorStatistics, slabs
from critical_weights.store.schema import TensorScores

MAX = float(np.finfo(np.float32).max)
FEW_VALUES = st.sampled_from([0.0, -0.0, 2.0**-149, 0.5, 1.0, 1.0009765625, 2.0, MAX])
MANY = st.floats(0, MAX, width=32)


def _reduced(
    scores: np.ndarray, axes: tuple[str, ...] = (), candidates: int = 10, slab: int = 10**9, dense: bool = False
) -> TensorScores:
    """Reduce scores as the magnitudes of a tensor's weights."""
    axes = axes or ("axis0", "axis1", "axis2")[: scores.ndim]
    entry = {"name": "x", "position": 0, "shape": list(scores.shape), "layer": None, "component": "c", "axes": axes}
    entry |= {"tied_to": [], "numel": scores.size}
    reducer = TensorReducer(METRICS["magnitude"], entry, candidates=candidates, dense=dense)
    for item in slabs(TensorStatistics("x", torch.from_numpy(scores), {}), slab):
        assert not reducer.complete
        reducer.add(item)
    assert reducer.complete
    return reducer.finish()


@pytest.mark.parametrize("candidates", [1, 10, 300])
def test_by_text_there_are_no_more_weights_than_candidates_however_a_tensor_is_cut(candidates: int) -> None:
    rng = np.random.default_rng(0)
    weight = torch.from_numpy(rng.standard_normal((64, 8)).astype(np.float32))
    entry = {"name": "x", "position": 0, "shape": [64, 8], "layer": None, "component": "c", "axes": ("row", "col"),
             "tied_to": [], "numel": weight.numel()}  # fmt: skip
    inputs = {"input_abs": torch.rand(1, 8) + 0.1, f"input_abs{WITHOUT_FIRST}": torch.rand(1, 8)}
    for slab in (10**9, 64, 8):
        reducer = TensorReducer(METRICS["act_mag"], entry, candidates=candidates, dense=False)
        for item in slabs(TensorStatistics("x", weight, inputs), slab):
            reducer.add(item)
        found = reducer.finish()
        exact = (weight.abs() * inputs[f"input_abs{WITHOUT_FIRST}"]).reshape(-1)[found.candidates["top_index"]]
        np.testing.assert_allclose(found.texts["top_without_first"], exact, rtol=1e-6)
        assert len(exact) == candidates


def _top(scores: np.ndarray, count: int) -> list[int]:
    index = _reduced(scores, candidates=count).candidates["top_index"]
    assert index.dtype == np.int64
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


@pytest.mark.parametrize("above", [0.0, 0.25, 0.5, 2.0])
def test_only_scores_above_a_limit_are_wanted(above: float) -> None:
    scores = np.random.default_rng(0).integers(0, 6, 3000).astype(np.float32) / 4
    fine = np.bincount(scores.view(np.int32) >> 13, minlength=255 << 10)
    for count in (1, 10, 700, 3000):
        found = top_indices(torch.from_numpy(scores), count, fine, above).tolist()
        assert found == [i for i in _full_sort(scores, 3000) if scores[i] > above][:count]


def test_moments_are_numpys_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "BAND_ELEMENTS", 100)
    rng = np.random.default_rng(0)
    scores = rng.lognormal(0, 8, (37, 41)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = 0
    found = _reduced(scores).attributes
    wide = scores.astype(np.float64)
    wanted = {
        "zeros": int((scores == 0).sum()),
        "nonfinite": 0,
        "sum": pytest.approx(wide.sum(), rel=1e-13),
        "sum_sq": pytest.approx((wide**2).sum(), rel=1e-13),
        "min": 0.0,
        "max": float(scores.max()),
    }
    assert {name: found[name] for name in wanted} == wanted


def test_sums_do_not_lose_small_scores_beside_a_large_one() -> None:
    """In float32 the 2^24 + 1st unit would vanish: 16777216 + 1 = 16777216."""
    scores = np.ones((7, 143), np.float32)
    scores[0, 0] = 2.0**24
    assert _reduced(scores).attributes["sum"] == 2.0**24 + 1000
    assert _reduced(np.full((10,), 1e30, np.float32)).attributes["sum_sq"] == pytest.approx(1e61)
    ones = torch.from_numpy(scores)
    assert line_sums(ones, torch.ones(7, 143)).first[0].item() == 2.0**24 + 142


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
    value = np.abs(np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    for slab in (10**9, 5):
        found = _reduced(value, axes, slab=slab).lines
        assert set(found) == {"row_sum", "row_max", "col_sum", "col_max"}
        for line in ("row", "col"):
            by_hand = _lines_by_hand(value.astype(np.float64), axes, line, how)
            np.testing.assert_allclose(found[f"{line}_{how}"], by_hand, rtol=1e-6)


@pytest.mark.parametrize("shape", [(70, 30), (3, 20, 30)])
def test_signed_sums_are_those_of_the_product(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "BAND_ELEMENTS", 100)
    generator = torch.Generator().manual_seed(0)
    weight, gradient = (torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(2))
    found, product = line_sums(weight, gradient), weight * gradient
    torch.testing.assert_close(found.first, product.sum(-1), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(found.last, product.sum(-2), rtol=1e-13, atol=1e-13)
    assert found.total == pytest.approx(product.sum().item(), rel=1e-12)
    assert found.l1 == pytest.approx(product.abs().sum().item(), rel=1e-12)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_bands_and_threads_change_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "BAND_ELEMENTS", 500)
    scores = np.random.default_rng(0).lognormal(0, 3, (97, 61)).astype(np.float32)
    before = torch.get_num_threads()
    monkeypatch.setattr(bands, "_pool", bands._pool.__wrapped__)
    try:
        torch.set_num_threads(1)
        alone = _reduced(scores, ("row", "col"), candidates=300)
        torch.set_num_threads(threads)
        found = _reduced(scores, ("row", "col"), candidates=300)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found.attributes == alone.attributes
    assert all((found.lines[name] == alone.lines[name]).all() for name in alone.lines)
    assert all((found.candidates[name] == alone.candidates[name]).all() for name in alone.candidates)
    assert (found.histogram == alone.histogram).all()


@pytest.mark.parametrize("axes", [("row",), ("expert", "row"), ("axis0", "axis1", "axis2")])
def test_tensors_without_rows_and_columns_have_no_lines(axes: tuple[str, ...]) -> None:
    assert _reduced(np.ones((2,) * len(axes), np.float32), axes or ("axis0",)).lines == {}


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
    whole, cut = (_reduced(weight.numpy(), axes, 5000, slab, dense=True) for slab in (10**9, 7 * 70))
    order = np.lexsort((np.arange(21_000), -weight.abs().numpy().ravel()))[:5000]
    assert (whole.candidates["top_index"] == order).all()
    assert all((whole.candidates[name] == cut.candidates[name]).all() for name in whole.candidates)
    assert all(np.allclose(whole.lines[name], cut.lines[name], rtol=1e-6) for name in whole.lines)
    assert (whole.histogram == cut.histogram).all()
    assert (whole.scores == cut.scores).all()
    assert whole.attributes["zeros"] == cut.attributes["zeros"] > 0
    assert whole.attributes["sum"] == pytest.approx(cut.attributes["sum"], rel=1e-12)
