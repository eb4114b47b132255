"""Runs the score script over and over in forked processes and kills each at a chosen moment, until one ends.

A process of its own, so that what is forked is small and single-threaded; forks, because the libraries are then
imported once. A moment is the n-th time that the run touches a file in its output folder, or that it is about to open
any other one: an audit hook counts, and kills from inside.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

# Imported here for all forks; only the model's own modules are left to them.
from critical_weights.scoring import family, memory_plan, place  # noqa: F401
from script_call import call_script

EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir", "shutil.rmtree")


def fork(arguments: list[str], folder: Path, moment: int | None) -> tuple[int, int]:
    """Run the script in a fork that kills itself at a moment.

    Returns:
        How it ended, as ``os.waitstatus_to_exitcode`` has it, and how many moments there were.

    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        seen = 0

        def hook(event: str, values: tuple[object, ...]) -> None:
            nonlocal seen
            if event in EVENTS and str(folder) in str(values[0]):
                if seen == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                seen += 1

        sys.addaudithook(hook)
        status = call_script("score", *arguments)
        os.write(writer, str(seen).encode())
        os._exit(status)
    os.close(writer)
    _, status = os.waitpid(pid, 0)
    with os.fdopen(reader) as told:
        return os.waitstatus_to_exitcode(status), int(told.read() or 0)


def fork_for(arguments: list[str], seconds: float) -> int:
    """Run the script in a fork that is killed after a while."""
    pid = os.fork()
    if pid == 0:
        os._exit(call_script("score", *arguments))
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(folder: Path, kills: int, seed: int, arguments: list[str]) -> None:
    """Make ``undisturbed``, then ``killed`` with so many kills, several of each run; print how each fork ended."""
    rng = random.Random(seed)
    started = time.monotonic()
    status, moments = fork([*arguments, f"--output-dir={folder / 'undisturbed'}"], folder / "undisturbed", None)
    duration = time.monotonic() - started
    print("undisturbed", status, moments)
    given = [*arguments, f"--output-dir={folder / 'killed'}"]
    for kill in range(kills):
        if kill % 4 == 3:
            status, moment = fork_for(given, rng.random() * duration), "time"
        else:
            moment = rng.randrange(moments if kill % 4 == 0 else max(moments // 3, 1))
            status, _ = fork(given, folder / "killed", moment)
        parts = len(list((folder / "killed").glob(".unfinished/*/part_*")))
        print("killed", status, parts, moment)
    status, _ = fork(given, folder / "killed", None)
    print("ended", status, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
