"""What the score script reads, made of a tiny model; and the stores that it writes, compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from critical_weights.files import write_json
from critical_weights.metrics import family_metrics
from critical_weights.model.facts import describe_model
from critical_weights.model.source import fetch_model
from critical_weights.texts.calibration import calibrate
from tiny_models import SENTENCES, save_tiny_folder

STORES = tuple(f"{metric.path}.h5" for metric in family_metrics("gradient"))


def write_inputs(
    folder: Path,
    name: str,
    *,
    family: str = "gradient",
    dtype: torch.dtype = torch.float32,
    include_1d: bool = False,
    **overrides: Any,
) -> list[str]:
    """Write a tiny model and the files of the stages before scoring; return the score script's arguments for them."""
    folder.mkdir(parents=True, exist_ok=True)
    record = fetch_model("tiny", "local", path=str(save_tiny_folder(folder / "model", name, dtype=dtype, **overrides)))
    (folder / "texts.txt").write_text("\n".join(SENTENCES[:4]))
    tokens = calibrate(record, phase="p2", texts=str(folder / "texts.txt"), max_samples=4, max_length=12, seed=1)
    written = {"record": record, "facts": describe_model(record, include_1d=include_1d), "tokens": tokens}
    for word, value in written.items():
        write_json(folder / f"{word}.json", value)
    files = [f"--{word}={folder / word}.json" for word in written]
    return [f"--family={family}", "--device=cpu", "--candidates=50", *files]


def same_bytes(one: Path, other: Path, family: str = "gradient") -> bool:
    """Whether two folders hold the same stores of a family, byte by byte, and nothing else."""
    stores = sorted(f"{metric.path}.h5" for metric in family_metrics(family))
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in other.iterdir()) == stores
    return all((one / store).read_bytes() == (other / store).read_bytes() for store in stores)
