"""The score stage: one pass of an engine, every metric of its family, one store a metric."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from ..errors import ConfigError, ModelError, unknown
from ..log import choice, logger
from ..metrics import METRICS, Metric, family_metrics
from ..score_store import create_store
from .checks import SignedSums, check_laws, join_sums, signed_sums
from .engine import Placed, start_run
from .loss import accumulator_dtype
from .reducer import TensorReducer
from .seam import Summary, slabs_of
from .weights import check_weight

DENSE_BYTES = 4 << 30
"""Dense scores are kept by default while all of one phase and model stay below this."""


@dataclass(frozen=True)
class ScoringSettings:
    """What shapes the stores: candidates a tensor, dense scores (``auto``, ``true``, ``false`` or metrics), probes."""

    candidates: int = 10_000
    dense: str = "auto"
    probes: int = 10
    seed: int = 42


def score_family(
    family: str,
    model: PreTrainedModel,
    facts: Mapping[str, Any],
    calibration: Mapping[str, Any] | None,
    texts: Sequence[Sequence[int]],
    settings: ScoringSettings,
    folder: str | Path,
    placed: Placed | None = None,
) -> dict[str, Any]:
    """Score every analysed weight by every metric of one family and write the stores.

    Args:
        family: ``static``, ``forward``, ``gradient`` or ``curvature``.
        model: loaded, in eval mode.
        facts: its ``model.json``.
        calibration: its ``calibration.json``; None for the static family, which reads no text.
        texts: token ids of each calibration text.
        settings: see :class:`ScoringSettings`.
        folder: where ``{metric}.h5`` go.
        placed: where the model lies; all in memory by default.

    Returns:
        Figures of the run for the manifest: seconds, weights, tensors, blocks.

    Raises:
        ModelError: the model is not the one of the facts, or a weight or a score is NaN or infinite; no store is left.
        ConfigError: ``dense`` names an unknown metric, or candidates or probes are too few.

    """
    entries = {t["name"]: t for t in facts["tensors"]}
    check_settings(family, settings)
    check_same_model(model, entries)
    placed = placed or Placed()
    if placed.weights is None:
        for name, parameter in model.named_parameters():
            check_weight(parameter, name)
    metrics = family_metrics(family)
    dense = choose_dense(settings.dense, facts, Path(folder))
    started = time.monotonic()
    analysed = {name for name, t in entries.items() if t["analysed"]}
    run = start_run(family, model, texts, analysed, placed, seed=settings.seed, probes=settings.probes)
    sums: dict[str, SignedSums] = {}
    skipped: dict[str, str] = {}
    reducers: dict[Metric, TensorReducer] = {}
    written = 0.0
    with ExitStack() as stack:
        writers = {m: stack.enter_context(create_store(Path(folder) / f"{m.path}.h5")) for m in metrics}
        for item in slabs_of(run):
            entry = entries[item.name]
            if family == "gradient":
                axes = tuple(entry["axes"])
                found = signed_sums(item.weight, item.statistics["grad"], axes)
                if found:
                    sums[item.name] = join_sums(sums.get(item.name), found, axes)
            if not entry["analysed"]:
                continue
            clock = time.monotonic()
            for metric in metrics:
                if not all(need in item.statistics for need in metric.needs):
                    skipped[item.name] = run.summary.missing.get(item.name, "the engine gathered no such statistic")
                    continue
                if metric not in reducers:
                    keep = metric.name in dense
                    reducers[metric] = TensorReducer(metric, entry, candidates=settings.candidates, dense=keep)
                reducers[metric].add(item)
                if reducers[metric].complete:
                    writers[metric].add(reducers.pop(metric).finish())
            written += time.monotonic() - clock
        for name, reason in skipped.items():
            logger(__name__).info("no %s metrics for %s: %s", family, name, reason)
        dtype = next(model.parameters()).dtype
        laws = check_laws(sums, facts, dtype) if family == "gradient" else []
        _log_laws(laws)
        for metric, writer in writers.items():
            writer.finish(_attributes(metric, facts, calibration, run.summary, settings, dtype, laws, skipped))
    total = time.monotonic() - started
    return {
        "family": family,
        "stages": {"statistics": total - written, "scores": written},
        "weights": sum(entries[name]["numel"] for name in analysed),
        "tensors": len(analysed),
        "blocks": facts["n_layers"],
        "texts": run.summary.n_texts,
    }


def check_settings(family: str, settings: ScoringSettings) -> None:
    """Check the counts among the settings.

    Raises:
        ConfigError: no candidate would be kept, or the probes have no standard error.

    """
    if settings.candidates < 1:
        raise ConfigError("scoring.candidates is too small", got=settings.candidates, expected="at least 1")
    if family == "curvature" and settings.probes < 2:
        raise ConfigError("scoring.probes is too small", got=settings.probes, expected="at least 2")


def check_same_model(model: torch.nn.Module, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that the loaded model has exactly the tensors of its facts.

    Raises:
        ModelError: a name or a shape differs.

    """
    loaded = {name: list(p.shape) for name, p in model.named_parameters()}
    recorded = {name: t["shape"] for name, t in entries.items()}
    differ = sorted(name for name in loaded.keys() | recorded.keys() if loaded.get(name) != recorded.get(name))
    if differ:
        raise ModelError(
            f"the loaded model differs from its model.json in {len(differ)} tensors, first {differ[0]}",
            got=loaded.get(differ[0]),
            expected=recorded.get(differ[0]),
            fix="Delete model.json; the next run makes it again",
        )


