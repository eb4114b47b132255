"""The score of a weight for any multiset of the calibration texts, from the gradients of single texts.

Each gradient metric is the size of one sum over texts, over another: with multiplicities ``m_s`` the score is
``abs(sum_s m_s terms_s) / sum_s m_s counts_s``. ``m_s = 1`` for all texts gives the metric itself, which is how a
store's gradients of single texts are checked against its scores. Notation as in the README: ``g_s = dL_s/dw`` of the
summed loss of text s, ``T_s`` its predicted positions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError
from ..store.read import ScoreStore

Floats = NDArray[np.float64]
Terms = tuple[Floats, Floats]

_AGREEMENT = {"float64": 1e-4, "float32": 1e-4, "bfloat16": 5e-2, "float16": 5e-2}
"""How far the scores made from single texts may be from the store's, by the model's dtype, norm-relative a tensor.

Both are sums of the same products in another order; a model of 16 bits rounds what is summed. A wrong text, axis or
order is off by 1.
"""


def grad_x_weight(gradient: Floats, weight: Floats, predicted: Floats) -> Terms:
    """abs(w * sum m_s g_s / sum m_s T_s): the abs is taken after the sum."""
    return gradient * weight[:, None], predicted


def grad_squared(gradient: Floats, weight: Floats, predicted: Floats) -> Terms:
    """(1 / sum m_s) sum m_s (g_s / T_s)^2."""
    return (gradient / predicted) ** 2, np.ones_like(predicted)


def taylor_abs(gradient: Floats, weight: Floats, predicted: Floats) -> Terms:
    """(1 / sum m_s) sum m_s abs(w g_s / T_s)."""
    return np.abs(gradient * weight[:, None] / predicted), np.ones_like(predicted)


def obd(gradient: Floats, weight: Floats, predicted: Floats) -> Terms:
    """1/2 w^2 sum m_s g_s^2 / sum m_s T_s."""
    return 0.5 * (gradient * weight[:, None]) ** 2, predicted


TEXT_TERMS: dict[str, Callable[[Floats, Floats, Floats], Terms]] = {
    function.__name__: function for function in (grad_x_weight, grad_squared, taylor_abs, obd)
}
"""By full metric name: (gradients (m, N), weights (m,), predicted (N,)) -> terms (m, N), counts (N,)."""


def scores_of_multisets(terms: Terms, multiplicities: Floats) -> NDArray[np.float32]:
    """Return the scores (multisets, m) of some weights for several multisets of texts.

    Summed in float64 and rounded to the float32 of a store, so that equal scores stay equal: ties decide ranks.

    Args:
        terms: what a metric of :data:`TEXT_TERMS` returns.
        multiplicities: (multisets, N), how often each text counts.

    """
    sums, counts = terms
    scores = multiplicities @ sums.T
    np.abs(scores, out=scores)
    scores /= (multiplicities @ counts)[:, None]
    return scores.astype(np.float32)


def gradients_of_tensor(
    store: ScoreStore, name: str, weight: NDArray[np.float32], n_texts: int
) -> NDArray[np.float32] | None:
    """Return (m, N) a tensor's gradients of single texts at its first m candidates; None where the store has none.

    Args:
        store: scores of one metric.
        name: the tensor.
        weight: of all its candidates.
        n_texts: N.

    Raises:
        StoreError: the gradients are not of as many texts, or of more weights than there are candidates.

    """
    gradient = store.text_gradient(name)
    if gradient is not None and (gradient.ndim != 2 or gradient.shape[1] != n_texts or len(gradient) > len(weight)):
        raise StoreError(
            f"score store {store.path} contradicts itself: gradients of single texts of {name}",
            got=f"shape {gradient.shape}",
            expected=f"up to {len(weight)} candidates by {n_texts} texts",
            fix="Delete it; the next run scores again",
        )
    return gradient


def disagreement(made: NDArray[np.float32], stored: NDArray[np.float32]) -> float:
    """Return the norm of the difference over the norm of the store's scores; 0 where both are all zeros."""
    made, stored = made.astype(np.float64), stored.astype(np.float64)
    scale = float(np.abs(stored).max(initial=0))
    apart = float(np.abs(made).max(initial=0)) if scale == 0 else np.linalg.norm((made - stored) / scale)
    return float(apart) if scale == 0 else float(apart / np.linalg.norm(stored / scale))


def largest_disagreement(store: ScoreStore, by_tensor: dict[str, float]) -> tuple[float, float]:
    """Return the largest :func:`disagreement` of a store's tensors, and what is allowed.

    Raises:
        StoreError: it is more than what is allowed (NaN included).

    """
    allowed = _AGREEMENT.get(str(store.attributes["model_dtype"]), max(_AGREEMENT.values()))
    for name, value in by_tensor.items():
        if not value <= allowed:
            raise StoreError(
                f"score store {store.path} contradicts itself: scores of {name} made from the gradients of single "
                "texts differ from the kept ones",
                got=f"a relative difference of {value:.2g}",
                expected=f"{allowed:g} at most",
                fix="Delete it; the next run scores again",
            )
    return max(by_tensor.values(), default=0.0), allowed
