"""Writing what is scored while the next tensor is computed: one thread that writes in the order it was told.

Writing hands bytes to the operating system and computes checksums, both without Python's lock, and waits where the disk
is slower than the scores come; the main thread goes on meanwhile.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from ..store.schema import TensorScores
from .scored import Sink


class WriteBehind:
    """A sink that passes everything on to another one, in the same order, from a thread of its own.

    No more than one tensor, by every metric, waits to be written: the first scores of the next one wait for it. A
    context manager: afterwards the thread is gone; what an error leaves unwritten stays so.

    Args:
        sink: writes one tensor's scores by one metric; called by one thread at a time.

    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._thread = ThreadPoolExecutor(1, "writing scores")
        self._tensor: str | None = None
        self._waiting: list[Future[None]] = []

    def __enter__(self) -> Self:
        """Return the sink."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let the thread end what it is at, and no more."""
        self._thread.shutdown(cancel_futures=True)

    def __call__(self, metric: str, scores: TensorScores) -> None:
        """Have one tensor's scores by one metric written.

        Raises:
            Exception: whatever writing the tensor before raised.

        """
        if scores.name != self._tensor:
            self.wait()
            self._tensor = scores.name
        self._waiting.append(self._thread.submit(self._sink, metric, scores))

    def wait(self) -> None:
        """Return when everything is written.

        Raises:
            Exception: whatever writing raised.

        """
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.result()
