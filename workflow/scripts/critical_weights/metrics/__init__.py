"""The metrics: pure functions (weight, statistics) -> score, one file each, found here by name.

Adding one: write a file with one decorated function and name the file in ``_FILES``. Names and needs can be
read without importing torch, so that a wrong config fails at once.
"""

from __future__ import annotations

from importlib import import_module

from .registry import METRICS, METRICS_BY_PATH, Metric
from .statistics import FAMILIES, STATISTICS, Statistic

_FILES = (
    "magnitude",
    "act_mag",
    "wanda",
    "grad_x_weight",
    "grad_squared",
    "taylor_abs",
    "hutchinson_diag",
    "obd",
    "obd_hutch",
)
for _file in _FILES:
    import_module(f".{_file}", __name__)


def family_metrics(family: str) -> list[Metric]:
    """Return the metrics of one family, in the registry's order."""
    return [metric for metric in METRICS.values() if metric.family == family]


__all__ = ["FAMILIES", "METRICS", "METRICS_BY_PATH", "STATISTICS", "Metric", "Statistic", "family_metrics"]
