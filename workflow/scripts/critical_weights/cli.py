"""What every staged script shares: a log file, one line for a mistake, no traceback on the screen."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from .errors import CriticalWeightsError
from .log import logger, start_logging

EXIT_MISTAKE = 1
EXIT_BUG = 3
EXIT_INTERRUPTED = 130


def run_stage(
    stage: str, parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], None], argv: list[str] | None = None
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
    start_logging(f"{stage} {arguments.label}".strip(), arguments.log)
    log = logger("cli")
    try:
        main(arguments)
    except CriticalWeightsError as error:
        log.error("error: %s", error)
        return EXIT_MISTAKE
    except KeyboardInterrupt:
        log.error("interrupted; nothing half-written was left")
        return EXIT_INTERRUPTED
    except MemoryError:
        log.error("error: out of memory. Close other programs, or use fewer or shorter texts (max_samples, max_length)")
        return EXIT_MISTAKE
    except Exception as error:  # noqa: BLE001 (the last line of defence: a user never meets a traceback)
        where = _keep_traceback(arguments.log)
        text = " ".join(str(error).split())[:300]
        log.error("internal error: %s: %s. This is a bug: please report it with %s", type(error).__name__, text, where)
        return EXIT_BUG
    return 0


def _keep_traceback(log_file: str | None) -> str:
    if not log_file:
        return "the output of the same command with --log FILE, which keeps the traceback"
    with Path(log_file).open("a", encoding="utf-8") as file:
        traceback.print_exc(file=file)
    return f"the log {log_file}"


def exit_with(status: int) -> None:
    """End the process with a status; the scripts' last line."""
    sys.exit(status)
