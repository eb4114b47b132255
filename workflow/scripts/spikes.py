"""Find super weights: the weights of each block's down_proj that make an activation spike; forward passes only."""

from __future__ import annotations

import argparse
import math
import sys

from critical_weights.cli import run_stage
from critical_weights.errors import ConfigError
from critical_weights.files import read_json, write_json
from critical_weights.model.libraries import import_libraries
from critical_weights.model.source import check_unchanged, model_folder
from critical_weights.superweights.published import check_published, published_weights
from critical_weights.superweights.record import profile_table, record_of
from critical_weights.superweights.rule import SpikeRule
from critical_weights.tables.schema import write_table
from critical_weights.tables.superweights import SPIKE_PROFILE
from critical_weights.texts.tokens_file import read_tokens


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--record", required=True, help="what fetch_model.py wrote")
    p.add_argument("--facts", required=True, help="model.json")
    p.add_argument("--tokens", required=True, help="tokens.json")
    p.add_argument("--texts", type=int, default=8, help="calibration texts to run, from the first")
    p.add_argument("--rounds", type=int, default=8, help="passes at most")
    p.add_argument("--ratio", type=float, default=5, help="of a spike to the median of the other blocks")
    p.add_argument("--next-ratio", type=float, default=3, help="of a spike to the next block")
    p.add_argument("--dtype", default="auto", help="auto, float32, bfloat16, float16 or float64")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda")
    p.add_argument("--placement", default="auto", help="auto, resident, blocks or streamed: what is in memory")
    p.add_argument("--output", required=True, help="spikes.json to write")
    p.add_argument("--profile", required=True, help="spike_profile.csv to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Load the model, run the rounds, write what they found.

    Raises:
        ConfigError: texts or rounds are fewer than 1, or a ratio is below 1 or no finite number.

    """
    if min(a.texts, a.rounds) < 1:
        raise ConfigError("superweights: texts and rounds", got=f"{a.texts} and {a.rounds}", expected="1 or more")
    if not all(math.isfinite(ratio) and ratio >= 1 for ratio in (a.ratio, a.next_ratio)):
        got = f"{a.ratio:g} and {a.next_ratio:g}"
        raise ConfigError("superweights: ratio and next_ratio", got=got, expected="finite numbers, 1 or more")

    import_libraries()
    from critical_weights.model.load import choose_device, choose_dtype
    from critical_weights.scoring.memory_plan import plan_memory
    from critical_weights.scoring.place import place_model
    from critical_weights.scoring.spikes import detect

    record, facts = read_json(a.record), read_json(a.facts)
    check_unchanged(model_folder(record), facts)
    texts = read_tokens(a.tokens)["calibration"][: a.texts]
    published = check_published(published_weights(facts["repo"]), facts, model_folder(record))
    device = choose_device(a.device)
    dtype = choose_dtype(a.dtype, facts, device)
    lengths = [len(ids) for ids in texts]
    plan = plan_memory("forward", facts, lengths, dtype, device, placement=a.placement)
    model, placed = place_model(record, plan, dtype, device)
    rule = SpikeRule(a.ratio, a.next_ratio)
    detection = detect(model, texts, facts, rule, a.rounds, placed)
    write_table(profile_table(detection), a.profile, SPIKE_PROFILE)
    settings = {"texts": a.texts, "rounds": a.rounds, "ratio": a.ratio, "next_ratio": a.next_ratio}
    write_json(a.output, record_of(detection, facts, settings, str(dtype).removeprefix("torch."), published))


if __name__ == "__main__":
    sys.exit(run_stage("spikes", parser(), main))
