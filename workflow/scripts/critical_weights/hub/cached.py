"""What the hub's cache on this machine has of a repository, for when the hub itself cannot be asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

from ..errors import ModelError
from .listing import COMMIT, VOCABULARIES, HubFile, Listing, choose_layout


def find_cached(repo: str, revision: str) -> Listing | None:
    """Return the commit that a revision was when the cache last heard of it, and its files; None where some lack.

    What is damaged in the cache counts as lacking: the hub has it whole.

    The cache names a file's bytes by their hash, which is how an offline machine too can compare them.

    Args:
        repo: hub id.
        revision: branch, tag or commit.

    """
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
    ref = folder / "refs" / revision
    commit = revision
    if not COMMIT.fullmatch(revision):
        if not ref.is_file():
            return None
        commit = ref.read_bytes().decode("ascii", errors="replace").strip()
        if not COMMIT.fullmatch(commit):
            return None
    snapshot = folder / "snapshots" / commit
    if not snapshot.is_dir():
        return None
    files = [_file(path) for path in sorted(snapshot.iterdir()) if path.is_file()]
    names, layout = {file.name for file in files}, choose_layout(files)
    if layout is None or "config.json" not in names:
        return None
    if layout not in names:
        needed = _files_of(snapshot / f"{layout}.index.json")
        if not needed or not needed <= names:
            return None
    return Listing(commit, tuple(files))


def check_vocabulary(repo: str, revision: str, files: Sequence[HubFile]) -> None:
    """Refuse what another program fetched of a model without its tokenizer: a lock would keep it so, online too.

    Raises:
        ModelError: no file holds a vocabulary.

    """
    if not any(file.name in VOCABULARIES for file in files):
        raise ModelError(
            f"the hub's cache on this machine has {repo} at {revision} without the vocabulary of its tokenizer, such "
            f"as {VOCABULARIES[0]}, and the hub cannot be asked",
            fix="Fetch it once with a network, HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE unset, or use a folder "
            "(source: local)",
        )


def _files_of(index: Path) -> set[str]:
    """Return the files that an index names; none where it is damaged."""
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):  # no JSON, or of another form
        return set()


def _file(path: Path) -> HubFile:
    # One link on: in a store that repositories share, the blob is a link itself, to a name that is another hash.
    blob = path.readlink().name if path.is_symlink() else path.name
    is_hash = all(c in "0123456789abcdef" for c in blob)
    return HubFile(
        path.name,
        path.stat().st_size,
        sha256=blob if is_hash and len(blob) == 64 else None,
        git_sha1=blob if is_hash and len(blob) == 40 else None,
    )
