"""Where a model comes from: the bundled one, a local folder, or a hub repository; each becomes a local folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelError, unknown
from ..files import read_json
from .config import check_config

RESOURCES = Path(__file__).resolve().parents[3] / "resources"
BUNDLED = RESOURCES / "bundled_model"
SOURCES = ("bundled", "local", "hub")


def fetch_model(
    model: str,
    source: str,
    *,
    repo: str | None = None,
    revision: str | None = None,
    path: str | None = None,
    checkpoint: str | None = None,
    convert: bool = False,
    lock: Path | None = None,
) -> dict[str, Any]:
    """Make a model's files available locally and say where they are.

    Args:
        model: its name in the config.
        source: ``bundled``, ``local`` or ``hub``.
        repo: hub id, for ``hub``.
        revision: branch, tag or commit of the hub repository; resolved to a commit.
        path: folder, for ``local``; relative to the working directory.
        checkpoint: ``final`` or the name of an earlier checkpoint, for ``bundled``.
        convert: whether a ``hub`` repository of pickles may be read and written as safetensors.
        lock: file that keeps which commit a ``hub`` revision was; safetensors made of pickles go into the folder
            beside it that has the model's name.

    Returns:
        The record kept in ``resources/models/{model}.json``; its ``path`` never leaves this machine.

    Raises:
        ModelError: the source is unknown; the folder, repository or checkpoint cannot be had, or holds no safetensors.

    """
    commit = None
    if source == "bundled":
        folder = _bundled_folder(checkpoint or "final")
    elif source == "local":
        if not path:
            raise ModelError(f"model '{model}' has source local but no path")
        folder = Path(path).expanduser()
    elif source == "hub":
        if not repo:
            raise ModelError(f"model '{model}' has source hub but no repo")
        from ..hub.download import download_model  # its client takes a third of a second to import

        lock = lock or Path("resources/models") / f"{model}.lock.json"
        converted = lock.parent / model
        snapshot = download_model(repo, revision or "main", lock_file=lock, converted=converted, convert=convert)
        folder, commit = snapshot.folder, snapshot.commit
    else:
        raise unknown("model source", source, SOURCES, ModelError)
    check_folder(folder)
    check_config(folder, f"model '{model}'")
    return {
        "model": model,
        "source": source,
        "repo": repo,
        "revision": revision,
        "commit": commit,
        "checkpoint": (checkpoint or "final") if source == "bundled" else None,
        "path": str(folder.resolve()),
    }


def model_folder(record: Mapping[str, Any]) -> Path:
    """Return the folder of a model's files: the bundled model's, wherever the workflow lies now; else the record's.

    Args:
        record: what :func:`fetch_model` returned, maybe on a day long ago.

    Raises:
        ModelError: there is no such folder any more, or the bundled model has no such checkpoint.

    """
    name, bundled = record["model"], record.get("source") == "bundled"
    folder = _bundled_folder(record["checkpoint"] or "final") if bundled else Path(record["path"])
    if folder.is_dir():
        return folder
    fix = f"Delete resources/models/{name}.json: the next run fetches them"
    if record.get("source") == "local":
        fix = f"Put the folder back or name it under models.{name}.path, and delete resources/models/{name}.json"
    raise ModelError(f"the files of model '{name}' are gone from {folder}", fix=fix)


def check_unchanged(folder: Path, facts: Mapping[str, Any]) -> None:
    """Check by names and sizes that a folder's config and weights are those that its facts were made from.

    Args:
        folder: the model's.
        facts: the model's ``model.json``.

    Raises:
        ModelError: a file is another one, missing or new; or the folder is none that :func:`check_folder` takes.

    """
    found = {file.name: file.stat().st_size for file in (folder / "config.json", *check_folder(folder))}
    expected = {file["name"]: file["bytes"] for file in facts["files"]}
    for name in (*expected, *found):
        if found.get(name) != expected.get(name):
            raise ModelError(
                f"the files of {folder} are not those that model.json was made from: {name}",
                got=_told_size(found, name),
                expected=_told_size(expected, name),
                fix="Run the workflow again, which describes the model anew, or give the folder that model.json is of",
            )


def _told_size(sizes: Mapping[str, int], name: str) -> str:
    return f"{sizes[name]} bytes" if name in sizes else "no such file"


def check_folder(folder: Path) -> list[Path]:
    """Return the safetensors files that transformers reads from a model folder, sorted by name.

    Raises:
        ModelError: it is no folder, or has no ``config.json`` or no safetensors, or lacks one of several.

    """
    if not folder.is_dir():
        raise ModelError(f"there is no model folder {folder}", fix="Give the folder that holds config.json")
    if not (folder / "config.json").is_file():
        raise ModelError(f"model folder {folder} has no config.json")
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        pickles = [p.name for p in (*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth"))]
        found = f", only {', '.join(sorted(pickles)[:3])} (pickles are never read)" if pickles else ""
        raise ModelError(f"model folder {folder} has no model.safetensors{found}", fix="Save the model as safetensors")
    files = [folder / name for name in sorted(set(shard_names(index)))]
    if missing := [file.name for file in files if not file.is_file()]:
        raise ModelError(
            f"model folder {folder} lacks {len(missing)} of {len(files)} files, first {missing[0]}",
            fix="Copy or fetch the model again",
        )
    return files


def bundled_checkpoints() -> list[str]:
    """Return the names of the bundled model's checkpoints, the final one first."""
    return ["final", *sorted(path.name for path in (BUNDLED / "checkpoints").glob("step_*"))]


def _bundled_folder(checkpoint: str) -> Path:
    if checkpoint not in bundled_checkpoints():
        raise unknown("checkpoint", checkpoint, bundled_checkpoints(), ModelError)
    return BUNDLED if checkpoint == "final" else BUNDLED / "checkpoints" / checkpoint


def shard_names(index: Path) -> list[str]:
    """Return the files that an index of shards names: plain names, which do not lead out of the folder.

    Raises:
        ModelError: it names something else.

    """
    content = read_json(index)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    names = list(weight_map.values()) if isinstance(weight_map, dict) else [None]
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise ModelError(f"the index {index} names {name!r}, which is no file of its folder")
    return names
