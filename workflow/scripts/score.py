"""Score every weight by every metric of one family, in one pass over the calibration texts."""

from __future__ import annotations

import argparse
import resource
import sys
import time

from critical_weights.cli import run_stage
from critical_weights.errors import ConfigError
from critical_weights.files import read_json, write_json
from critical_weights.metrics import FAMILIES


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--family", required=True, choices=FAMILIES)
    p.add_argument("--record", required=True, help="what fetch_model.py wrote")
    p.add_argument("--facts", required=True, help="model.json")
    p.add_argument("--calibration", help="calibration.json; not for the static family")
    p.add_argument("--tokens", help="tokens.json; not for the static family")
    p.add_argument("--dtype", default="auto", help="auto, float32, bfloat16, float16 or float64")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda")
    p.add_argument("--placement", default="auto", help="auto, resident, blocks or streamed: what is in memory")
    p.add_argument("--candidates", type=int, default=10_000, help="best weights of each tensor kept exactly")
    p.add_argument("--dense", default="auto", help="auto, true, false or metrics by comma: keep every score")
    p.add_argument("--probes", type=int, default=10, help="Hutchinson probes, at least 2")
    p.add_argument("--seed", type=int, default=42)
    p.add_argument("--output-dir", required=True, help="folder of the score stores")
    p.add_argument("--timing", help="JSON to write with seconds, rates and peak memory")
    return p


def main(a: argparse.Namespace) -> None:
    """Load the model, run the pass, write the stores.

    Raises:
        ConfigError: a family that reads texts got none.

    """
    static = a.family == "static"
    if not static and not (a.calibration and a.tokens):
        raise ConfigError(f"the {a.family} family reads texts", fix="Give --calibration and --tokens")
    facts = read_json(a.facts)
    calibration = None if static else read_json(a.calibration)
    texts = [] if static else read_json(a.tokens)["calibration"]

    import torch

    from critical_weights.model_load import choose_device, choose_dtype
    from critical_weights.scoring.family import ScoringSettings, score_family
    from critical_weights.scoring.memory_plan import plan_memory
    from critical_weights.scoring.place import place_model

    start = time.monotonic()
    device, dtype = choose_device(a.device), choose_dtype(a.dtype, facts)
    plan = plan_memory(a.family, facts, [len(ids) for ids in texts], dtype, device, placement=a.placement)
    model, placed = place_model(read_json(a.record), plan, dtype, device)
    loaded = time.monotonic() - start
    settings = ScoringSettings(candidates=a.candidates, dense=a.dense, probes=a.probes, seed=a.seed)
    figures = score_family(a.family, model, facts, calibration, texts, settings, a.output_dir, placed)
    if a.timing:
        figures["stages"] = {"load": loaded, **figures["stages"]}
        figures["device"] = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
        figures["placement"] = plan.placement
        figures["planned_memory_bytes"] = plan.total
        figures["threads"] = torch.get_num_threads()
        figures["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if device.type == "cuda":
            figures["peak_device_memory_bytes"] = torch.cuda.max_memory_allocated()
        write_json(a.timing, figures)


if __name__ == "__main__":
    sys.exit(run_stage("score", parser(), main))
