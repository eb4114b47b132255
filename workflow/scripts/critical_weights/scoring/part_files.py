"""The two files of a finished part: what the stores will keep of its tensors, and what the next part starts from.

Both are zip files of plain arrays and JSON: each member has a checksum, and one that is cut short has no directory, so
that damage is seen before anything is read from it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..store.schema import TensorScores

LIST = "list.json"


class PartWriter:
    """Writes the scores of a part's tensors one by one, so that no more than one of them is in memory.

    Args:
        path: a name under which nobody looks for the part; the caller moves it when it is closed.

    """

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path, "w")
        self._list: list[dict[str, Any]] = []

    def add(self, metric: str, scores: TensorScores) -> None:
        """Write one tensor's scores by one metric."""
        place = len(self._list)
        self._list.append({
            "metric": metric, "name": scores.name, "position": scores.position, "attributes": scores.attributes,
            "candidates": list(scores.candidates), "lines": list(scores.lines), "texts": list(scores.texts),
            "dense": scores.scores is not None,
        })  # fmt: skip
        arrays = {"histogram": scores.histogram, **scores.candidates, **scores.lines, **scores.texts}
        if scores.scores is not None:
            arrays["scores"] = scores.scores
        for key, value in arrays.items():
            _write_array(self._zip, f"{place}/{key}", value)

    def close(self) -> None:
        """Write what is listed, and end the file."""
        self._zip.writestr(LIST, json.dumps(self._list))
        self._zip.close()


def read_part(path: Path) -> Iterator[tuple[str, TensorScores]]:
    """Yield metric and scores of each tensor of a part, as they were added."""
    with zipfile.ZipFile(path) as file:
        for place, entry in enumerate(json.loads(file.read(LIST))):
            read = lambda key, place=place: _read_array(file, f"{place}/{key}")  # noqa: E731
            yield (
                entry["metric"],
                TensorScores(
                    name=entry["name"],
                    position=entry["position"],
                    attributes=entry["attributes"],
                    histogram=read("histogram"),
                    candidates={key: read(key) for key in entry["candidates"]},
                    lines={key: read(key) for key in entry["lines"]},
                    scores=read("scores") if entry["dense"] else None,
                    texts={key: read(key) for key in entry["texts"]},
                ),
            )


def write_state(path: Path, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write facts (JSON) and tensors of any dtype."""
    kinds = {name: [str(t.dtype).removeprefix("torch."), list(t.shape)] for name, t in tensors.items()}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(LIST, json.dumps({"facts": facts, "tensors": kinds}))
        for place, tensor in enumerate(tensors.values()):
            # As bytes: NumPy knows no bfloat16.
            _write_array(file, str(place), tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the facts and tensors of :func:`write_state`."""
    tensors = {}
    with zipfile.ZipFile(path) as file:
        held = json.loads(file.read(LIST))
        for place, (name, (dtype, shape)) in enumerate(held["tensors"].items()):
            tensors[name] = torch.empty(shape, dtype=getattr(torch, dtype))
            tensors[name].view(-1).view(torch.uint8).copy_(torch.from_numpy(_read_array(file, str(place))))
    return held["facts"], tensors


def is_whole(path: Path) -> bool:
    """Whether a file of either kind is there, to its end and with every checksum right."""
    try:
        with zipfile.ZipFile(path) as file:
            return LIST in file.namelist() and file.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError):
        return False


def _write_array(file: zipfile.ZipFile, name: str, value: NDArray[Any]) -> None:
    with file.open(name, "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.ascontiguousarray(value), allow_pickle=False)


def _read_array(file: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with file.open(name) as member:
        return np.lib.format.read_array(member, allow_pickle=False)
