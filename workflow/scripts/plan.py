"""Print what models need, from their configs alone: tensors, weights and the memory of each placement (Markdown)."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.errors import ConfigError
from critical_weights.metrics import FAMILIES
from critical_weights.model.libraries import import_libraries


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument(
        "models", nargs="+", metavar="MODEL_CONFIG", help="config.json, a folder with one, or the name of a known model"
    )
    p.add_argument("--family", default="gradient", choices=FAMILIES, help="of metrics (default %(default)s)")
    p.add_argument("--texts", type=int, default=100, help="how many (default %(default)s)")
    p.add_argument("--length", type=int, default=512, help="tokens of each (default %(default)s)")
    p.add_argument(
        "--dtype",
        default="bfloat16",
        choices=("float64", "float32", "bfloat16", "float16"),
        help="(default %(default)s)",
    )
    p.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="to plan for; it need not be there")
    return p


def main(a: argparse.Namespace) -> None:
    """Plan for every model and print the table.

    Raises:
        ConfigError: there is no text, or none of a text.

    """
    if min(a.texts, a.length) < 1:
        raise ConfigError("--texts and --length", got=f"{a.texts} and {a.length}", expected="1 or more")
    import_libraries()
    import torch

    from critical_weights.model.load import DTYPES
    from critical_weights.model.plan import plan_table, to_markdown

    lengths = [a.length] * a.texts
    table = plan_table(a.models, family=a.family, lengths=lengths, dtype=DTYPES[a.dtype], device=torch.device(a.device))
    print(to_markdown(table), end="")


if __name__ == "__main__":
    sys.exit(run_stage("plan", parser(), main))
