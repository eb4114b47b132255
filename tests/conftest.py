"""What all tests share: no network, no window, no more threads than processes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("OMP_NUM_THREADS", "1")

LONG = ("test_processes", "test_slurm", "test_resume", "test_workflow", "test_architectures", "test_plots_analysis",
        "test_analysis_benchmark", "test_no_token")  # fmt: skip
"""Files that take minutes: begun first, so that not one worker ends with them while the other waits."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first. A file's tests go to one worker, in the order in which files are met."""
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """Take back what a command's start made of the package's logger: a later test would read other lines."""
    logger = logging.getLogger("critical_weights")
    before = (logger.level, logger.propagate, list(logger.handlers))
    yield
    logger.setLevel(before[0])
    logger.propagate = before[1]
    for handler in [h for h in logger.handlers if h not in before[2]]:
        handler.close()
    logger.handlers[:] = before[2]
