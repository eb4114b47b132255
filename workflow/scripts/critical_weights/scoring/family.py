"""The score stage: one pass of an engine, every metric of its family, one store a metric."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from ..errors import ModelError
from ..files import sha256_json
from ..log import logger
from ..metrics import Metric, family_metrics
from ..store.write import StoreWriter, create_store
from .causal import check_causal
from .checks import check_laws
from .engine import Placed, keeps_parts, start_run
from .kept_folders import discard, inputs_folder, kept_folder
from .kept_parts import KeptParts
from .loss import accumulator_dtype
from .rehearsal import rehearse
from .same_model import check_same_model, check_tokens
from .scored import Findings, Scorer
from .seam import Summary, slabs_of
from .settings import ScoringSettings, check_settings, shaping, versions
from .stopping import TermSignal
from .weights import check_weight
from .write_behind import WriteBehind


def score_family(
    family: str,
    model: PreTrainedModel,
    facts: Mapping[str, Any],
    texts: Sequence[Sequence[int]],
    settings: ScoringSettings,
    folder: str | Path,
    placed: Placed | None = None,
    *,
    stoppable: bool = False,
) -> dict[str, Any]:
    """Score every analysed weight by every metric of one family and write the stores.

    Args:
        family: ``static``, ``forward``, ``gradient`` or ``curvature``.
        model: loaded, in eval mode.
        facts: its ``model.json``.
        texts: token ids of each calibration text; none for the static family.
        settings: see :class:`ScoringSettings`.
        folder: where ``{metric}.h5`` go.
        placed: where the model lies; all in memory of one process by default.
        stoppable: whether SIGTERM ends the run after the block that is being scored, where blocks are kept.

    Returns:
        Figures of the run for the manifest: seconds, weights, tensors, blocks.

    Raises:
        ModelError: the model is not the one of the facts or sees later tokens, or a weight, a score or the loss is NaN
            or infinite; no store is left.
        ConfigError: candidates or probes are too few.
        Stopped: it was asked to; finished blocks are kept.

    """
    folder, placed = Path(folder), placed or Placed()
    placed = replace(placed, plan=replace(placed.plan, scratch=inputs_folder(folder, family, placed.processes.rank)))
    entries = {t["name"]: t for t in facts["tensors"]}
    check_settings(family, settings)
    check_same_model(model, entries)
    check_tokens(texts, facts)
    if placed.weights is None:
        for name, parameter in model.named_parameters():
            check_weight(parameter, name)
        if texts and placed.placement == "resident":  # else the first block alone is tried, where it is in memory
            check_causal(model, texts)
    first = next(model.parameters())
    dtype, device = first.dtype, placed.device or first.device
    if (family, dtype, placed.placement) == ("gradient", torch.float16, "resident"):
        logger(__name__).warning("in float16 gradients of the head below 6e-8 come out as 0 where the whole model is "
                                 "in memory; 'placement: blocks' keeps them")  # fmt: skip
    started = time.monotonic()
    analysed = {name for name, t in entries.items() if t["analysed"]}
    with ExitStack() as stack:
        kept = None
        if keeps_parts(family, placed):
            shaped = shaping(facts, texts, settings, dtype, device, placed)
            asked = stack.enter_context(TermSignal()) if stoppable else lambda: False
            kept = stack.enter_context(KeptParts(kept_folder(folder, family), shaped, placed.processes, asked))
        rehearsal = rehearse(family, model, texts, analysed, placed) if placed.processes.leads else {}
        _log_rehearsal(rehearsal)
        run = start_run(family, model, texts, analysed, placed, seed=settings.seed, probes=settings.probes, kept=kept)
        if not placed.processes.leads:
            deque(run, maxlen=0)  # for its share of the first process's sums
            return {}
        findings = kept.findings if kept else Findings()
        writers = {} if kept else _open_stores(family, folder, stack)
        behind = stack.enter_context(WriteBehind(lambda metric, scores: writers[metric].add(scores)))
        sink = kept.add if kept else behind
        scorer = Scorer(family, entries, settings.dense, settings.candidates, run.summary, findings, sink)
        for item in slabs_of(run):
            scorer.add(item)
            del item
        if not math.isfinite(run.summary.corpus_loss or 0.0):
            raise ModelError("the loss of the calibration texts is no finite number", got=run.summary.corpus_loss,
                             fix="In float16 numbers above 65504 overflow: use float32 or bfloat16")  # fmt: skip
        clock = time.monotonic()
        if kept:  # every part, whether this run computed it or an earlier one
            writers = _open_stores(family, kept.folder, stack)
            for metric, scores in kept.tensors():
                behind(metric, scores)
        behind.wait()
        for name, reason in findings.skipped.items():
            logger(__name__).info("no %s metrics for %s: %s", family, name, reason)
        laws = check_laws(findings.sums, facts, dtype) if family == "gradient" else []
        _log_laws(laws)
        checks = {"laws": laws, "rehearsal": rehearsal}
        texts_sha256 = sha256_json(list(texts)) if texts else None
        for metric in family_metrics(family):
            attributes = _attributes(
                metric, facts, texts_sha256, run.summary, settings, dtype, checks, findings.skipped
            )
            writers[metric.path].finish(attributes, [len(ids) - 1 for ids in texts])
    if kept:
        for metric in writers:
            (kept.folder / f"{metric}.h5").replace(folder / f"{metric}.h5")
    discard(kept_folder(folder, family))
    written = scorer.seconds + time.monotonic() - clock
    total = time.monotonic() - started
    return {
        "family": family,
        "stages": {"statistics": total - written, "scores": written},
        "weights": sum(entries[name]["numel"] for name in analysed),
        "tensors": len(analysed),
        "blocks": facts["n_layers"],
        "texts": run.summary.n_texts,
    }


def _open_stores(family: str, folder: Path, stack: ExitStack) -> dict[str, StoreWriter]:
    return {m.path: stack.enter_context(create_store(folder / f"{m.path}.h5")) for m in family_metrics(family)}


def _attributes(
    metric: Metric,
    facts: Mapping[str, Any],
    texts_sha256: str | None,
    summary: Summary,
    settings: ScoringSettings,
    dtype: torch.dtype,
    checks: dict[str, Any],
    skipped: dict[str, str],
) -> dict[str, Any]:
    return {
        "metric": metric.name,
        "units": metric.units,
        "normalisation": metric.normalisation,
        "model": facts["model"],
        "model_revision": facts["revision"] or "",
        "model_sha256": facts["sha256"],
        "calibration_sha256": texts_sha256,
        "n_texts": summary.n_texts,
        "n_tokens": summary.n_predicted,
        "corpus_loss": summary.corpus_loss,
        "seed": settings.seed,
        "model_dtype": str(dtype).removeprefix("torch."),
        "accumulator_dtype": str(accumulator_dtype(dtype)).removeprefix("torch."),
        "versions": versions(),
        "checks": checks,
        "skipped": skipped,
    }


def _log_rehearsal(found: dict[str, Any]) -> None:
    if found.get("status") == "failed":
        logger(__name__).warning(
            "rehearsal failed: of two equal runs %d statistics differ; packing changes them by %.2g (allowed %.2g)",
            found["differing"], found["packing_error"], found["tolerance"],
        )  # fmt: skip


def _log_laws(laws: list[dict[str, Any]]) -> None:
    for law in laws:
        if law["status"] == "failed":
            found = law["reason"] if law["error"] is None else f"error {law['error']:.2g}"
            logger(__name__).warning("self-check failed: %s (%s, allowed %.2g)", law["law"], found, law["tolerance"])
    if laws:
        counts = {s: sum(law["status"] == s for law in laws) for s in ("passed", "failed", "not applicable")}
        logger(__name__).info("self-checks: %s", ", ".join(f"{n} {s}" for s, n in counts.items()))
