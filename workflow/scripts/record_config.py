"""Write what an experiment was asked to do: its settings, as the config of the study has them."""

from __future__ import annotations

import argparse
import json
import sys

from critical_weights.cli import run_stage
from critical_weights.errors import ConfigError
from critical_weights.files import write_json


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--settings", required=True, metavar="JSON", help="experiment, metric, mode, k and their settings")
    p.add_argument("--output", required=True, metavar="FILE", help="config.json to write")
    return p


def main(a: argparse.Namespace) -> None:
    """Write the settings, indented."""
    try:
        settings = json.loads(a.settings)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--settings is not JSON ({error})") from error
    write_json(a.output, settings)


if __name__ == "__main__":
    sys.exit(run_stage("config", parser(), main))
