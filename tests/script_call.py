"""Runs a staged script in this process: fast, and with the library that the tests have imported."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

from critical_weights.cli import run_stage

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"


def call_script(name: str, *arguments: object) -> int:
    """Run ``workflow/scripts/{name}.py`` with these arguments and return its exit status."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        return run_stage(name, module.parser(), module.main, [str(argument) for argument in arguments])
    finally:
        logging.getLogger("critical_weights").handlers.clear()
