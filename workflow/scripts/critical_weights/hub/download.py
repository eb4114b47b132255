"""The download stage: a hub model at one commit, only what is needed of it, into the hub's shared cache, checked."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import constants

from ..errors import ModelError
from ..log import logger
from ..model.config import check_config
from ..model.pickles import convert_pickles, is_converted
from ..model.source import shard_names
from .cached import check_vocabulary, find_cached
from .errors import HUB_ERRORS, cannot_be_reached, explain
from .file import StoppedFetching, cached, fetch_file, is_intact, keep_if_whole, part_size
from .listing import (
    COMMIT,
    PICKLES,
    HubFile,
    check_layout,
    choose_layout,
    choose_small,
    choose_weights,
    list_repository,
)
from .lock import Lock, read_lock, write_lock
from .meter import Meter, size

WORKERS = 4
"""Files that are fetched at once."""


@dataclass(frozen=True)
class Snapshot:
    """A model of the hub on this machine.

    Attributes:
        folder: its files, a folder of transformers.
        commit: of the repository.

    """

    folder: Path
    commit: str


def download_model(repo: str, revision: str, *, lock_file: Path, converted: Path, convert: bool = False) -> Snapshot:
    """Fetch a model at the commit of its lock, or at the one that its revision is now, which the lock then keeps.

    Nothing is asked of the hub where lock and cache suffice. Files go into the hub's own cache, shared with every
    other program; only a checkpoint of pickles is written anew, into ``converted``.

    Args:
        repo: hub id.
        revision: branch, tag or commit.
        lock_file: where the lock is, or will be.
        converted: folder for safetensors made of pickles.
        convert: whether pickles may be read, by torch's reader for weights only.

    Raises:
        ModelError: it cannot be had; the message says why and what to do.

    """
    try:
        lock = read_lock(lock_file, repo, revision) or _resolve(repo, revision, lock_file, convert)
        check_layout(repo, revision, lock.files, convert=convert)
        _say_pinned(lock, lock_file)
        if lock.complete and is_converted(converted, lock):
            return Snapshot(converted, lock.commit)
        lock = _fetch(lock, lock_file)
    except HUB_ERRORS as error:
        raise explain(error, repo, revision) from error
    folder = _snapshot(repo, lock.commit, lock.files)
    if choose_layout(lock.files) == PICKLES:
        convert_pickles(folder, converted, lock)
        folder = converted
    return Snapshot(folder, lock.commit)


def _resolve(repo: str, revision: str, lock_file: Path, convert: bool) -> Lock:
    """Ask the hub which commit a revision is; without a way to the hub, take the one in its cache."""
    try:
        listing = list_repository(repo, revision)
    except HUB_ERRORS as error:
        listing = find_cached(repo, revision) if cannot_be_reached(error) else None
        if listing is None:
            raise
        check_vocabulary(repo, revision, listing.files)
        logger(__name__).info("the hub cannot be asked: taking %s at %s as its cache has it", repo, listing.commit)
    check_layout(repo, revision, listing.files, convert=convert)
    if listing.gated or listing.licence:
        terms = "asks for access on the hub" if listing.gated else "is open to everybody"
        logger(__name__).info("%s %s; its card names the licence %s", repo, terms, listing.licence or "not at all")
    small = choose_small(listing.files)
    _fetch_files(repo, listing.commit, small)
    folder = _snapshot(repo, listing.commit, small)
    check_config(folder, repo)
    index = next((file.name for file in small if file.name.endswith(".index.json")), None)
    weights = choose_weights(repo, listing.files, shard_names(folder / index) if index else None)
    needed = (*small, *weights)
    lock = Lock(repo, revision, listing.commit, needed, gated=listing.gated, licence=listing.licence)
    write_lock(lock_file, lock)
    return lock


def _say_pinned(lock: Lock, lock_file: Path) -> None:
    if COMMIT.fullmatch(lock.revision):
        return
    logger(__name__).warning(
        "warning: '%s' of %s is a name that can move. It is pinned to %s in %s: put that commit into the config, or "
        "delete the file and %s to follow the name",
        lock.revision, lock.repo, lock.commit, lock_file, lock_file.name.replace(".lock.json", ".json"),
    )  # fmt: skip


def _fetch(lock: Lock, lock_file: Path) -> Lock:
    """Fetch what the cache lacks of the lock's files; the first time also compare the hashes of what it has."""
    if not lock.complete:
        for file in lock.files:
            path = cached(lock.repo, lock.commit, file)
            if path and not is_intact(path, file) and not keep_if_whole(lock.repo, lock.commit, file):
                logger(__name__).warning("%s in the cache is damaged: it is fetched again", file.name)
    fetched = _fetch_files(lock.repo, lock.commit, lock.files)
    if not fetched:
        logger(__name__).info("%s: all %d files are in the cache", lock.repo, len(lock.files))
    if not lock.complete:
        lock = replace(lock, complete=True)
        write_lock(lock_file, lock)
    return lock


def _fetch_files(repo: str, commit: str, files: Sequence[HubFile]) -> int:
    """Fetch those files that the cache lacks, several at once; return how many."""
    lacking = [file for file in files if not cached(repo, commit, file)]
    if not lacking:
        return 0
    total, have = sum(file.size or 0 for file in files), sum(part_size(repo, file) for file in lacking)
    left = sum(file.size or 0 for file in lacking) - have
    _check_room(repo, left)
    meter, stop = Meter(repo, total, total - left), threading.Event()
    logger(__name__).info("%s: %d of %d files to fetch, %s", repo, len(lacking), len(files), size(left))
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = [pool.submit(fetch_file, repo, commit, file, meter, stop) for file in lacking]
        try:
            wait(jobs, return_when=FIRST_EXCEPTION)
        finally:  # an interrupt too stops the others; what came of them is kept
            stop.set()
    errors = [error for job in jobs if (error := job.exception())]
    if errors:
        raise next((error for error in errors if not isinstance(error, StoppedFetching)), errors[0])
    meter.end()
    return len(lacking)


def _check_room(repo: str, left: int) -> None:
    cache = Path(constants.HF_HUB_CACHE)
    there = next(folder for folder in (cache, *cache.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if left > free:
        raise ModelError(
            f"{size(left)} of {repo} are still to fetch, and the disk of the hub's cache ({cache}) has "
            f"{size(free)} free",
            fix="Free some, or set HF_HOME to a folder on a larger disk",
        )


def _snapshot(repo: str, commit: str, files: Sequence[HubFile]) -> Path:
    config = next(file for file in files if file.name == "config.json")
    path = cached(repo, commit, config)
    if path is None:
        raise ModelError(f"config.json of {repo} is not in the hub's cache although it was fetched", fix="Run it again")
    return path.parent
