"""The names of things: ranking modes, and experiments with the path of their run folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .errors import ConfigError, unknown
from .metrics import METRICS_BY_PATH, Metric

MODES = ("perlayer", "perblock", "global")
"""The k largest of each parameter tensor, of each transformer block, of the analysed set."""

PATTERN = "{phase}/{model}/{metric}_{mode}_k{k}"


@dataclass(frozen=True)
class Experiment:
    """One (phase, model, metric, mode, k); ``metric`` is the path name (``gradsq``)."""

    phase: str
    model: str
    metric: str
    mode: str
    k: int

    @property
    def path(self) -> str:
        """The run folder, below ``results/``."""
        return PATTERN.format(**self.__dict__)

    @property
    def label(self) -> str:
        """The last part of the path: metric, mode and k."""
        return self.path.rsplit("/", 1)[1]

    @property
    def metric_full(self) -> str:
        """The metric's full name (``grad_squared``)."""
        return self.definition.name

    @property
    def definition(self) -> Metric:
        """The metric itself."""
        return METRICS_BY_PATH[self.metric]


def parse_experiment(path: str, phases: Iterable[str], models: Iterable[str]) -> Experiment:
    """Read an experiment from its path, checking every part against what is known.

    Args:
        path: ``phase/model/metric_mode_kN``, with or without ``results/`` before it.
        phases: the phases that the config knows.
        models: the models that the config knows.

    Raises:
        ConfigError: a part is unknown or malformed; the message names the part and near names.

    """
    parts = [p for p in path.split("/") if p not in ("", ".")]
    if parts and parts[0] == "results":
        parts = parts[1:]
    if len(parts) != 3:
        raise ConfigError(
            f"'{path}' is no experiment", expected=PATTERN, fix="For example p2/bundled/gradsq_perlayer_k100"
        )
    phase, model, run = parts
    phases, models = list(phases), list(models)
    if phase not in phases:
        raise unknown("phase", phase, phases)
    if model not in models:
        raise unknown("model", model, models)
    match = re.fullmatch(r"(.*)_([^_]*)_k([^_]*)", run)
    if not match:
        raise ConfigError(
            f"'{run}' is no run name", expected="{metric}_{mode}_k{k}", fix="For example gradsq_perlayer_k100"
        )
    metric, mode, k = match.groups()
    before, _, after = metric.rpartition("_")
    if (typed := f"{after}_{mode}").replace("_", "") in MODES:  # per_layer: the metric is what stands before it
        metric, mode = before, typed
    if metric not in METRICS_BY_PATH:
        raise unknown("metric", metric, METRICS_BY_PATH)
    if mode not in MODES:
        raise unknown("mode", mode, MODES)
    return Experiment(phase, model, metric, mode, parse_k(k))


def parse_k(text: str | int) -> int:
    """Read a k: a whole number of at least 1, without leading zeros (one path, one experiment).

    Raises:
        ConfigError: it is something else.

    """
    if not re.fullmatch(r"[1-9][0-9]*", str(text)):
        raise ConfigError(f"k is the number of weights to select; got '{text}'", expected="a whole number from 1 up")
    return int(text)
