"""What every staged script shares: a log file, one line for a mistake, no traceback on the screen."""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import CriticalWeightsError
from .log import logger, start_logging, stop_logging

EXIT_MISTAKE = 1
EXIT_BUG = 3
EXIT_INTERRUPTED = 130
_SURROUNDINGS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
_AGAIN_SECONDS = 0.05

_is_stage = Path(sys.argv[0]).resolve().parent == Path(__file__).resolve().parents[1]
if _is_stage and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C while a stage's script imports libraries ends it without a traceback, as SIGTERM does; from `run_stage` on,
    # both are told in a line.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_stage(
    stage: str,
    parser: argparse.ArgumentParser,
    main: Callable[[argparse.Namespace], None],
    argv: list[str] | None = None,
) -> int:
    """Parse the command line, start logging, run ``main`` and turn what goes wrong into one line.

    Args:
        stage: word at the head of each log line; ``--label`` on the command line adds to it.
        parser: the script's own arguments.
        main: the work; it raises :class:`CriticalWeightsError` for a mistake of the user's.
        argv: the command line, for tests.

    Returns:
        The exit status: 0; 1 for a mistake; 3 for a bug (its traceback goes to the log file); 130 interrupted.

    """
    parser.add_argument("--log", metavar="FILE", help="also write log lines to this file")
    parser.add_argument("--label", default="", help="what the job works on, shown at the head of each log line")
    arguments = parser.parse_args(argv)
    head = f"{stage} {arguments.label}".strip()
    try:
        start_logging(head, arguments.log)
    except CriticalWeightsError as error:
        print(f"[{head}] error: {error}", file=sys.stderr)
        return EXIT_MISTAKE
    ended = _Ended()
    try:
        with ended:
            main(arguments)
            if sys.stdout:  # a reader that has gone is met here, not as Python ends
                sys.stdout.flush()
    except (SystemExit, GeneratorExit):
        raise
    except BrokenPipeError:  # the output is piped into one that has read enough, such as head
        _drop_output()
        return EXIT_MISTAKE
    except BaseException as error:  # also what the tokenizers' Rust panics with, which is no Exception
        # Ended in the middle of an import, a library may tell of a module that is not there.
        status, line = _explain(KeyboardInterrupt() if ended.seen else error, arguments.log)
        logger("cli").error("%s", line)
        return status
    finally:
        stop_logging()
        if _is_stage:
            gc.freeze()  # as it ends, Python looks for garbage among all that libraries made: a fifth of a second
    return 0


def _drop_output() -> None:
    """Send what standard output still holds nowhere: as Python ends, it would be written and fail once more."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # no real file: nothing held
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _explain(error: BaseException, log_file: str | None) -> tuple[int, str]:
    """Return the exit status and the line for what went wrong; a bug's traceback goes to the log file."""
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED, "interrupted; nothing half-written was left"
    cause = error.__cause__
    no_room = isinstance(cause, OSError) and cause.errno == errno.ENOMEM  # not the file's fault, whose name is told
    if isinstance(error, CriticalWeightsError) and not no_room:
        return EXIT_MISTAKE, f"error: {error}"
    if no_room or _is_out_of_memory(error):
        fix = "Close other programs, or use fewer or shorter texts (max_samples, max_length)"
        return EXIT_MISTAKE, f"error: out of memory. {fix}."
    if isinstance(error, OSError) and error.errno in _SURROUNDINGS:
        return EXIT_MISTAKE, f"error: {error.strerror}: {error.filename or 'a file that was being written'}."
    where = _keep_traceback(log_file)
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return EXIT_BUG, f"internal error: {text}. This is a bug: please report it with {where}"


def _is_out_of_memory(error: BaseException) -> bool:
    # By name and words, because torch is not imported here; a library that is loaded late may find no room either.
    words = ("can't allocate memory", "failed to map segment", "Cannot allocate memory", "can't start new thread",
             "ThreadPoolBuildError", "without setting an exception", "without exception set")  # fmt: skip
    told = any(word in str(error) for word in words)
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or told


class _Ended:
    """Raises KeyboardInterrupt at SIGINT and at SIGTERM, which schedulers send, so that half-written files are removed.

    One that comes while Python can raise nothing (in a finalizer) would be shown as a traceback and be lost: it is
    sent once more. Whoever ignores SIGINT, as what a shell runs with ``&`` does, goes on doing so.

    Attributes:
        seen: whether one has come.

    """

    def __init__(self) -> None:
        self.seen = False

    def __enter__(self) -> None:
        before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
        self._before = {name: handler for name, handler in before.items() if handler not in (signal.SIG_IGN, None)}
        self._hook, sys.unraisablehook = sys.unraisablehook, self._lost
        for name in self._before:
            signal.signal(name, self._interrupt)

    def __exit__(self, *_: object) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)
        sys.unraisablehook = self._hook

    def _interrupt(self, *_: object) -> None:
        self.seen = True
        raise KeyboardInterrupt

    def _lost(self, unraisable: Any) -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGTERM)).start()
        elif not issubclass(unraisable.exc_type, MemoryError):  # the library that met it, or the next one, raises it
            self._hook(unraisable)


def _keep_traceback(log_file: str | None) -> str:
    try:
        with Path(log_file or "").open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
    except OSError:
        return "the output of the same command with --log FILE, which keeps the traceback"
    return f"the log {log_file}"
