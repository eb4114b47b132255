"""What a score store holds: one HDF5 file of one (model, calibration, metric), in two tiers.

Small and always there: moments, histogram, line sums, the exact top candidates of each tensor. Large and on
request: every score. A store is complete or it is not there; a reader says what is wrong with one that is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION = "1"
ROOT_ATTRIBUTES = (
    "schema_version", "metric", "units", "normalisation", "model", "model_revision", "model_sha256",
    "calibration_sha256", "n_texts", "n_tokens", "corpus_loss", "seed", "model_dtype", "accumulator_dtype",
    "versions", "checks", "skipped", "complete",
)  # fmt: skip
JSON_ATTRIBUTES = ("versions", "checks", "skipped")
CANDIDATE_FIELDS = ("top_score", "top_index", "top_weight", "top_gradient", "top_signed", "top_stderr")
LINE_FIELDS = ("row_sum", "row_max", "col_sum", "col_max", "row_gw", "col_gw")


@dataclass
class TensorScores:
    """What a store keeps of one parameter tensor.

    Attributes:
        name: tensor name, as ``named_parameters()`` has it.
        position: place in the model's tensor order (decides ties).
        attributes: ``shape, layer, component, axes, tied_to, numel, zeros, nonfinite, sum, sum_sq, min, max``;
            layer is None outside the blocks. Metrics may add counts of their own (``clipped``).
        histogram: int64 counts over :func:`.histogram.histogram_edges`, zeros counted apart.
        candidates: ``top_score`` (descending, ties by index), ``top_index`` (flat, storage order), ``top_weight``
            and, where the metric has them, ``top_gradient``, ``top_signed``, ``top_stderr``; equal lengths.
        lines: ``row_sum, row_max, col_sum, col_max`` and for gradient metrics the signed ``row_gw, col_gw``; a row is
            an output index and a column an input index whatever the storage order; with an expert axis in front for
            3-D tensors; empty for 1-D tensors.
        scores: every score, float32 in the tensor's shape, or None.
        texts: of the first candidates, ``text_gradient`` (m, N): g_s = dL_s/dw of each text, L_s its summed loss; and
            ``top_without_first`` (m,): their score in the variant without the first position. Each only where it can
            be had.

    """

    name: str
    position: int
    attributes: dict[str, Any]
    histogram: NDArray[np.int64]
    candidates: dict[str, NDArray[Any]]
    lines: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    scores: NDArray[np.float32] | None = None
    texts: dict[str, NDArray[np.float32]] = field(default_factory=dict)


def to_attribute(value: Any) -> Any:
    """Return a value as HDF5 holds it."""
    # HDF5 has no None; an empty attribute stands for it. Words of a tuple are joined, so that any HDF5 tool shows them.
    if value is None:
        return h5py.Empty("f8")
    if isinstance(value, tuple | list):
        return ",".join(value) if value and isinstance(value[0], str) else np.asarray(value, dtype=np.int64)
    return value


def from_attribute(value: Any) -> Any:
    """Return a value that :func:`to_attribute` gave."""
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, np.ndarray):
        return tuple(value.tolist())
    return value.item() if isinstance(value, np.generic) else value
