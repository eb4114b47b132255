"""Runs ``fetch_model.py`` against a hub on loopback, each time in a process of its own.

The client reads its surroundings when it is imported, and importing takes seconds: one process imports everything
with the surroundings of a test module and forks for each call.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
CHILD = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import fetch_model, critical_weights.hub.download
from critical_weights.cli import run_stage
for line in sys.stdin:
    call = json.loads(line)
    child = os.fork()
    if child == 0:
        os.environ.update(call["env"])
        with open(call["output"], "w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        status = run_stage("model", fetch_model.parser(), fetch_model.main, call["arguments"])
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass
class Fetched:
    """How a call ended.

    Attributes:
        status: of the process.
        output: what it printed.
        record: what it wrote, or None.
        lock: the lock beside it, or None.

    """

    status: int
    output: str
    record: dict[str, Any] | None
    lock: dict[str, Any] | None

    @property
    def error(self) -> str:
        """The one line that tells what is wrong."""
        lines = [line for line in self.output.splitlines() if "error" in line]
        assert len(lines) == 1, self.output
        return lines[0]


def clean_environment(endpoint: str, home: Path, **more: str) -> dict[str, str]:
    """Return an environment of which the hub's client knows nothing but this hub and this home."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING", "TRANSFORMERS"))}
    return kept | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "PYTHONWARNINGS": "ignore"} | more


class HubClient:
    """A process that fetches models of one hub into one cache.

    Attributes:
        root: folder of the cache (``home``) and of the records.

    """

    def __init__(self, endpoint: str, root: Path, **env: str) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        environment = clean_environment(endpoint, root / "home", **env)
        command = [sys.executable, "-c", CHILD, str(SCRIPTS)]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def fetch(
        self, repo: str, *, revision: str = "main", env: Mapping[str, str] | None = None, convert: bool = False
    ) -> Fetched:
        """Fetch a repository; its record is named after it, so that a second call finds the lock of the first."""
        record = self.root / "resources" / f"{repo.split('/')[-1]}.json"
        record.unlink(missing_ok=True)
        output = self.root / "output.txt"
        arguments = ["--model=m", "--source=hub", f"--repo={repo}", f"--revision={revision}", f"--convert={convert}",
                     f"--output={record}", f"--log={self.root / 'log.txt'}"]  # fmt: skip
        call = {"arguments": arguments, "env": dict(env or {}), "output": str(output)}
        print(json.dumps(call), file=self._process.stdin, flush=True)
        status = int(self._process.stdout.readline())
        lock = record.with_suffix(".lock.json")
        made = [json.loads(file.read_text()) if file.is_file() else None for file in (record, lock)]
        return Fetched(status, output.read_text(), *made)

    def cache(self, repo: str) -> Path:
        """Return the folder of a repository in the cache."""
        return self.root / "home" / "hub" / f"models--{repo.replace('/', '--')}"

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
