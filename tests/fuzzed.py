"""What the tests of hostile input share: a stage must end well, whatever it reads."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from critical_weights.files import write_json
from critical_weights.model.source import fetch_model
from script_call import call_script
from tiny_models import save_tiny_folder
from watched import watched

tried: Counter[str] = Counter()
"""Inputs by what read them."""


def ends_well(folder: Path, script: str, *arguments: object) -> int:
    """Run a stage; check that a log tells no traceback and nothing was touched outside; return its exit status."""
    log = folder / "stage.log"
    with watched(folder) as touched:
        status = call_script(script, *arguments, "--log", log)
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    assert status in (0, 1), said
    assert "Traceback" not in said
    assert "internal error" not in said
    assert touched == []
    tried[script] += 1
    return status


@pytest.fixture(scope="module", name="record")
def tiny_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_json(folder / "record.json", fetch_model("tiny", "local", path=str(save_tiny_folder(folder / "tiny"))))
    return folder / "record.json"


def calibrate(record: Path, file: Path) -> int:
    folder = file.parent
    return ends_well(
        folder, "calibrate", "--record", record, "--phase", "p", "--texts", file, "--max-samples", 3,
        "--max-length", 12, "--seed", 1, "--output", folder / "tokens.json",
    )  # fmt: skip
