"""The score store: one HDF5 file of one (model, calibration, metric), in two tiers.

Small and always there: moments, histogram, line sums, the exact top candidates of each tensor. Large and on
request: every score. A store is complete or it is not there; a reader says what is wrong with one that is not.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import StoreError
from .files import written_whole
from .hdf5_read import has_dataset, open_group, read_dataset, read_present
from .histogram import histogram_edges

SCHEMA_VERSION = "1"
ROOT_ATTRIBUTES = (
    "schema_version", "metric", "units", "normalisation", "model", "model_revision", "model_sha256",
    "calibration_sha256", "n_texts", "n_tokens", "corpus_loss", "seed", "model_dtype", "accumulator_dtype",
    "versions", "checks", "skipped", "complete",
)  # fmt: skip
_JSON_ATTRIBUTES = ("versions", "checks", "skipped")
_WORDS = ("axes", "tied_to")
CANDIDATE_FIELDS = ("top_score", "top_index", "top_weight", "top_gradient", "top_signed", "top_stderr")
LINE_FIELDS = ("row_sum", "row_max", "col_sum", "col_max", "row_gw", "col_gw")
T = TypeVar("T")

_CHUNK = 1 << 18
_SPARE_BYTES = 16 << 20
_REDO = "Delete it; the next run scores again"


@dataclass
class TensorScores:
    """What a store keeps of one parameter tensor.

    Attributes:
        name: tensor name, as ``named_parameters()`` has it.
        position: place in the model's tensor order (decides ties).
        attributes: ``shape, layer, component, axes, tied_to, numel, zeros, nonfinite, sum, sum_sq, min, max``;
            layer is None outside the blocks. Metrics may add counts of their own (``clipped``).
        histogram: int64 counts over :func:`histogram_edges`, zeros counted apart.
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


class StoreWriter:
    """Writes tensors one by one, in any order; made by :func:`create_store`."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    def add(self, tensor: TensorScores) -> None:
        """Write one tensor's group.

        Raises:
            StoreError: the disk has no space for it.

        """
        self._check_space(tensor)
        group = self._file.create_group(f"tensors/{tensor.name}")
        group.attrs["position"] = tensor.position
        for key, value in tensor.attributes.items():
            group.attrs[key] = _to_attribute(value)
        for key, value in _small_arrays(tensor).items():
            group.create_dataset(key, data=value)
        if tensor.scores is not None:
            chunk = _chunk_shape(tensor.scores.shape)
            group.create_dataset("scores", data=tensor.scores.astype(np.float32, copy=False), chunks=chunk)

    def finish(self, attributes: Mapping[str, Any], text_predicted: Sequence[int] = ()) -> None:
        """Write the root attributes and mark the store complete.

        Args:
            attributes: see :data:`ROOT_ATTRIBUTES`.
            text_predicted: T_s of each calibration text, for metrics of texts.

        Raises:
            ValueError: an attribute of the schema is missing or unknown (a mistake in the code).

        """
        wanted = set(ROOT_ATTRIBUTES) - {"schema_version", "complete"}
        if set(attributes) != wanted:
            raise ValueError(f"store attributes differ from the schema: {sorted(set(attributes) ^ wanted)}")
        for key, value in attributes.items():
            plain = json.dumps(value, sort_keys=True) if key in _JSON_ATTRIBUTES else _to_attribute(value)
            self._file.attrs[key] = plain
        if len(text_predicted):
            self._file["text_predicted"] = np.asarray(text_predicted, np.int64)
        self._file.attrs["schema_version"] = SCHEMA_VERSION
        self._file.attrs["complete"] = True

    def _check_space(self, tensor: TensorScores) -> None:
        # Asked beforehand, because HDF5 ends the whole process when a full disk keeps it from closing a file.
        needed = sum(a.nbytes for a in _small_arrays(tensor).values())
        needed += 0 if tensor.scores is None else 4 * tensor.scores.size
        folder = Path(self._file.filename).parent
        free = shutil.disk_usage(folder).free
        if free < needed + _SPARE_BYTES:
            dense = tensor.scores is not None
            fewer = "dense scores (scoring: dense: false)" if dense else "candidates (scoring: candidates)"
            raise StoreError(
                f"no space left in {folder} for the scores of {tensor.name}",
                got=f"{free / 1e6:.1f} MB free",
                expected=f"{(needed + _SPARE_BYTES) / 1e6:.1f} MB",
                fix=f"Free some space, or keep fewer {fewer}",
            )


def _small_arrays(tensor: TensorScores) -> dict[str, NDArray[Any]]:
    return {"histogram": tensor.histogram, **tensor.candidates, **tensor.lines, **tensor.texts}


@contextmanager
def create_store(path: str | Path) -> Iterator[StoreWriter]:
    """Open a new store under another name; it is moved to ``path`` when the block ends well."""
    with written_whole(path) as part, h5py.File(part, "w") as file:
        file["histogram_edges"] = histogram_edges()
        yield StoreWriter(file)


class ScoreStore:
    """A complete score store, open for reading; made by :func:`open_store`.

    Attributes:
        path: the file.
        attributes: the root attributes, JSON ones decoded; ``corpus_loss`` is None where there is none.
        names: the tensors in the model's order.
        edges: the histogram's edges.

    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self._file = file
        self.attributes: dict[str, Any] = {
            key: json.loads(value) if key in _JSON_ATTRIBUTES else _from_attribute(value)
            for key, value in file.attrs.items()
        }
        tensors = file["tensors"]
        groups = {name: open_group(tensors, name) for name in tensors}
        position = {name: int(group.attrs["position"]) for name, group in groups.items()}
        self._groups: dict[str, h5py.Group] = {name: groups[name] for name in sorted(groups, key=position.__getitem__)}
        self._attributes_read: dict[str, dict[str, Any]] = {}
        self.names: list[str] = list(self._groups)
        self.edges: NDArray[np.float64] = file["histogram_edges"][:]

    def __contains__(self, name: str) -> bool:
        return name in self._groups

    def tensor_attributes(self, name: str, fields: Sequence[str] = ()) -> dict[str, Any]:
        """Return one tensor's attributes; ``shape``, ``axes`` and ``tied_to`` tuples, ``layer`` an int or None.

        Others than ``fields`` are not read, where some are named: HDF5 is slow at them.
        """
        own = self._attributes_read.setdefault(name, {})

        def read(group: h5py.Group) -> None:
            for key in fields or group.attrs:
                if key not in own:
                    value = _from_attribute(group.attrs[key])
                    own[key] = (tuple(value.split(",")) if value else ()) if key in _WORDS else value

        self._read(name, read)
        return {key: own[key] for key in fields} if fields else dict(own)

    def histogram(self, name: str) -> NDArray[np.int64]:
        """Return one tensor's counts over :attr:`edges` (zeros are in its attribute ``zeros``)."""
        return self._read(name, lambda group: read_dataset(group, "histogram"))

    def candidates(self, name: str, fields: Sequence[str] = CANDIDATE_FIELDS) -> dict[str, NDArray[Any]]:
        """Return one tensor's candidates, best first; see :class:`TensorScores`. Other ``fields`` are not read."""
        return self._read(name, lambda group: read_present(group, fields))

    def lines(self, name: str, fields: Sequence[str] = LINE_FIELDS) -> dict[str, NDArray[np.float32]]:
        """Return one tensor's row and column figures; empty for 1-D tensors. Other ``fields`` are not read."""
        return self._read(name, lambda group: read_present(group, fields))

    def text_predicted(self) -> NDArray[np.int64] | None:
        """Return T_s of each calibration text, in calibration order; None for metrics that read none."""
        with _told_as_damage(self.path):
            return self._file["text_predicted"][:] if "text_predicted" in self._file else None

    def text_gradient(self, name: str) -> NDArray[np.float32] | None:
        """Return (m, N) g_s = dL_s/dw of the first m candidates for each text; None where the store has none."""
        return self._read(name, lambda group: read_present(group, ("text_gradient",)).get("text_gradient"))

    def without_first(self, name: str) -> NDArray[np.float32] | None:
        """Return the first m candidates' score without the first position; None where the store has none."""
        return self._read(name, lambda group: read_present(group, ("top_without_first",)).get("top_without_first"))

    def has_dense(self, name: str) -> bool:
        """Whether every score of this tensor is kept."""
        return self._read(name, lambda group: has_dataset(group, "scores"))

    def dense(self, name: str) -> NDArray[np.float32]:
        """Return every score of one tensor, in its shape."""
        return self._read(name, lambda group: read_dataset(group, "scores"))

    def _read(self, name: str, read: Callable[[h5py.Group], T]) -> T:
        if name not in self._groups:
            raise KeyError(name)
        with _told_as_damage(self.path):
            return read(self._groups[name])


