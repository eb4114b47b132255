"""Export a selection for pruning, mixed precision, freezing or monitoring: index list, mask, Parquet table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from critical_weights.cli import run_stage
from critical_weights.compare.shapes import read_shapes
from critical_weights.errors import ConfigError
from critical_weights.ranking.export import read_selection, write_mask, write_parquet, write_selection


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("source", metavar="RUN|CSV|SELECTION", help="run folder, CSV list, or selection.safetensors")
    p.add_argument("--facts", metavar="JSON", help="model.json of the model (default: the one beside the run folder)")
    p.add_argument("--selection", metavar="FILE", help="selection.safetensors to write: flat indices and scores")
    p.add_argument("--mask", metavar="FILE", help="mask.safetensors to write: a bool for each weight of a tensor")
    p.add_argument("--parquet", metavar="FILE", help="top_weights.parquet to write (needs pyarrow)")
    p.add_argument("--all-tensors", action="store_true", help="mask also of tensors without a selected weight")
    return p


def main(a: argparse.Namespace) -> None:
    """Read the selection and write what is asked for.

    Raises:
        ConfigError: no output is named, or all tensors of an index list are asked for without the model's facts.

    """
    if not (a.selection or a.mask or a.parquet):
        raise ConfigError("nothing to write", fix="Name --selection, --mask or --parquet with a file")
    if a.parquet:
        write_parquet(a.source, a.parquet)
    if not (a.selection or a.mask):
        return
    weights = read_selection(a.source, a.facts)
    if a.selection:
        write_selection(weights, a.selection)
    if a.mask:
        write_mask(weights, a.mask, _all_shapes(a) if a.all_tensors else None)


def _all_shapes(a: argparse.Namespace) -> dict[str, tuple[int, ...]]:
    source = Path(a.source)
    beside = (source if source.is_dir() else source.parent).parent / "model.json"
    facts = Path(a.facts) if a.facts else beside
    if not facts.is_file():
        raise ConfigError(f"there is no {facts}, which lists all tensors", fix="Name one with --facts")
    return {name: tuple(tensor["shape"]) for name, tensor in read_shapes(facts).tensors.items()}


if __name__ == "__main__":
    sys.exit(run_stage("export", parser(), main))
