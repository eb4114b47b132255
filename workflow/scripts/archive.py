"""Make the archive of all configured experiments, check one against its manifest, unpack it, or compare two."""

from __future__ import annotations

import argparse
import json
import sys

from critical_weights.cli import run_stage
from critical_weights.errors import ArchiveError
from critical_weights.files import sha256_file
from critical_weights.log import logger
from critical_weights.run_manifest import experiment_of


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    commands = p.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="write the zip and its manifests")
    make.add_argument("--root", default="results", help="results folder (default %(default)s)")
    make.add_argument("--experiments", required=True, help="phase/model/run by comma")
    make.add_argument("--settings", metavar="JSON", help="of the study, which the archive then tells")
    make.add_argument("--without-interventions", action="store_true", help="leave out those of an earlier run")
    make.add_argument("--output-dir", default="results/archive", help="folder to write to (default %(default)s)")
    verify = commands.add_parser("verify", help="check an archive against its manifest; a line for each fault")
    verify.add_argument("archive", metavar="ZIP")
    extract = commands.add_parser("extract", help="check an archive, then unpack it into a new folder")
    extract.add_argument("archive", metavar="ZIP")
    extract.add_argument("folder", metavar="FOLDER", help="must not be there yet")
    compare = commands.add_parser("compare", help="name the files in which two archives differ")
    compare.add_argument("a", metavar="ZIP")
    compare.add_argument("b", metavar="ZIP")
    for command in (make, verify, extract, compare):
        # The same two as every stage has, so that they may stand behind the command too.
        command.add_argument(
            "--log", metavar="FILE", default=argparse.SUPPRESS, help="also write log lines to this file"
        )
        command.add_argument("--label", default=argparse.SUPPRESS, help="shown at the head of each log line")
    return p


def main(a: argparse.Namespace) -> None:
    """Run the command; faults go to standard output, one a line, and raise at the end.

    Raises:
        ArchiveError: the archive has faults, or the two differ where they must not.

    """
    {"make": _make, "verify": _verify, "extract": _extract, "compare": _compare}[a.command](a)


def _make(a: argparse.Namespace) -> None:
    from critical_weights.archive.build import make_archive

    experiments = [experiment_of(path) for path in a.experiments.split(",") if path]
    settings = json.loads(a.settings) if a.settings else None
    path = make_archive(a.root, experiments, a.output_dir, settings, interventions=not a.without_interventions)
    logger("archive").info("wrote %s, SHA-256 %s", path, sha256_file(path))


def _verify(a: argparse.Namespace) -> None:
    from critical_weights.archive.verify import verify_archive

    faults = verify_archive(a.archive)
    _print(faults)
    if faults:
        raise ArchiveError(f"{a.archive} does not match its manifest: {len(faults)} found")
    logger("archive").info("%s matches its manifest", a.archive)


def _extract(a: argparse.Namespace) -> None:
    from critical_weights.archive.extract import extract_archive

    folder = extract_archive(a.archive, a.folder)
    logger("archive").info("%s matches its manifest and is in %s", a.archive, folder)


def _compare(a: argparse.Namespace) -> None:
    from critical_weights.archive.compare import compare_archives

    comparison = compare_archives(a.a, a.b)
    _print([f"allowed     {line}" for line in comparison.allowed])
    _print([f"UNEXPECTED  {line}" for line in comparison.unexpected])
    if comparison.unexpected:
        raise ArchiveError(f"{a.a} and {a.b} differ where they must not: {len(comparison.unexpected)} found")
    logger("archive").info("no difference but those that may be (%d)", len(comparison.allowed))


def _print(lines: list[str]) -> None:
    for line in lines:
        print(line)


if __name__ == "__main__":
    sys.exit(run_stage("archive", parser(), main))