@contextmanager
def open_store(path: str | Path, expected: Mapping[str, Any] | None = None) -> Iterator[ScoreStore]:
    """Open a store for reading.

    Args:
        path: the file.
        expected: root attributes that it must have been made with; one that is empty in the store, such as the texts of
            a metric that reads none, fits all.

    Raises:
        StoreError: it is missing, cut short, not a score store, incomplete, of another schema, or made with other
            settings; the message shows both.

    """
    path = Path(path)
    if not path.exists():
        raise StoreError(f"there is no score store {path}", fix="Run the scoring stage")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        what = f"score store {path} cannot be read: it is cut short, damaged or no HDF5 file ({error})"
        raise StoreError(what, fix=_REDO) from error
    with file:
        with _told_as_damage(path):
            if "tensors" not in file or not file.attrs.get("complete", False):
                raise StoreError(f"score store {path} is not complete", fix=_REDO)
            if file.attrs["schema_version"] != SCHEMA_VERSION:
                raise StoreError(f"score store {path} has another schema",
                                 got=file.attrs["schema_version"], expected=SCHEMA_VERSION, fix=_REDO)  # fmt: skip
            store = ScoreStore(path, file)
        for key, value in (expected or {}).items():
            own = store.attributes.get(key, "none")
            if own not in (None, value):
                raise StoreError(f"score store {path} was made with another {key}",
                                 got=own, expected=value, fix=_REDO)  # fmt: skip
        yield store


@contextmanager
def _told_as_damage(path: Path) -> Iterator[None]:
    # Only around reads of the store itself: an error of what a reader does with it must not be blamed on the store.
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise StoreError(f"score store {path} is damaged ({error})", fix=_REDO) from error


def _to_attribute(value: Any) -> Any:
    # HDF5 has no None; an empty attribute stands for it. Words of a tuple are joined, so that any HDF5 tool shows them.
    if value is None:
        return h5py.Empty("f8")
    if isinstance(value, tuple | list):
        return ",".join(value) if value and isinstance(value[0], str) else np.asarray(value, dtype=np.int64)
    return value


def _from_attribute(value: Any) -> Any:
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, np.ndarray):
        return tuple(value.tolist())
    return value.item() if isinstance(value, np.generic) else value


def _chunk_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Whole trailing rows up to some 1 MB a chunk."""
    chunk = list(shape)
    for axis in range(len(shape)):
        rest = int(np.prod(chunk[axis + 1 :], dtype=np.int64))
        chunk[axis] = int(min(shape[axis], max(1, _CHUNK // max(rest, 1))))
    return tuple(chunk)
