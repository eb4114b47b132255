"""Ending between two blocks when a scheduler's time limit says so, instead of in the middle of one."""

from __future__ import annotations

import signal
from types import TracebackType
from typing import Self

from ..log import logger

EXIT_TERMINATED = 128 + signal.SIGTERM
"""Exit status of a job that ended because it was asked to."""


class TermSignal:
    """Notes SIGTERM while it is entered, instead of ending at once; the next one ends as it would have before."""

    def __init__(self) -> None:
        self._seen = False

    def __call__(self) -> bool:
        """Whether the signal has come."""
        return self._seen

    def __enter__(self) -> Self:
        """Start noting."""
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Put back what was done with the signal before."""
        signal.signal(signal.SIGTERM, self._before)

    def _note(self, *_: object) -> None:
        self._seen = True
        signal.signal(signal.SIGTERM, self._before)
        logger(__name__).info("asked to end: the block that is being scored is finished first")
