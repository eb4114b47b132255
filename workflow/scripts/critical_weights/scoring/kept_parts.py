"""Finished parts of a run, kept beside the stores: a killed job goes on behind them and ends with the same stores.

They lie in a hidden folder, ``.unfinished/{family}``, which is none of the files that a job promises and so survives
when it fails. Every file is written under another name and moved into place whole. Of part n there are

- ``part_{n}.zip``: what the stores will keep of its tensors, and
- ``state_{n}_{rank}.zip``: what the next part starts from, of each process; that of the newest part only.

The state is written first: where the part is there, so is the state behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from torch import Tensor

from ..errors import CriticalWeightsError
from ..files import read_json, write_json
from ..log import logger
from ..store.schema import TensorScores
from .checks import SignedSums
from .kept_folders import SETTINGS, discard
from .part_files import PartWriter, is_whole, read_part, read_state, write_state
from .processes import ALONE, Processes
from .scored import Findings
from .write_behind import WriteBehind

log = logger(__name__)

OPEN = "open.zip"


class Stopped(Exception):
    """A run ended between two parts because it was asked to."""


class Kept(Protocol):
    """What an engine needs of the parts: how many are finished, what the last one left, whom to tell of the next.

    Attributes:
        finished: parts that need not be computed again, counted from the first.
        facts: what the engine told with the newest of them.

    """

    finished: int
    facts: Mapping[str, Any]

    def take_state(self) -> dict[str, Tensor]:
        """Return the tensors that the engine told with the newest part, on the CPU, and forget them."""
        ...

    def finish(self, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take the next part as finished; its tensors have been scored."""
        ...


class NothingKept:
    """The parts of a run that keeps none."""

    finished = 0
    facts: Mapping[str, Any] = {}

    def take_state(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def finish(self, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Do nothing."""


def blocks_left(kept: Kept, blocks: int) -> int | None:
    """Return how many of the blocks are still to do, and log it; None where nothing is, what is outside included.

    The first part is the head, the last one what is outside; a block each is between them.
    """
    done = max(kept.finished - 1, 0)
    if kept.finished:
        log.info("going on after %d of %d blocks, kept by an earlier run", min(done, blocks), blocks)
    return None if kept.finished == blocks + 2 else blocks - done


class KeptParts:
    """The parts of one run, a context manager; see the module's docstring and :class:`Kept`.

    Args:
        folder: the hidden folder of the family.
        settings: everything that decides what the parts hold, as JSON; parts of other settings are discarded.
        processes: those that share the texts; each has a state, the first one has the parts.
        stop: asked after each part whether to end there.

    Attributes:
        findings: what was learnt beside the scores, as it was behind the newest part.

    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        processes: Processes = ALONE,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.folder = folder
        self.findings = Findings()
        self.facts: Mapping[str, Any] = {}
        self._processes = processes
        self._stop = stop
        self._state: dict[str, Tensor] = {}
        self._writer: PartWriter | None = None
        self._behind = WriteBehind(self._write)
        self.finished = processes.agree(self._look(settings) if processes.leads else 0)
        if self.finished:
            self._read_state()

    def __enter__(self) -> Self:
        """Return the parts."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write no more."""
        self._behind.__exit__(kind, error, traceback)

    def take_state(self) -> dict[str, Tensor]:
        """Return the tensors that the engine told with the newest part, on the CPU, and forget them."""
        state, self._state = self._state, {}
        return state

    def add(self, metric: str, scores: TensorScores) -> None:
        """Put one tensor's scores by one metric into the part that is being computed; they are written meanwhile."""
        self._behind(metric, scores)

    def _write(self, metric: str, scores: TensorScores) -> None:
        if self._writer is None:
            self._writer = PartWriter(self.folder / OPEN)
        self._writer.add(metric, scores)

    def finish(self, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take the part that was being computed as finished, in all processes together.

        Raises:
            Stopped: the run was asked to end here.
            Exception: whatever writing the part's scores raised.

        """
        self._behind.wait()
        self.finished += 1
        rank = self._processes.rank
        self._write_state(state, facts)
        self._processes.any(False)  # all states are there before the part is
        if self._processes.leads:
            (self._writer or PartWriter(self.folder / OPEN)).close()
            self._writer = None
            (self.folder / OPEN).replace(self._part(self.finished))
        stop = self._processes.any(self._stop())  # the part is there before an older state goes
        self._state_file(self.finished - 1, rank).unlink(missing_ok=True)
        if stop:
            raise Stopped(f"stopped after {self.finished} parts, which are kept: the same command goes on from there")

    def tensors(self) -> Iterator[tuple[str, TensorScores]]:
        """Yield metric and scores of each tensor of all parts, in the order in which they were computed."""
        for number in range(1, self.finished + 1):
            yield from read_part(self._part(number))

    def _part(self, number: int) -> Path:
        return self.folder / f"part_{number:04d}.zip"

    def _state_file(self, number: int, rank: int) -> Path:
        return self.folder / f"state_{number:04d}_{rank}.zip"

    def _look(self, settings: Mapping[str, Any]) -> int:
        """Return how many parts can be used, after discarding what cannot."""
        finished, reason = self._usable(settings)
        if reason:
            log.info("kept parts of an earlier run are discarded: %s", reason)
            discard(self.folder)
        wanted = {self._part(n).name for n in range(1, finished + 1)} | {SETTINGS}
        wanted |= {self._state_file(finished, rank).name for rank in range(self._processes.count)}
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():  # what a killed run had begun
            if path.name not in wanted:
                path.unlink()
        if not (self.folder / SETTINGS).exists():
            write_json(self.folder / SETTINGS, settings)
        return finished

    def _usable(self, settings: Mapping[str, Any]) -> tuple[int, str | None]:
        """Return how many parts an earlier run left, or 0 and why they cannot be used."""
        if not self.folder.exists():
            return 0, None
        try:
            earlier = read_json(self.folder / SETTINGS)
        except CriticalWeightsError:
            return 0, "it is not said with what settings they were made" if any(self.folder.iterdir()) else None
        if differ := sorted(k for k in {*earlier, *settings} if earlier.get(k) != settings.get(k)):
            return 0, f"they were made with other settings ({', '.join(differ)})"
        finished = len(list(self.folder.glob("part_*.zip")))
        states = [self._state_file(finished, rank) for rank in range(self._processes.count)] if finished else []
        for path in [*map(self._part, range(1, finished + 1)), *states]:
            if not is_whole(path):
                return 0, f"{path.name} is missing or damaged"
        return finished, None

    def _write_state(self, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        tensors = dict(state)
        sums = {}
        for name, own in self.findings.sums.items():
            sums[name] = [own.total, own.l1]
            tensors |= {
                f"{line} sums of {name}": v for line, v in (("row", own.row), ("col", own.col)) if v is not None
            }
        path = self._state_file(self.finished, self._processes.rank)
        part = path.with_suffix(".part")
        write_state(part, {"engine": facts, "sums": sums, "skipped": self.findings.skipped}, tensors)
        part.replace(path)

    def _read_state(self) -> None:
        held, tensors = read_state(self._state_file(self.finished, self._processes.rank))
        for name, (total, l1) in held["sums"].items():
            row, col = (tensors.pop(f"{line} sums of {name}", None) for line in ("row", "col"))
            self.findings.sums[name] = SignedSums(row, col, total, l1)
        self.findings.skipped.update(held["skipped"])
        self.facts, self._state = held["engine"], tensors
