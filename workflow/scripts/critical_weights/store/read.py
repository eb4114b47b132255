"""Reading a score store: what is asked for and no more; what is wrong with one is told in one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError
from .hdf5_read import has_dataset, open_group, read_dataset, read_present
from .schema import CANDIDATE_FIELDS, JSON_ATTRIBUTES, LINE_FIELDS, SCHEMA_VERSION, from_attribute

_WORDS = ("axes", "tied_to")
T = TypeVar("T")

_REDO = "Delete it; the next run scores again"
_NO_STORE = "Name a score store. If the workflow made this file, delete it: the next run scores again"
_OTHER = "Name the right store, or delete this one: the next run scores again"


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
            key: json.loads(value) if key in JSON_ATTRIBUTES else from_attribute(value)
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
                    value = from_attribute(group.attrs[key])
                    own[key] = (tuple(value.split(",")) if value else ()) if key in _WORDS else value

        self._read(name, read)
        return {key: own[key] for key in fields} if fields else dict(own)

    def histogram(self, name: str) -> NDArray[np.int64]:
        """Return one tensor's counts over :attr:`edges` (zeros are in its attribute ``zeros``)."""
        return self._read(name, lambda group: read_dataset(group, "histogram"))

    def candidates(self, name: str, fields: Sequence[str] = CANDIDATE_FIELDS) -> dict[str, NDArray[Any]]:
        """Return one tensor's candidates, best first; see :class:`.TensorScores`. Other ``fields`` are not read."""
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
    if path.is_dir():
        raise StoreError(f"{path} cannot be read as a score store", got="a folder", fix="Name a score store")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        what = f"score store {path} cannot be read: it is cut short, damaged or no HDF5 file ({error})"
        raise StoreError(what, fix=_REDO if h5py.is_hdf5(path) else _NO_STORE) from error
    with file:
        with _told_as_damage(path):
            if "tensors" not in file:
                raise StoreError(f"{path} is not complete, or no score store", fix=_NO_STORE)
            if not file.attrs.get("complete", False):
                raise StoreError(f"score store {path} is not complete", fix=_REDO)
            if file.attrs["schema_version"] != SCHEMA_VERSION:
                raise StoreError(f"score store {path} has another schema",
                                 got=file.attrs["schema_version"], expected=SCHEMA_VERSION, fix=_REDO)  # fmt: skip
            store = ScoreStore(path, file)
        for key, value in (expected or {}).items():
            own = store.attributes.get(key, "none")
            if own not in (None, value):
                raise StoreError(f"score store {path} was made with another {key}",
                                 got=own, expected=value, fix=_OTHER)  # fmt: skip
        yield store


def refuse_second(store: ScoreStore, seen: dict[str, Path]) -> None:
    """Note a store's metric in ``seen``; a table of several stores would hold the rows of one met before twice.

    Raises:
        StoreError: an earlier store is of the same metric.

    """
    metric = store.attributes["metric"]
    if metric in seen:
        raise StoreError(f"the metric {metric} is given twice", got=f"{seen[metric]} and {store.path}",
                         expected="one score store a metric")  # fmt: skip
    seen[metric] = store.path


@contextmanager
def _told_as_damage(path: Path) -> Iterator[None]:
    # Only around reads of the store itself: an error of what a reader does with it must not be blamed on the store.
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise StoreError(f"score store {path} is damaged ({error})", fix=_REDO) from error
