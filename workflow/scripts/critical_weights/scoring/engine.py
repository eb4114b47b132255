"""The engine that serves a family of metrics, for the way the model is placed in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

from ..errors import ConfigError
from ..metrics import family_metrics
from .block_curvature import BlockCurvature
from .block_plan import BlockPlan
from .blockwise import BlockGradients
from .forward import BlockForward
from .kept_parts import Kept
from .loss import accumulator_dtype, refuse_train_mode
from .plain import gather_plain
from .processes import Processes
from .resident import ResidentGradients
from .seam import Run, Summary, TensorStatistics
from .weights import ResidentWeights, Weights

SLAB_WEIGHTS = 1 << 25
"""A matrix outside the blocks is read in slabs of about so many weights where nothing else bounds it."""


class StaticRun:
    """The pass of the metrics that need no text: each tensor's weights; see :class:`.seam.Run`."""

    def __init__(self, model: PreTrainedModel, weights: Weights) -> None:
        self.summary = Summary()
        self._model = model
        self._weights = weights
        self._dtype = accumulator_dtype(next(model.parameters()).dtype)
        self._large = {
            id(module.weight)
            for module in (model.get_input_embeddings(), model.get_output_embeddings())
            if module is not None and module.weight.numel() > SLAB_WEIGHTS
        }

    def __iter__(self) -> Iterator[TensorStatistics]:
        """Yield each tensor in the model's order, one of them, or a slab of a large one, in memory at a time."""
        for name, parameter in list(self._model.named_parameters()):
            if id(parameter) in self._large:
                step = SLAB_WEIGHTS // parameter.shape[1]
                for start in range(0, parameter.shape[0], step):
                    rows = slice(start, min(start + step, parameter.shape[0]))
                    yield TensorStatistics(name, self._weights.rows(name, rows).to(self._dtype), {})
                continue
            with self._weights.loaded([name]):
                value = dict(self._model.named_parameters())[name]
                yield TensorStatistics(name, value.detach().to(self._dtype), {})


@dataclass(frozen=True)
class Placed:
    """Where a model lies.

    Attributes:
        placement: ``resident``, ``blocks`` or ``streamed``.
        plan: what bounds the block engine.
        weights: how a streamed model's weights are read; None where all are in memory.
        device: where to compute; None for where the weights are.
        processes: those that share the texts.

    """

    placement: str = "resident"
    plan: BlockPlan = field(default_factory=BlockPlan)
    weights: Weights | None = None
    device: torch.device | None = None
    processes: Processes = field(default_factory=Processes)


def keeps_parts(family: str, placed: Placed) -> bool:
    """Whether the engine of a family finishes the model part by part, so that a later run can go on behind one."""
    return family in ("gradient", "curvature") and placed.placement != "resident"


def check_processes(family: str, count: int) -> None:
    """Check that so many processes can share the texts of a family.

    Raises:
        ConfigError: there are no texts to share.

    """
    if count > 1 and family == "static":
        raise ConfigError("the static family reads no texts that processes could share", got=f"{count} processes",
                          fix="Set --processes 1")  # fmt: skip


def start_run(
    family: str,
    model: PreTrainedModel,
    texts: Sequence[Sequence[int]],
    analysed: Collection[str],
    placed: Placed,
    *,
    seed: int,
    probes: int,
    kept: Kept | None = None,
) -> Run:
    """Start one pass over the texts with the engine that fits.

    Args:
        family: ``static``, ``forward``, ``gradient`` or ``curvature``.
        model: in eval mode; on the meta device for ``streamed``.
        texts: token ids of each text.
        analysed: names of the analysed tensors.
        placed: where the model lies.
        seed: of the curvature probes.
        probes: number of curvature probes.
        kept: the parts that are finished, where the engine works part by part.

    Raises:
        ConfigError: several processes are to share the texts of a family that reads none, or there are fewer texts.

    """
    refuse_train_mode(model)
    processes = placed.processes
    check_processes(family, processes.count)
    placement, plan = placed.placement, placed.plan
    weights = placed.weights or ResidentWeights(model)
    device = placed.device or next(model.parameters()).device
    if family == "static":
        return StaticRun(model, weights)
    if family == "curvature":
        if placement == "resident":
            return gather_plain(model, texts, family, seed=seed, probes=probes, analysed=analysed, processes=processes)
        return BlockCurvature(
            model, texts, plan, weights, device, analysed, seed=seed, probes=probes, processes=processes, kept=kept
        )
    if family == "forward":
        if placement == "resident":
            return gather_plain(model, texts, family, analysed=analysed, processes=processes)
        return BlockForward(model, texts, plan, weights, device, processes)
    wanted = {need for metric in family_metrics(family) for need in metric.needs}
    if placement == "resident":
        return ResidentGradients(model, texts, wanted, analysed, plan.batch_tokens, processes, by_text=plan.by_text)
    return BlockGradients(model, texts, wanted, analysed, plan, weights, device, processes, kept)
