"""From score stores to the report by library calls alone, as the workflow's stages make them one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from gpu_model import MODEL, SEED

from critical_weights.concentration.concentration import concentration_table
from critical_weights.files import sha256_json, write_json
from critical_weights.metrics import family_metrics
from critical_weights.names import Experiment
from critical_weights.overlap.overlap import overlap_table
from critical_weights.overlap.ranked_lists import lists_of_stores
from critical_weights.plots import ANALYSIS_FIGURES, RUN_FIGURES, draw
from critical_weights.ranking.ranking import rank, read_ranking
from critical_weights.ranking.selection_stats import summarise
from critical_weights.report import write_report
from critical_weights.run_manifest import write_run_manifest
from critical_weights.store.read import open_store
from critical_weights.tables.schema import CONCENTRATION, OVERLAP, TOP_WEIGHTS, write_table

PHASE = "p1"


class Chain:
    """The stages behind the scores of one model, in a results folder of their own.

    Args:
        root: the results folder; stores are in :attr:`scores`.
        facts: the model's facts.
        texts: token ids of each text.
        k: weights that each global ranking selects.

    """

    def __init__(self, root: Path, facts: Mapping[str, Any], texts: Sequence[Sequence[int]], k: int) -> None:
        self.root = root
        self.folder = root / PHASE / MODEL
        self.scores = self.folder / "scores"
        self.facts = facts
        self.vocabulary = [f"<{i}>" for i in range(facts["vocab_size"])]
        self.calibration = _calibration(texts)
        self.runs = [Experiment(PHASE, MODEL, metric.path, "global", k) for metric in family_metrics("gradient")]

    def rank(self) -> int:
        """Rank every metric over all weights; return the number of rows written."""
        rows = 0
        for run in self.runs:
            with open_store(self.scores / f"{run.metric}.h5") as store:
                table = rank(store, dict(self.facts), self.vocabulary, run.mode, run.k)
            write_table(table, self.root / run.path / "top_weights.csv", TOP_WEIGHTS)
            rows += len(table)
        return rows

    def analyse(self) -> None:
        """Summarise each selection, compare the metrics, measure concentration."""
        for run in self.runs:
            ranking = read_ranking(self.root / run.path / "top_weights.csv")
            with open_store(self.scores / f"{run.metric}.h5") as store:
                stats = summarise(store, ranking, dict(self.facts), run.mode, run.k)
            write_json(self.root / run.path / "sensitivity_stats.json", stats)
        stores = [str(self.scores / f"{run.metric}.h5") for run in self.runs]
        write_table(overlap_table(*lists_of_stores(stores)), self.folder / "analysis" / OVERLAP.name, OVERLAP)
        write_table(concentration_table(stores), self.folder / "analysis" / CONCENTRATION.name, CONCENTRATION)

    def draw(self) -> int:
        """Draw every figure; return their number."""
        for run in self.runs:
            for figure in RUN_FIGURES:
                output = self.root / run.path / "plots" / f"{run.metric_full}_k{run.k}_{figure}.png"
                draw(figure, [self.root / run.path / "sensitivity_stats.json"], output, MODEL)
        for figure, table in ANALYSIS_FIGURES.items():
            output = self.folder / "analysis" / "plots" / f"{figure}.png"
            draw(figure, [self.folder / "analysis" / table.name], output, MODEL)
        return len(self.runs) * len(RUN_FIGURES) + len(ANALYSIS_FIGURES)

    def report(self, timing: Mapping[str, Any]) -> None:
        """Write manifests and the report; ``timing`` is what the scores took, as ``scripts/score.py`` writes it."""
        facts, calibration, times = (self.folder / f"{name}.json" for name in ("model", "calibration", "timing"))
        write_json(facts, dict(self.facts))
        write_json(calibration, self.calibration)
        write_json(times, dict(timing))
        for run in self.runs:
            folder = self.root / run.path
            write_json(folder / "config.json", {"experiment": run.path, "mode": run.mode, "k": run.k})
            write_run_manifest(folder, run, facts=facts, calibration=calibration, benchmarks={}, timing=times,
                               output=folder / "experiment_manifest.json")  # fmt: skip
        write_report(self.root, PHASE, MODEL, self.runs, self.folder / "report")


def _calibration(texts: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return ``calibration.json`` of random token ids, which nothing was left out of; there are no evaluation texts."""

    def part(own: Sequence[Sequence[int]]) -> dict[str, Any]:
        lengths = [len(ids) for ids in own] or [0]
        return {
            "source": "random token ids", "sha256": sha256_json(own), "n_texts": len(own), "n_tokens": sum(lengths),
            "n_predicted": sum(lengths) - len(own), "n_read": len(own), "n_blank": 0, "n_too_short": 0, "n_cut": 0,
            "n_duplicates": 0, "n_not_drawn": 0,
            "lengths": {"min": min(lengths), "median": median(lengths), "max": max(lengths)},
        }  # fmt: skip

    return {"phase": PHASE, "model": MODEL, "calibration": part(texts), "evaluation": part([]),
            "max_samples": len(texts), "max_length": max(map(len, texts)), "seed": SEED, "tokenizer_sha256": "",
            "sha256": sha256_json(texts)}  # fmt: skip
