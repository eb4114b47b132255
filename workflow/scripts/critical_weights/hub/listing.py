"""What a hub repository holds at a commit, and which of its files a model needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..model.config import QUANTISER_FILES
from .retry import ask

VOCABULARIES = (
    "tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model",
)  # fmt: skip
"""Files of which a tokenizer needs one: the others name its kind and its special tokens."""
SMALL_FILES = (
    "config.json", *VOCABULARIES, "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", *QUANTISER_FILES,
)  # fmt: skip
"""Config and tokenizer, under every name that transformers has for them, and what tells that weights are quantised."""
SAFETENSORS, PICKLES = "model.safetensors", "pytorch_model.bin"
COMMIT = re.compile("[0-9a-f]{40}")
_OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".gguf", ".onnx", ".pkl")


@dataclass(frozen=True)
class HubFile:
    """One file of a repository.

    Attributes:
        name: its path in the repository.
        size: bytes; None where the hub does not tell.
        sha256: of its bytes, known of a large file.
        git_sha1: of its bytes behind git's header, known of a small file.

    """

    name: str
    size: int | None
    sha256: str | None = None
    git_sha1: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the file as the lock keeps it."""
        return asdict(self)


@dataclass(frozen=True)
class Listing:
    """A repository at a commit.

    Attributes:
        commit: what the revision is.
        files: all files.
        gated: whether access is asked for: ``auto`` or ``manual``; None where it is open.
        licence: as its card names it, or None.

    """

    commit: str
    files: tuple[HubFile, ...]
    gated: str | None = None
    licence: str | None = None


def list_repository(repo: str, revision: str) -> Listing:
    """Ask the hub which commit a revision is and what it holds: one request, again where it fails for a moment.

    Raises:
        Exception: one of :data:`critical_weights.hub.errors.HUB_ERRORS`.

    """
    from huggingface_hub import HfApi

    info = ask(lambda: HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=30))
    files = tuple(
        HubFile(s.rfilename, s.lfs.size, sha256=s.lfs.sha256)
        if s.lfs
        else HubFile(s.rfilename, s.size, None, s.blob_id)
        for s in info.siblings or ()
    )
    licence = info.card_data.get("license") if info.card_data else None
    return Listing(info.sha, files, gated=info.gated or None, licence=licence if isinstance(licence, str) else None)


def choose_small(files: Sequence[HubFile]) -> list[HubFile]:
    """Return config, tokenizer and, where the weights are in several files, their index."""
    weights = choose_layout(files)
    index = f"{weights}.index.json"
    names = {*SMALL_FILES, *((index,) if weights and not _has(files, weights) else ())}
    return [file for file in files if file.name in names]


def choose_layout(files: Sequence[HubFile]) -> str | None:
    """Return the name of the weights as one file, or None: safetensors go before pickles, one file before several."""
    for name in (SAFETENSORS, PICKLES):
        if _has(files, name) or _has(files, f"{name}.index.json"):
            return name
    return None


def choose_weights(repo: str, files: Sequence[HubFile], shards: Sequence[str] | None) -> list[HubFile]:
    """Return the files that hold the weights.

    Args:
        repo: for messages.
        files: the repository's.
        shards: the files that the index names; None where one file holds all.

    Raises:
        ModelError: the index names a file that the repository does not hold.

    """
    names = {choose_layout(files)} if shards is None else set(shards)
    chosen = [file for file in files if file.name in names]
    if lacking := sorted(str(name) for name in names - {file.name for file in chosen}):
        raise ModelError(f"{repo} lacks {len(lacking)} of {len(names)} files of its own index, first {lacking[0]}")
    return chosen


def check_layout(repo: str, revision: str, files: Sequence[HubFile], *, convert: bool) -> None:
    """Refuse a repository that holds no model of transformers, or one in pickles that nobody asked to convert.

    Raises:
        ModelError: it is one; the message says what it holds and what to do.

    """
    if not _has(files, "config.json"):
        raise ModelError(
            f"{repo} at {revision} has no config.json", fix="Name a repository in transformers' own format"
        )
    layout = choose_layout(files)
    if layout == PICKLES and not convert:
        raise ModelError(
            f"{repo} at {revision} holds no safetensors, only pickles, which can run code when they are read",
            fix="Set 'convert: true' in the model's entry: torch's reader for weights only reads them, and they are "
            "written as safetensors; or name a repository that holds safetensors",
        )
    if layout is None:
        others = sorted(file.name for file in files if Path(file.name).suffix in (*_OTHER_WEIGHTS, ".safetensors"))
        found = f", only {', '.join(others[:3])}" if others else ""
        raise ModelError(
            f"{repo} at {revision} has no model.safetensors{found}",
            fix="Name a repository in transformers' own format with safetensors",
        )


def _has(files: Sequence[HubFile], name: str) -> bool:
    return any(file.name == name for file in files)
