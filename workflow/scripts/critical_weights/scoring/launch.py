"""Starting a script in several processes, and letting them speak to the user with one voice.

The processes are started by torch's own launcher, the one behind ``torchrun``. What is done here is only that a
mistake stays one line and an exit status, as with one process: of what goes wrong in several of them, the first
message is the reason and the others follow from it.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from ..cli import EXIT_INTERRUPTED
from ..errors import CriticalWeightsError
from .stopping import EXIT_TERMINATED

SAID = "CRITICAL_WEIGHTS_SAID"
"""Environment variable: a file that whoever has an error to tell makes first; the others are silent."""
LOG = "CRITICAL_WEIGHTS_LOG"
"""Environment variable: the log file that all processes append to."""
_PR_SET_PDEATHSIG = 1


def run_processes(count: int, script: Path, arguments: Sequence[str], log: str | None) -> int:
    """Run a script in several processes on this machine, which share its threads.

    Args:
        count: of processes.
        script: a Python file.
        arguments: of each of them.
        log: the log file that they append to.

    Returns:
        The exit status: 0, or what the processes that failed ended with; they have said why.

    Raises:
        CriticalWeightsError: one was killed.
        KeyboardInterrupt: interrupted.

    """
    for name, own in logging.root.manager.loggerDict.items():  # its tables of failed processes
        if name.startswith("torch") and isinstance(own, logging.Logger):
            own.setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=count, run_id=uuid.uuid4().hex, max_restarts=0,
        rdzv_backend="c10d", rdzv_endpoint="localhost:0", local_addr="127.0.0.1",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        os.environ[SAID] = str(Path(folder) / "said")
        os.environ[LOG] = log or ""
        os.environ["OMP_NUM_THREADS"] = str(max(1, _threads() // count))
        try:
            elastic_launch(config, sys.executable)(str(script), *arguments)
        except ChildFailedError as error:
            return _status({rank: failure.exitcode for rank, failure in error.failures.items()})
        except SignalException as error:
            if error.sigval == signal.SIGINT:
                raise KeyboardInterrupt from error
            return EXIT_TERMINATED
    return 0


def _threads() -> int:
    """Return how many threads this process may use: OMP_NUM_THREADS, of a list (one a level) the first, or all."""
    outer = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(outer) if outer.isdecimal() else os.cpu_count() or 1


def _status(codes: Mapping[int, int]) -> int:
    """Return the exit status of a job from those of its processes.

    Raises:
        CriticalWeightsError: one was killed.

    """
    # Where one fails, the launcher ends the others by SIGTERM: that is no reason.
    codes = {rank: code for rank, code in codes.items() if code not in (-signal.SIGTERM, EXIT_INTERRUPTED)}
    if not codes or EXIT_TERMINATED in codes.values():
        return EXIT_TERMINATED
    for rank, code in sorted(codes.items()):
        if code < 0:
            name = signal.Signals(-code).name
            raise CriticalWeightsError(f"process {rank} of the job was killed ({name})",
                                       fix="Where nobody did so, memory ran out: use fewer processes")  # fmt: skip
    return max(codes.values())


class _FirstToSpeak(logging.Filter):
    """Lets errors through only in the process that is the first to have one; other lines only in the leading one."""

    def __init__(self, leads: bool, said: str | None) -> None:
        super().__init__()
        self._least = logging.INFO if leads else logging.ERROR
        self._said = said
        self._mine = said is None

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < self._least or record.levelno < logging.ERROR:
            return record.levelno >= self._least
        if not self._mine:
            try:
                os.close(os.open(self._said, os.O_CREAT | os.O_EXCL))
            except OSError:
                return False
            self._mine = True
        return True


def stand_together(log: str | None) -> str | None:
    """Have this process speak with one voice with the others that torchrun started, and end with the launcher.

    Args:
        log: its own log file.

    Returns:
        The log file that they share; the process's own where it was not started by :func:`run_processes`.

    """
    root = logging.getLogger("critical_weights")
    shared = os.environ.get(LOG)
    if shared:
        handler = logging.FileHandler(shared, mode="a", encoding="utf-8")
        handler.setFormatter(root.handlers[0].formatter)
        root.addHandler(handler)
    if SAID in os.environ and sys.platform == "linux":
        # Were the launcher killed, this process would go on alone, and write where the next run does.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    first = _FirstToSpeak(os.environ["RANK"] == "0", os.environ.get(SAID))
    for handler in root.handlers:
        handler.addFilter(first)
    return shared or log


def is_heard() -> bool:
    """Whether someone else says why a process of this job ended."""
    return SAID in os.environ