def choose_dense(setting: str, facts: Mapping[str, Any], folder: Path) -> set[str]:
    """Return the full names of the metrics whose every score is kept, and log why.

    Raises:
        ConfigError: the setting names an unknown metric.

    """
    log = logger(__name__)
    if setting == "false":
        choice("dense scores", "off", "as configured", log)
        return set()
    if setting == "true":
        choice("dense scores", "on", "as configured", log)
        return set(METRICS)
    if setting != "auto":
        by_path = {m.path: m.name for m in METRICS.values()}
        names = {by_path.get(name.strip(), name.strip()) for name in setting.split(",")}
        for name in sorted(names - set(METRICS)):
            raise unknown("metric in scoring.dense", name, {*METRICS, *by_path}, ConfigError)
        choice("dense scores", ", ".join(sorted(names)), "as configured", log)
        return names
    needed = facts["analysed"]["n_weights"] * 4 * len(METRICS)
    folder.mkdir(parents=True, exist_ok=True)
    limit = min(DENSE_BYTES, shutil.disk_usage(folder).free // 4)
    fits = needed < limit
    what = f"all {len(METRICS)} metrics would take {needed / 1e9:.2f} GB, the limit is {limit / 1e9:.2f} GB"
    choice("dense scores", "on" if fits else "off", what, log)
    return set(METRICS) if fits else set()


def _attributes(
    metric: Metric,
    facts: Mapping[str, Any],
    calibration: Mapping[str, Any] | None,
    summary: Summary,
    settings: ScoringSettings,
    dtype: torch.dtype,
    laws: list[dict[str, Any]],
    skipped: dict[str, str],
) -> dict[str, Any]:
    return {
        "metric": metric.name,
        "units": metric.units,
        "normalisation": metric.normalisation,
        "model": facts["model"],
        "model_revision": facts["revision"] or "",
        "model_sha256": facts["sha256"],
        "calibration_sha256": calibration["sha256"] if calibration else None,
        "n_texts": summary.n_texts,
        "n_tokens": summary.n_predicted,
        "corpus_loss": summary.corpus_loss,
        "seed": settings.seed,
        "model_dtype": str(dtype).removeprefix("torch."),
        "accumulator_dtype": str(accumulator_dtype(dtype)).removeprefix("torch."),
        "versions": {name: version(name).partition("+")[0] for name in ("torch", "transformers", "h5py")},
        "checks": {"laws": laws},
        "skipped": skipped,
    }


def _log_laws(laws: list[dict[str, Any]]) -> None:
    for law in laws:
        if law["status"] == "failed":
            found = law["reason"] if law["error"] is None else f"error {law['error']:.2g}"
            logger(__name__).warning("self-check failed: %s (%s, allowed %.2g)", law["law"], found, law["tolerance"])
    if laws:
        counts = {s: sum(law["status"] == s for law in laws) for s in ("passed", "failed", "not applicable")}
        logger(__name__).info("self-checks: %s", ", ".join(f"{n} {s}" for s, n in counts.items()))
