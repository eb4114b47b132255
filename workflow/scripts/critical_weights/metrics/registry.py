"""The registry of metrics: a decorator that records a metric's names, needs, units and source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .statistics import STATISTICS

if TYPE_CHECKING:
    from torch import Tensor

    Score = Callable[[Tensor, Mapping[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Metric:
    """A metric: how to compute it and what its numbers mean.

    Attributes:
        name: full name (``grad_squared``).
        path: name in paths (``gradsq``).
        needs: the statistics that ``score`` reads, all of one family.
        units: unit of a score.
        normalisation: what is averaged over what.
        source: where the definition comes from.
        score: elementwise function (weight, statistics) -> score >= 0, larger = more critical.
        signed: the statistic that the score is the absolute (or clipped) value of, kept beside the candidates.
        clipped: what is set to a score of 0, in words for figures and reports; empty for nothing.

    """

    name: str
    path: str
    needs: tuple[str, ...]
    units: str
    normalisation: str
    source: str
    score: Score
    signed: str | None = None
    clipped: str = ""

    @property
    def family(self) -> str:
        """The scoring pass that yields this metric."""
        return STATISTICS[self.needs[0]].family if self.needs else "static"

    @property
    def has_gradient(self) -> bool:
        """Whether a signed mean gradient stands beside its scores."""
        return self.family == "gradient"


METRICS: dict[str, Metric] = {}
METRICS_BY_PATH: dict[str, Metric] = {}


def metric(
    *,
    name: str,
    path: str,
    needs: tuple[str, ...],
    units: str,
    normalisation: str,
    source: str,
    signed: str | None = None,
    clipped: str = "",
) -> Callable[[Score], Score]:
    """Register the decorated function as a metric.

    Raises:
        ValueError: a name is taken, or the needs are unknown or of several families (a mistake in the code).

    """

    def register(score: Score) -> Score:
        if name in METRICS or path in METRICS_BY_PATH:
            raise ValueError(f"metric {name} ({path}) is registered twice")
        if len({STATISTICS[need].family for need in needs}) > 1:
            raise ValueError(f"metric {name} needs statistics of several families: {needs}")
        entry = Metric(name, path, needs, units, normalisation, source, score, signed, clipped)
        METRICS[name] = METRICS_BY_PATH[path] = entry
        return score

    return register
