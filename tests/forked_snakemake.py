"""Snakemake in forks of one process that has imported its libraries: each is a run of its own, begun a second sooner.

What is imported beforehand is what Snakemake asks of others, nothing of Snakemake or of this project, and the process
is started anew for another environment. Run as a program it is that process.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

LIBRARIES = ("pandas", "sqlmodel", "jsonschema", "smart_open", "docutils.parsers.rst.directives.images", "jinja2",
             "pulp", "psutil", "yte", "requests")  # fmt: skip
_OF_A_TEST = ("PYTEST_CURRENT_TEST",)


class _Server:
    """The process, and the environment that it was started with."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.process = subprocess.Popen([sys.executable, __file__], env=environment, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, start_new_session=True)  # fmt: skip
        atexit.register(self.end)

    def ask(self, *request: object) -> int:
        """Run Snakemake and return its exit status."""
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            return int(self.process.stdout.readline())
        except BaseException:  # a test that ran out of time among them: what it started ends with it
            self.end()
            raise

    def end(self) -> None:
        """Kill the process and what it started."""
        atexit.unregister(self.end)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


_servers: list[_Server] = []


def run_snakemake(folder: Path, *words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Do as ``subprocess.run([sys.executable, "-m", "snakemake", *words], ...)`` does in a folder."""
    environment = {name: value for name, value in (env or os.environ).items() if name not in _OF_A_TEST}
    while _servers and (_servers[0].environment != environment or _servers[0].process.poll() is not None):
        _servers.pop().end()
    if not _servers:
        _servers.append(_Server(environment))
    with tempfile.TemporaryDirectory() as said:
        files = [os.path.join(said, name) for name in ("out", "err")]
        given = [os.fspath(word) for word in words]
        status = _servers[0].ask(os.path.abspath(folder), given, *files)
        out, err = (Path(file).read_text(encoding="utf-8") for file in files)
    return subprocess.CompletedProcess([sys.executable, "-m", "snakemake", *given], status, out, err)


def _serve() -> None:
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            return _become(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return None


def _become(folder: str, words: list[str], out: str, err: str) -> None:
    """Go on as ``python -m snakemake`` in that folder."""
    os.chdir(folder)
    places = [os.open(os.devnull, os.O_RDONLY), *(os.open(file, os.O_WRONLY | os.O_CREAT) for file in (out, err))]
    for number, place in enumerate(places):
        os.dup2(place, number)
        os.close(place)
    sys.path[0] = os.getcwd()
    sys.argv[1:] = words
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve()
