"""Score every weight by every metric of one family, in one pass over the calibration texts."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from critical_weights.cli import run_stage
from critical_weights.errors import ConfigError
from critical_weights.files import read_json, write_json
from critical_weights.log import logger
from critical_weights.metrics import FAMILIES, family_metrics
from critical_weights.model.libraries import import_libraries
from critical_weights.model.source import check_unchanged, model_folder
from critical_weights.texts.tokens_file import read_tokens

if TYPE_CHECKING:
    import torch


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--family", required=True, choices=FAMILIES)
    p.add_argument("--record", required=True, help="what fetch_model.py wrote")
    p.add_argument("--facts", required=True, help="model.json")
    p.add_argument("--tokens", help="tokens.json; not for the static family")
    p.add_argument("--dtype", default="auto", help="auto, float32, bfloat16, float16 or float64")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda")
    p.add_argument("--placement", default="auto", help="auto, resident, blocks or streamed: what is in memory")
    p.add_argument("--processes", type=int, default=1, help="that share the texts, each with a GPU or some threads")
    p.add_argument("--candidates", type=int, default=10_000, help="best weights of each tensor kept exactly")
    p.add_argument("--dense", default="auto", help="auto, true, false or metrics by comma: keep every score")
    p.add_argument("--probes", type=int, default=10, help="Hutchinson probes, at least 2")
    p.add_argument("--seed", type=int, default=42)
    p.add_argument("--output-dir", required=True, help="folder of the score stores")
    p.add_argument("--timing", help="JSON to write with seconds, rates and peak memory")
    return p


def main(a: argparse.Namespace) -> None:
    """Load the model, run the pass, write the stores; with several processes, start them to do so.

    Raises:
        ConfigError: a family that reads texts got none, or several processes cannot share its work.
        SystemExit: the run ended after a block because it was asked to, or one of several processes said what is wrong.

    """
    if a.family != "static" and not a.tokens:
        raise ConfigError(f"the {a.family} family reads texts", fix="Give --tokens")
    if a.processes < 1:
        raise ConfigError("--processes is too small", got=a.processes, expected="at least 1")

    import_libraries()
    from critical_weights.scoring.engine import check_processes
    from critical_weights.scoring.kept_parts import Stopped
    from critical_weights.scoring.launch import is_heard, run_processes, stand_together
    from critical_weights.scoring.processes import ProcessLost, is_one_of_several, shares
    from critical_weights.scoring.stopping import EXIT_TERMINATED

    check_processes(a.family, a.processes)
    if is_one_of_several():
        a.log = stand_together(a.log)
    elif a.processes > 1:
        shares(read_json(a.tokens)["calibration"], a.processes)  # refused before anything is started
        given = [
            f"--{key.replace('_', '-')}={value}" for key, value in vars(a).items() if key != "log" and value is not None
        ]
        if status := run_processes(a.processes, Path(__file__), given, a.log):
            raise SystemExit(status)
        return
    try:
        score(a)
    except Stopped as stopped:
        logger("score").warning("%s", stopped)
        raise SystemExit(EXIT_TERMINATED) from stopped
    except ProcessLost as lost:
        if is_heard():
            raise SystemExit(1) from lost
        raise


def score(a: argparse.Namespace) -> None:
    """Do this process's part of the work: all of it, where it is alone."""
    import torch

    from critical_weights.model.load import choose_device, choose_dtype
    from critical_weights.scoring.determinism import be_deterministic
    from critical_weights.scoring.family import ScoringSettings, score_family
    from critical_weights.scoring.memory_plan import free_memory, largest_share, plan_memory
    from critical_weights.scoring.place import place_model
    from critical_weights.scoring.processes import shares, together
    from critical_weights.scoring.settings import choose_dense

    record, facts = read_json(a.record), read_json(a.facts)
    check_unchanged(model_folder(record), facts)
    texts = [] if a.family == "static" else read_tokens(a.tokens)["calibration"]
    start = time.monotonic()
    device = choose_device(a.device)
    dtype = choose_dtype(a.dtype, facts, device)
    be_deterministic(device)
    with together(device) as (processes, device):
        dtype = processes.agree(dtype)  # nodes may differ in what they have instructions for
        plan, dense = None, frozenset()
        if processes.leads:  # the free memory that it sees is for all of them
            lengths = largest_share([[len(ids) for ids in own] for own in shares(texts, processes.count)])
            free = free_memory(device) // (processes.count if device.type == "cpu" else 1)
            dense = choose_dense(a.dense, facts, Path(a.output_dir))
            whole = sum(metric.name in dense for metric in family_metrics(a.family))
            plan = plan_memory(a.family, facts, lengths, dtype, device, placement=a.placement, available=free,
                               probes=a.probes, dense=whole)  # fmt: skip
        plan, dense = processes.agree((plan, dense))
        model, placed = place_model(record, plan, dtype, device)
        placed = replace(placed, processes=processes)
        loaded = time.monotonic() - start
        settings = ScoringSettings(candidates=a.candidates, dense=dense, probes=a.probes, seed=a.seed)
        figures = score_family(a.family, model, facts, texts, settings, a.output_dir, placed, stoppable=True)
    if a.timing and processes.leads:
        figures["stages"] = {"load": loaded, **figures["stages"]}
        figures["placement"] = plan.placement
        figures["processes"] = processes.count
        figures["planned_memory_bytes"] = plan.total
        figures["threads"] = torch.get_num_threads()
        figures["peak_memory_bytes"] = peak_memory()
        figures |= device_figures(device)
        write_json(a.timing, figures)


def device_figures(device: torch.device) -> dict[str, str | int]:
    """Return the name of the device that computed and, of a GPU, the most bytes of its memory that were taken."""
    import torch

    if device.type != "cuda":
        return {"device": "cpu"}
    memory = torch.cuda.max_memory_allocated(device)
    return {"device": torch.cuda.get_device_name(device), "peak_device_memory_bytes": memory}


def peak_memory() -> int:
    """Return the most bytes of host memory that this process has had; the system tells kilobytes, but macOS bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    sys.exit(run_stage("score", parser(), main))
