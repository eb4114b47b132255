"""Writing a score store, tensor by tensor; whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError
from ..files import written_whole
from .histogram import histogram_edges
from .schema import JSON_ATTRIBUTES, ROOT_ATTRIBUTES, SCHEMA_VERSION, TensorScores, to_attribute

_CHUNK = 1 << 18
_SPARE_BYTES = 16 << 20


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
            group.attrs[key] = to_attribute(value)
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
            plain = json.dumps(value, sort_keys=True) if key in JSON_ATTRIBUTES else to_attribute(value)
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


def _chunk_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Whole trailing rows up to some 1 MB a chunk."""
    chunk = list(shape)
    for axis in range(len(shape)):
        rest = int(np.prod(chunk[axis + 1 :], dtype=np.int64))
        chunk[axis] = int(min(shape[axis], max(1, _CHUNK // max(rest, 1))))
    return tuple(chunk)
