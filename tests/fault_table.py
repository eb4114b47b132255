"""Print the table of faults as Markdown, from the cases that ``test_faults.py`` wrote down."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

FAULTS = {
    "kill": "killed (SIGKILL) at a random moment",
    "interrupt": "interrupted (Ctrl-C) at a random moment",
    "empty": "an input is empty",
    "truncated": "an input is cut short",
    "flipped": "a bit of an input is flipped",
    "memory": "no memory left (limited address space)",
    "disk": "disk full",
    "readonly": "file system mounted for reading only",
}
NAMES = re.compile(r"(?:[\w.-]+/)*[\w.-]+\.(?:json|csv|h5|txt|safetensors|png|svg|md|html|zip)\b")


def message(case: dict[str, Any]) -> str:
    """Return the line that a case ended with, files' names left out; nothing where it had none to say."""
    found = re.search(r"^\[[^]]*\] ((?:error: |interrupted).*)$", case["said"], re.MULTILINE)
    return NAMES.sub("FILE", found[1])[:110] if found else ""


def row(fault: str, cases: list[dict[str, Any]]) -> str:
    """Return a fault's row: how often it was tried, what came of it, the commonest message."""
    told = Counter(line for line in map(message, cases) if line)
    tracebacks = sum("Traceback" in case["said"] or "internal error" in case["said"] for case in cases)
    same = sum(case["again"] == 0 and case["same"] and not case["left"] for case in cases)
    stages = len({case["rule"] for case in cases})
    ended = sum(case["status"] != 0 for case in cases)
    common = f"`{told.most_common(1)[0][0]}`" if told else ""
    return f"| {FAULTS[fault]} | {stages} | {len(cases)} | {ended} | {tracebacks} | {same} of {len(cases)} | {common} |"


def main(file: Path) -> None:
    """Print the table."""
    cases = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    print(
        "| fault | rules | tried | ended the job | tracebacks | rerun: same bytes, nothing left | commonest message |"
    )
    print("|---|---|---|---|---|---|---|")
    for fault in FAULTS:
        if own := [case for case in cases if case["harm"] == fault]:
            print(row(fault, own))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
