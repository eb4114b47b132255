"""Stages with a model import torch and transformers at once, without what they load in vain."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
HEAVY = re.compile(r"^(?:import|from) (?:torch|transformers)\b", re.MULTILINE)
IMPORTED = re.compile(r"^ +from (critical_weights[\w.]+) import", re.MULTILINE)


def told(program: str) -> dict:
    done = subprocess.run([sys.executable, "-c", program], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_nothing_is_loaded_in_vain_and_all_is_as_before():
    after = told(
        """
import gc, json, sys
from critical_weights.model.libraries import import_libraries
import_libraries()
import transformers
from transformers.models.llama import modeling_llama
kept = gc.get_freeze_count()
import_libraries()
print(json.dumps({
    "scipy": [name for name in sys.modules if name.split(".")[0] == "scipy"],
    "told": [transformers.utils.is_scipy_available(), transformers.utils.import_utils.is_scipy_available()],
    "collects": gc.isenabled(), "kept": kept, "again": gc.get_freeze_count(),
    "models": "transformers.models.auto.modeling_auto" in sys.modules,
}))
"""
    )
    assert after["scipy"] == []
    assert after["told"][0] == after["told"][1]
    assert after["collects"]
    assert after["kept"] == after["again"] > 100_000
    assert after["models"]


def first_heavy(text: str) -> int | None:
    """Return where a stage first imports torch, or a module of the library that does at its head."""
    text = text.replace("if TYPE_CHECKING:\n    import torch", "if TYPE_CHECKING:\n    import_torch")  # of equal length
    places = [found.start() for found in re.finditer(r"^ +import torch\b", text, re.MULTILINE)]
    for found in IMPORTED.finditer(text):
        module = SCRIPTS / (found[1].replace(".", "/") + ".py")
        if module.is_file() and HEAVY.search(module.read_text()):
            places.append(found.start())
    return min(places, default=None)


HEAVY_STAGES = [path.stem for path in sorted(SCRIPTS.glob("*.py")) if first_heavy(path.read_text()) is not None]


def test_there_are_such_stages():
    assert {"score", "validate", "spikes", "downstream", "describe_model", "plan"} <= set(HEAVY_STAGES)


@pytest.mark.parametrize("stage", [*HEAVY_STAGES, "calibrate"])  # the tokenizer's library imports torch, late
def test_every_stage_with_a_model_imports_so(stage):
    text = (SCRIPTS / f"{stage}.py").read_text()
    called = text.find("    import_libraries()\n")
    assert 0 < called < (first_heavy(text) or len(text))
