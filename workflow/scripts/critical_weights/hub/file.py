"""One file of the hub: into its shared cache, taken up again where it broke off, its size and hash compared.

The client's own download throws a part away when its process ends. Here the part stays in the cache under the name
that earlier versions of the client gave it (``blobs/<etag>.incomplete``), and the next run asks for the rest.
"""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers, get_session, hf_raise_for_status

from ..errors import ModelError
from ..log import logger
from .errors import HUB_ERRORS, BrokenOff
from .listing import HubFile
from .meter import Meter, size
from .retry import say_waiting, wait_before

PIECE = 1 << 20
"""Bytes that are read of a file at once to hash it."""


class StoppedFetching(Exception):
    """Another file failed, or the user interrupted: the part that came is kept."""


def cached(repo: str, commit: str, file: HubFile) -> Path | None:
    """Return where a file lies in the hub's cache; None where it is not there or has another size."""
    path = try_to_load_from_cache(repo, file.name, revision=commit)
    if not isinstance(path, str) or not os.path.isfile(path):
        return None
    return Path(path) if file.size in (None, os.path.getsize(path)) else None


def is_intact(path: Path, file: HubFile) -> bool:
    """Whether a file has the size and the hash that the hub gives; of what it gives none, nothing is compared."""
    size = path.stat().st_size
    if file.size not in (None, size):
        return False
    hashes = (
        (file.sha256, hashlib.sha256()),
        (file.git_sha1, hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)),
    )
    for expected, digest in hashes:
        if expected is None:
            continue
        with path.open("rb") as content:
            while piece := content.read(PIECE):
                digest.update(piece)
        if digest.hexdigest() != expected:
            return False
    return True


def keep_if_whole(repo: str, commit: str, file: HubFile) -> Path | None:
    """Return where a file lies in the cache if it is whole there; what is damaged is removed, link and bytes.

    It is looked at under the lock by which every process fetches it: another may just have put it there.
    """
    if not isinstance(try_to_load_from_cache(repo, file.name, revision=commit), str):
        return None
    with _lock(repo, file.sha256 or file.git_sha1):
        found = try_to_load_from_cache(repo, file.name, revision=commit)
        if not isinstance(found, str):
            return None
        path = Path(found)
        if is_intact(path, file):
            return path
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        return None


def part_size(repo: str, file: HubFile) -> int:
    """Return the bytes that an earlier, broken fetch of a file left."""
    part = _blobs(repo) / f"{file.sha256 or file.git_sha1}.incomplete"
    return part.stat().st_size if part.is_file() else 0


def fetch_file(repo: str, commit: str, file: HubFile, meter: Meter, stop: threading.Event) -> Path:
    """Fetch one file into the hub's cache, trying again after errors that pass, and return its path there.

    It is taken as it is where the cache has it whole by now.

    Args:
        repo: hub id.
        commit: of the repository.
        file: which one, and what it must be.
        meter: told of every byte.
        stop: set from elsewhere, it ends the fetch.

    Raises:
        ModelError: what came has another size or hash than the hub gives.
        StoppedFetching: ``stop`` was set.
        Exception: one of :data:`critical_weights.hub.errors.HUB_ERRORS`, after the last try.

    """
    # Another process may have fetched it since the caller looked; what is damaged would be found again in the end.
    if path := keep_if_whole(repo, commit, file):
        return path
    attempt, have = 1, part_size(repo, file)
    while True:
        try:
            _fetch_once(repo, commit, file, meter, stop)
            return _link(repo, commit, file)
        except HUB_ERRORS as error:
            if (now := part_size(repo, file)) > have:
                attempt, have = 1, now  # what gains bytes may go on
            wait = wait_before(attempt, error)
            if wait is None:
                raise
            say_waiting(wait, attempt, error)
            if stop.wait(wait):
                raise StoppedFetching from error
            attempt += 1


