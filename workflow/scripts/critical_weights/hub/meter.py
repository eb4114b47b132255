"""How far a download is and how long it will take, from several threads, as lines of the log."""

from __future__ import annotations

import threading
import time

from ..log import PROGRESS_SECONDS, logger, seconds


def size(value: float) -> str:
    """Format a number of bytes for a person: ``16.06 GB``, ``0.56 MB``."""
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.2f} MB"


class Meter:
    """Counts the bytes that come in and logs, every few seconds, how far the download is.

    Args:
        what: being fetched, at the head of each line.
        total: bytes in all.
        have: bytes that are there already.

    """

    def __init__(self, what: str, total: int, have: int) -> None:
        self.what, self.total, self.done = what, total, have
        self._came = 0
        self._start = self._shown = time.monotonic()
        self._lock = threading.Lock()

    def add(self, came: int) -> None:
        """Count bytes that came; fewer than none where some that were counted have to come again."""
        with self._lock:
            self.done += came
            self._came += max(came, 0)
            now = time.monotonic()
            if now - self._shown < PROGRESS_SECONDS or not self._came:
                return
            self._shown = now
            rate = self._came / (now - self._start)
            done, total, left = size(self.done), size(self.total), max(self.total - self.done, 0) / rate
        logger(__name__).info(
            "%s: %s of %s, %s a second, about %s left", self.what, done, total, size(rate), seconds(left)
        )

    def end(self) -> None:
        """Log what came in all."""
        took = time.monotonic() - self._start
        logger(__name__).info("%s: %s fetched in %s", self.what, size(self._came), seconds(took))
