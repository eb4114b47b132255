"""Write the facts of a fetched model: tensors, shapes, layers, components, axes, ties, hashes."""

from __future__ import annotations

import argparse
import sys

from critical_weights.cli import run_stage
from critical_weights.files import read_json, write_json
from critical_weights.model.libraries import import_libraries


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--record", required=True, help="what fetch_model.py wrote")
    p.add_argument("--include-1d", action="store_true", help="count norm and bias vectors into the analysed set")
    p.add_argument("--output", required=True, help="model.json to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Describe the model and write its facts."""
    import_libraries()
    from critical_weights.model.facts import describe_model  # torch is imported only once the arguments are sound

    write_json(a.output, describe_model(read_json(a.record), include_1d=a.include_1d))


if __name__ == "__main__":
    sys.exit(run_stage("model", parser(), main))
