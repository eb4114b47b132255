"""The GPU kernel, on the GPU where there is one, else in Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from critical_weights.scoring.fused import fused_available

TESTS = Path(__file__).parent


@pytest.mark.skipif(not find_spec("triton"), reason="Triton is not installed: the kernel cannot even be interpreted")
def test_kernel_is_the_loop_over_texts() -> None:
    """In a process of its own, since Triton looks once, when it is imported, whether it is to interpret."""
    surroundings = dict(os.environ) | ({} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"})
    # -W default: Triton warns of coming defaults when it is imported.
    command = [sys.executable, "-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider", "fused_cases.py"]
    done = subprocess.run(command, cwd=TESTS, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_plain_path_where_the_kernel_cannot_serve() -> None:
    assert not fused_available(torch.device("cpu"), torch.float32)
    assert not fused_available(torch.device("cuda"), torch.float64)
