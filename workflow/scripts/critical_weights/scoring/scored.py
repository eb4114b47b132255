"""From an engine's statistics to what the stores keep: each tensor, slab by slab, by every metric of a family."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..metrics import Metric, family_metrics
from ..store.schema import TensorScores
from .checks import SignedSums, join_sums, signed_sums
from .reducer import TensorReducer
from .seam import Summary, TensorStatistics

Sink = Callable[[str, TensorScores], None]
"""Takes a metric's path name and one tensor's scores by it."""


@dataclass
class Findings:
    """What is learnt beside the scores.

    Attributes:
        sums: for the self-checks, by tensor name.
        skipped: tensor name -> why it has no score.

    """

    sums: dict[str, SignedSums] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


class Scorer:
    """Takes a run's slabs and gives each finished tensor to a sink.

    Args:
        family: of metrics.
        entries: the facts of each tensor, by name.
        dense: full names of the metrics whose every score is kept.
        candidates: how many of the best weights of a tensor to keep.
        summary: the run's; it says why a statistic is not there.
        findings: where to put what is learnt beside the scores.
        sink: where scores go.

    Attributes:
        seconds: spent on scores, and waiting for them to be written.

    """

    def __init__(
        self,
        family: str,
        entries: Mapping[str, Mapping[str, Any]],
        dense: Collection[str],
        candidates: int,
        summary: Summary,
        findings: Findings,
        sink: Sink,
    ) -> None:
        self.seconds = 0.0
        self._checked = family == "gradient"
        self._metrics = family_metrics(family)
        self._entries = entries
        self._dense = dense
        self._candidates = candidates
        self._summary = summary
        self._findings = findings
        self._sink = sink
        self._reducers: dict[Metric, TensorReducer] = {}

    def add(self, item: TensorStatistics) -> None:
        """Take the next slab.

        Raises:
            ModelError: a score is NaN or infinite.

        """
        entry, findings = self._entries[item.name], self._findings
        if self._checked:
            axes = tuple(entry["axes"])
            found = signed_sums(item.signed, axes)
            if found:  # kept in memory, since they are joined with those of parts that were computed before
                found = SignedSums(
                    found.row.cpu(), None if found.col is None else found.col.cpu(), found.total, found.l1
                )
                findings.sums[item.name] = join_sums(findings.sums.get(item.name), found, axes)
        if not entry["analysed"]:
            return
        clock = time.monotonic()
        for metric in self._metrics:
            if not all(need in item.statistics for need in metric.needs):
                reason = self._summary.missing.get(item.name, "the engine gathered no such statistic")
                findings.skipped[item.name] = reason
                continue
            if metric not in self._reducers:
                keep = metric.name in self._dense
                self._reducers[metric] = TensorReducer(metric, entry, candidates=self._candidates, dense=keep)
            self._reducers[metric].add(item)
            if self._reducers[metric].complete:
                self._sink(metric.path, self._reducers.pop(metric).finish())
        self.seconds += time.monotonic() - clock
