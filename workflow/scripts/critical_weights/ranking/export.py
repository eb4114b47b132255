"""A selection as files for other programs: index list and mask in safetensors, and the table as Parquet."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ..compare.lists import NEEDED
from ..errors import ConfigError, CriticalWeightsError, RankingError
from ..files import written_whole
from ..log import logger
from ..model.safetensors_write import Part, write_safetensors
from ..tables.schema import TOP_WEIGHTS
from .chosen_weights import ORIGIN, Chosen, ChosenWeights, weights_of_list
from .ranking import read_ranking

log = logger(__name__)

SELECTION_FORMAT, MASK_FORMAT, FORMAT_VERSION = "critical_weights.selection", "critical_weights.mask", "1"
MASK_PIECE = 2**26
"""Entries of a mask that are in memory at a time: 64 MiB."""


def read_selection(source: str | Path, facts: str | Path | None = None) -> ChosenWeights:
    """Read a selection: an index list that :func:`write_selection` wrote, a run folder, or a CSV.

    Args:
        source: what to read.
        facts: ``model.json``, for a run folder or CSV; see :func:`~.chosen_weights.weights_of_list`.

    Raises:
        RankingError: the file is none of them, is damaged, or is of another format version.

    """
    path = Path(source)
    if path.suffix != ".safetensors":
        return weights_of_list(path, facts)
    if not path.is_file():
        raise RankingError(f"there is no file {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if (metadata.get("format"), metadata.get("format_version")) != (SELECTION_FORMAT, FORMAT_VERSION):
                got = f"{metadata.get('format') or 'no format'} {metadata.get('format_version', '')}"
                raise RankingError(f"{path} is no index list of selected weights", got=got,
                                   expected=f"{SELECTION_FORMAT} {FORMAT_VERSION}")  # fmt: skip
            tensors = {
                name: Chosen(tuple(shape), file.get_tensor(name), file.get_tensor(f"{name}.score"))
                for name, shape in json.loads(metadata["shapes"]).items()
            }
    except (SafetensorError, KeyError, ValueError) as error:
        raise RankingError(f"{path} is cut short or damaged ({error})", fix="Export the selection again") from error
    for name, chosen in tensors.items():
        if len(chosen.index) and not 0 <= chosen.index.min() <= chosen.index.max() < prod(chosen.shape):
            raise RankingError(f"{path} has indices outside {name}", expected=f"within {chosen.shape}")
    return ChosenWeights({key: metadata.get(key, "") for key in ORIGIN}, tensors)


def write_selection(weights: ChosenWeights, path: str | Path) -> None:
    """Write the index list: for each tensor its flat indices (int64) and, as ``<name>.score``, scores (float32).

    Both are in the selection's order, best first. The shapes and the origin stand in the metadata. No values: they
    belong to a checkpoint (see :mod:`critical_weights.validation.monitor`).
    """
    shapes = {name: list(chosen.shape) for name, chosen in weights.tensors.items()}
    index = [_part(name, "I64", chosen.index) for name, chosen in weights.tensors.items()]
    score = [_part(f"{name}.score", "F32", chosen.score) for name, chosen in weights.tensors.items()]
    size = write_safetensors(path, index + score, _metadata(SELECTION_FORMAT, weights) | {"shapes": json.dumps(shapes)})
    log.info("wrote %s: %d weights of %d tensors, %d bytes", path, len(weights), len(weights.tensors), size)


def write_mask(weights: ChosenWeights, path: str | Path, shapes: Mapping[str, tuple[int, ...]] | None = None) -> None:
    """Write the mask: for each tensor a bool tensor of its shape, true where a weight is selected.

    It is made 64 MiB at a time, so a mask of any size takes little memory; it takes one byte a weight on disk.

    Args:
        weights: the selection.
        path: the file.
        shapes: tensors to write, by name; those with a selected weight where none are named.

    Raises:
        CriticalWeightsError: the disk has not as much room.
        RankingError: the selection names a tensor that is not among ``shapes``, or has another shape there.

    """
    for name, chosen in weights.tensors.items() if shapes else ():
        if tuple(shapes.get(name, ())) != chosen.shape:
            raise RankingError(f"the selection is of another model: {name} has shape {chosen.shape} in it",
                               expected=f"{shapes.get(name, 'no such tensor')}")  # fmt: skip
    shapes = shapes or {name: chosen.shape for name, chosen in weights.tensors.items()}
    none = np.zeros(0, np.int64)
    parts = []
    for name, shape in shapes.items():
        index = np.sort(weights.tensors[name].index) if name in weights.tensors else none
        parts.append(Part(name, "BOOL", tuple(shape), partial(_mask_pieces, index, prod(shape))))
    size = write_safetensors(path, parts, _metadata(MASK_FORMAT, weights))
    log.info("wrote %s: %d of %d weights are selected, %d bytes", path, len(weights), sum(p.size for p in parts), size)


def write_parquet(source: str | Path, path: str | Path) -> None:
    """Write the table of a run folder or of another CSV as Parquet, with the types of its columns.

    Of a list made elsewhere the three columns that every list has are kept; the order of rows is the file's.

    Raises:
        ConfigError: pyarrow is not installed, or the source is no table.

    """
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError("Parquet needs the package pyarrow, which is not installed", fix="Run: pip install pyarrow")
    source = Path(source)
    if source.suffix == ".safetensors":
        raise ConfigError(f"{source} is an index list, not a table", fix="Name the run folder or the CSV")
    table = source / "top_weights.csv" if source.is_dir() else source
    frame = _read_frame(table)
    with written_whole(path) as part:
        frame.to_parquet(part, engine="pyarrow", index=False)
    log.info("wrote %s: %d rows", path, len(frame))


def _read_frame(table: Path) -> pd.DataFrame:
    try:
        header = pd.read_csv(table, nrows=0, encoding="utf-8-sig").columns
    except (OSError, ValueError) as error:
        raise CriticalWeightsError(f"{table} cannot be read as a CSV: {str(error).strip()}") from error
    if list(header) == [column.name for column in TOP_WEIGHTS.columns]:
        return read_ranking(table)
    if missing := [name for name in NEEDED if name not in header]:
        raise RankingError(f"{table} has no column {missing[0]}", got=", ".join(header), expected=", ".join(NEEDED))
    types = {"parameter": str, "indices": str, "sensitivity_score": np.float64}
    kept = pd.read_csv(table, usecols=NEEDED, dtype=types, keep_default_na=False, encoding="utf-8-sig")
    return kept[list(NEEDED)]


def _metadata(form: str, weights: ChosenWeights) -> dict[str, str]:
    return {"format": form, "format_version": FORMAT_VERSION, **weights.origin, "n_weights": str(len(weights))}


def _part(name: str, dtype: str, values: NDArray[Any]) -> Part:
    return Part(name, dtype, values.shape, lambda: [values.astype({"I64": "<i8", "F32": "<f4"}[dtype])])


def _mask_pieces(index: NDArray[np.int64], numel: int) -> Iterator[NDArray[np.bool_]]:
    """Yield a tensor's mask piece by piece; ``index``: ascending flat indices."""
    for start in range(0, numel, MASK_PIECE):
        piece = np.zeros(min(MASK_PIECE, numel - start), np.bool_)
        first, last = np.searchsorted(index, (start, start + len(piece)))
        piece[index[first:last] - start] = True
        yield piece
