"""What a stage tells its user: log lines, automatic choices with their reasons, progress with time left."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from .errors import CriticalWeightsError

T = TypeVar("T")

PROGRESS_SECONDS = 4.0


def logger(name: str) -> logging.Logger:
    """Return the library's logger for one module, by the last part of its name, which others may share.

    Only :func:`start_logging` adds handlers.
    """
    return logging.getLogger(f"critical_weights.{name.rsplit('.', 1)[-1]}")


def start_logging(stage: str, log_file: str | None = None) -> None:
    """Send log lines to standard error and, where a file is named, to that file too.

    ``stage`` stands at the head of each line, so that lines of parallel jobs can be told apart.

    Raises:
        CriticalWeightsError: the file cannot be written.

    """
    root = logging.getLogger("critical_weights")
    stop_logging()
    root.setLevel(logging.INFO)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file:
        try:
            Path(log_file).parent.mkdir(parents=True, exist_ok=True)
            Path(log_file).write_text("")
        except OSError as error:
            raise CriticalWeightsError(f"cannot write the log {log_file}: {error.strerror}") from error
        # Appending, because a traceback is written to the same file past this handler.
        handlers.append(_LogFile(log_file, mode="a", encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter(f"[{stage}] %(message)s"))
        root.addHandler(handler)


class _LogFile(logging.FileHandler):
    """A log file that is no reason to fail nor to print a traceback: on a full disk, lines are on the screen only."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing: the line was printed too."""

    def close(self) -> None:
        """Close the file; what it could not take is lost."""
        with contextlib.suppress(OSError):
            super().close()


def stop_logging() -> None:
    """Take off and close the handlers that :func:`start_logging` added."""
    root = logging.getLogger("critical_weights")
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()


def choice(what: str, value: object, reason: str, log: logging.Logger | None = None) -> None:
    """Log an automatic choice and why it was made."""
    (log or logger("choice")).info("%s: %s (%s)", what, value, reason)


def seconds(value: float) -> str:
    """Format a duration for a person: ``4.2 s``, ``3 min 10 s``, ``2 h 5 min``."""
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def progress(items: Iterable[T], total: int, what: str, unit: str) -> Iterator[T]:
    """Yield ``items`` and log, every few seconds, how far the work is and how long is left.

    Lines, not a moving bar: jobs run side by side and their output ends up in log files.
    """
    log = logger("progress")
    start = shown = time.monotonic()
    done = 0
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - shown >= PROGRESS_SECONDS and done < total:
            shown = now
            left = (now - start) / done * (total - done)
            log.info("%s: %d of %d %s, %s so far, about %s left",
                     what, done, total, unit, seconds(now - start), seconds(left))  # fmt: skip
    log.info("%s: %d %s done in %s", what, done, unit, seconds(time.monotonic() - start))