def _fetch_once(repo: str, commit: str, file: HubFile, meter: Meter, stop: threading.Event) -> None:
    if file.size is not None and file.size > constants.MAX_HTTP_DOWNLOAD_SIZE:
        return  # too large for plain requests: the client's own way, which has another protocol for such
    url = hf_hub_url(repo, file.name, revision=commit)
    head = get_hf_file_metadata(url, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT)
    blob = _blobs(repo) / (head.etag or "")
    if not head.etag or Path(head.etag).name != head.etag:
        return  # the client says what is wrong with such an answer
    blob.parent.mkdir(parents=True, exist_ok=True)
    length = file.size if head.size is None else head.size
    with _lock(repo, head.etag):
        if blob.is_file() and is_intact(blob, file):
            return  # another commit has the same file, or another process was faster
        part = blob.with_name(f"{head.etag}.incomplete")
        resumed = _fill(part, head.location, url, length, file.name, meter, stop)
        if not is_intact(part, file):
            wrong = part.stat().st_size
            part.unlink()
            if resumed:  # the part may have been another download's
                meter.add(-wrong)
                _fill(part, head.location, url, length, file.name, meter, stop)
            if not resumed or not is_intact(part, file):
                part.unlink(missing_ok=True)
                raise ModelError(
                    f"{file.name} of {repo} did not come as the hub describes it: its hash or size is another",
                    fix="It was thrown away. Run it again; if it happens again, something changes files on the way",
                )
        part.replace(blob)


def _fill(
    part: Path, location: str, url: str, length: int | None, name: str, meter: Meter, stop: threading.Event
) -> bool:
    """Add to a part what it lacks; return whether there was one to add to.

    Raises:
        BrokenOff: the answer ended before ``length`` and had not told how long it is.

    """
    have = part.stat().st_size if part.is_file() else 0
    if length is not None and have > length:
        part.unlink()
        have = 0
    if have and have == length:
        return True
    headers = {"Accept-Encoding": "identity"}
    if urlsplit(location)[:2] == urlsplit(url)[:2]:  # elsewhere the address itself is the permission
        headers |= build_hf_headers()
    if have:
        headers["Range"] = f"bytes={have}-"
        logger(__name__).info("%s: going on after the %s that are there", name, size(have))
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", location, headers=headers, timeout=timeout, follow_redirects=True) as response:
        try:
            hf_raise_for_status(response)
        except HfHubHTTPError:
            if response.status_code == 416:
                part.unlink(missing_ok=True)
            raise
        resumed = have > 0 and response.status_code == 206
        if have and not resumed:
            meter.add(-have)
        with part.open("ab" if resumed else "wb") as file:
            for piece in response.iter_raw():
                file.write(piece)
                meter.add(len(piece))
                if stop.is_set():
                    raise StoppedFetching
    # Of an answer that tells its length the client itself notices that it broke off.
    if length is not None and part.stat().st_size < length and "Content-Length" not in response.headers:
        raise BrokenOff(f"{name} ended early")
    return resumed


def _link(repo: str, commit: str, file: HubFile) -> Path:
    """Let the client enter the file into its cache's folder of the commit; it finds the bytes there."""
    try:
        return Path(hf_hub_download(repo, file.name, revision=commit))
    except LocalEntryNotFoundError as error:
        raise error.__cause__ if isinstance(error.__cause__, HUB_ERRORS) else error from error


def _lock(repo: str, etag: str | None) -> AbstractContextManager[object]:
    """Return the lock by which all processes, the client's too, fetch these bytes; none where no hash names them."""
    if etag is None:
        return nullcontext()
    folder = Path(constants.HF_HUB_CACHE) / ".locks" / repo_folder_name(repo_id=repo, repo_type="model")
    folder.mkdir(parents=True, exist_ok=True)
    return WeakFileLock(folder / f"{etag}.lock")


def _blobs(repo: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model") / "blobs"
