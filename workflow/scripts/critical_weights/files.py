"""Files written whole or not at all, and read with a plain message when they are damaged."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import CriticalWeightsError, FieldError

REMADE = "If the workflow made it, delete it: the next run makes it again. Else name the right file"
"""What to do about a file that is damaged, and that may be of the workflow or of the user."""
_SMALL = 1_000_000


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` and move it into place when the block ends well.

    After an exception the temporary file is removed and ``path`` is as it was. What a run that was killed had begun
    under this name is removed first: a file has one writer at a time.

    Raises:
        CriticalWeightsError: the folder cannot be written, or the path is a folder itself.

    """
    path = Path(path)
    if path.is_dir():  # told before the work, which could only be lost at the end
        raise CriticalWeightsError(f"cannot write {path}", got="a folder", expected="the path of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for begun in path.parent.glob(f".{glob.escape(path.name)}.????????.part"):
            begun.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise CriticalWeightsError(
            f"cannot write {path}: {error.strerror}",
            fix="Check the folder's permissions and the free disk space, or choose another place",
        ) from error
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text whole."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON whole: indented, keys in the order given, no NaN (JSON has none)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_json_line(path: str | Path, value: Any) -> None:
    """Write JSON whole and on one line, for programs: indented, a text of 512 tokens takes 512 lines."""
    write_text(path, json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")


class Fields(dict[str, Any]):
    """An object of a JSON file, which tells the file where a key is asked for that it lacks."""

    def __init__(self, pairs: Iterable[tuple[str, Any]], path: str | Path) -> None:
        super().__init__(pairs)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise FieldError(f"{self._path} is damaged or of another version: it lacks '{key}'", fix=REMADE)


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Returns:
        Its value; a key that an object in it lacks is told as damage of the file (:class:`FieldError`).

    Raises:
        CriticalWeightsError: the file is missing or is not JSON.

    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=lambda pairs: Fields(pairs, path))
    except OSError as error:
        raise CriticalWeightsError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, a number of too many digits, nested too deep
        raise CriticalWeightsError(f"{path} is not valid JSON ({error})", fix=REMADE) from error


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON (sorted keys, no spaces), in hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(files: Iterable[str | Path]) -> str:
    """Return a short word for what files hold: a small one's content, a larger one's size and time of change.

    What is small is read whole by Snakemake too (``max-checksum-file-size``), so that a new time alone is no change.
    Nothing for no file; a file that is not there is left out.
    """
    told = []
    for path in map(Path, files):
        if path.is_file():
            size = path.stat().st_size
            told.append((path.name, size, sha256_file(path) if size <= _SMALL else int(path.stat().st_mtime)))
    return sha256_json(told)[:16] if told else ""
