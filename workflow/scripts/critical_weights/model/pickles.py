"""A checkpoint of pickles written anew as safetensors, read by torch's reader for weights only, which runs no code."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..files import read_json, write_json, written_whole
from ..hub.listing import PICKLES, SAFETENSORS, SMALL_FILES
from ..hub.lock import Lock
from ..log import logger, progress

DONE = "converted.json"


def is_converted(folder: Path, lock: Lock) -> bool:
    """Whether a folder holds the safetensors made of exactly the pickles of a lock."""
    return (folder / DONE).is_file() and read_json(folder / DONE) == _made_of(lock)


def convert_pickles(source: Path, folder: Path, lock: Lock) -> None:
    """Write a snapshot of pickles as a transformers folder with safetensors, one file of weights at a time.

    Tensors that share memory are written each with its own bytes; which are tied is for the config to say.

    Args:
        source: the snapshot.
        folder: where to write; what is there of an earlier attempt is written over.
        lock: names the files.

    Raises:
        ModelError: a pickle holds something else than weights, or is damaged; or the disk has too little room.

    """
    if is_converted(folder, lock):
        return
    pickles = [file.name for file in lock.files if file.name.startswith("pytorch_model") and file.name.endswith(".bin")]
    needed, name = sum((source / file).stat().st_size for file in pickles), lock.repo
    folder.mkdir(parents=True, exist_ok=True)
    if needed > (free := shutil.disk_usage(folder).free):
        raise ModelError(
            f"writing {name} as safetensors takes {needed / 1e9:.2f} GB, and {folder} has {free / 1e9:.2f} GB free",
            fix="Free some, or choose another place",
        )
    logger(__name__).info("%s: its pickles are written as safetensors into %s", name, folder)
    for old in (folder / DONE, *folder.glob("model*.safetensors*")):
        old.unlink(missing_ok=True)  # one file of an earlier commit would go before an index
    for small in SMALL_FILES:
        if (source / small).is_file():
            shutil.copyfile(source / small, folder / small)
    for pickled in progress(pickles, len(pickles), f"{name} as safetensors", "files"):
        _convert_file(source / pickled, folder / _renamed(pickled), name)
    if (source / f"{PICKLES}.index.json").is_file():
        index = read_json(source / f"{PICKLES}.index.json")
        index["weight_map"] = {tensor: _renamed(file) for tensor, file in index["weight_map"].items()}
        write_json(folder / f"{SAFETENSORS}.index.json", index)
    write_json(folder / DONE, _made_of(lock))


def _convert_file(source: Path, target: Path, name: str) -> None:
    import torch
    from safetensors.torch import save_file

    try:
        weights = torch.load(source, map_location="cpu", weights_only=True, mmap=_is_zip(source))
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of a damaged pickle torch raises nearly any
        raise ModelError(
            f"{source.name} of {name} cannot be read as weights alone: it is damaged, or it would run code",
            fix="Use a repository that holds safetensors",
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ModelError(f"{source.name} of {name} holds more than named weights", fix="Use one that holds safetensors")
    seen: set[int] = set()
    tensors: dict[str, Any] = {}
    for key, tensor in weights.items():
        shared = tensor.untyped_storage().data_ptr() in seen
        seen.add(tensor.untyped_storage().data_ptr())
        tensors[key] = tensor.clone().contiguous() if shared else tensor.contiguous()
    with written_whole(target) as part:
        save_file(tensors, part, metadata={"format": "pt"})


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:  # a checkpoint before torch 1.6 is none, and cannot be mapped
        return file.read(4) == b"PK\3\4"


def _renamed(pickled: str) -> str:
    return pickled.replace("pytorch_model", "model").removesuffix(".bin") + ".safetensors"


def _made_of(lock: Lock) -> dict[str, Any]:
    return {"repo": lock.repo, "commit": lock.commit, "files": [file.as_dict() for file in lock.files]}
