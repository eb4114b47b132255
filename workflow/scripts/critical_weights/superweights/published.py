"""The published super weights, and a check of their values against a checkpoint's files alone."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..files import read_json
from ..log import logger
from ..model.source import RESOURCES, check_folder

log = logger(__name__)

PUBLISHED = RESOURCES / "super_weights.csv"


def published_weights(repo: str | None) -> list[dict[str, Any]]:
    """Return the published super weights of a hub repository, in the order of the table.

    The source names some models without their owner: those fit any owner's repository of that name. The hub's earlier
    names of the Llama-3 models, which still lead to them, count as theirs.

    Args:
        repo: hub id; None for a model that is not from the hub, of which nothing is published.

    Returns:
        ``parameter, layer, row, col, weight`` (None where no value is published) and ``source``.

    """
    if repo is None:
        return []
    repo = repo.lower().replace("meta-llama/meta-llama-3", "meta-llama/llama-3")
    names = {repo, repo.rpartition("/")[2]}
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["model"].lower() in names]
    return [
        {
            "parameter": f"model.layers.{row['layer']}.mlp.down_proj.weight",
            **{key: int(row[key]) for key in ("layer", "row", "col")},
            "weight": float(row["weight"]) if row["weight"] else None,
            "source": row["source"],
        }
        for row in rows
    ]


def read_entries(folder: str | Path, parameter: str, places: Iterable[tuple[int, int]]) -> list[float]:
    """Read single entries of a matrix from a checkpoint's safetensors; nothing else of them is read.

    Args:
        folder: the model folder.
        parameter: name of the matrix in the files.
        places: (row, column) in storage order.

    Raises:
        ModelError: the files have no such matrix.

    """
    from safetensors import safe_open

    for file in _files_of(Path(folder), parameter):
        with safe_open(file, framework="pt") as tensors:
            if parameter not in tensors.keys():  # noqa: SIM118 (not a dict)
                continue
            view = tensors.get_slice(parameter)
            return [float(view[i : i + 1, j : j + 1].item()) for i, j in places]
    raise ModelError(f"the files of {Path(folder).name} have no tensor {parameter}")


def _files_of(folder: Path, parameter: str) -> list[Path]:
    """Return the file that the index names for a tensor, or every file where there is no index."""
    files, index = check_folder(folder), folder / "model.safetensors.index.json"
    if len(files) == 1:
        return files
    return [folder / name for name in [read_json(index)["weight_map"].get(parameter)] if name]


def check_published(
    published: Iterable[Mapping[str, Any]], facts: Mapping[str, Any], folder: str | Path
) -> list[dict[str, Any]]:
    """Return the published super weights with the value that the checkpoint has there, ``stored``.

    Those that the model has no place for, since it is another one of the same name, are left out with a warning.
    """
    shapes = {tensor["name"]: tensor["shape"] for tensor in facts["tensors"]}
    checked = []
    for entry in published:
        name, place = entry["parameter"], (entry["row"], entry["col"])
        if name not in shapes or any(i >= size for i, size in zip(place, shapes[name], strict=True)):
            log.warning("published as a super weight of this model, which has no such weight: %s %s", name, place)
            continue
        checked.append({**entry, "stored": read_entries(folder, name, [place])[0]})
    return checked
