"""Measure what Snakemake's planning costs for a large study, by a dry run: seconds, memory, jobs of each rule.

The study has so many hub models, phases and rankings; nothing is fetched or computed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RANKINGS = (
    "gradxw_perlayer_k100", "gradsq_perlayer_k100", "taylorabs_global_k300", "obd_global_k300", "hutch_perlayer_k100",
    "obdhutch_global_k300", "wanda_perlayer_k100", "actmag_perblock_k100", "mag_perlayer_k100", "gradxw_global_k300",
)  # fmt: skip


def large_study(models: int, phases: int, rankings: int) -> dict[str, Any]:
    """Return a config of models x phases x rankings experiments, of all families from ten rankings on."""
    return {
        "models": {f"model_{i:02d}": {"source": "hub", "repo": f"someone/model_{i:02d}"} for i in range(models)},
        "phases": {f"phase_{i}": {"seed": i} for i in range(phases)},
        "experiments": [
            f"phase_{phase}/model_{model:02d}/{ranking}"
            for phase in range(phases)
            for model in range(models)
            for ranking in RANKINGS[:rankings]
        ],
    }


def plan(config: dict[str, Any]) -> dict[str, Any]:
    """Plan a study by a dry run in an empty folder.

    Returns:
        Wall-clock and CPU seconds, the peak of resident memory in bytes, and the jobs of each rule.

    Raises:
        SystemExit: the dry run failed.

    """
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "own.yaml"
        own.write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "reason", "--snakefile",
                   str(ROOT / "Snakefile"), "--configfile", str(own)]  # fmt: skip
        with (Path(folder) / "said.txt").open("w+") as said:
            started = time.monotonic()
            process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            text = said.read()
    if process.returncode:
        raise SystemExit(text)
    table = re.search(r"^job +count\n-.*\n((?:.+\n)+?)total +(\d+)", text, re.MULTILINE)
    rows = dict(line.split() for line in table[1].splitlines())
    return {
        "experiments": len(config["experiments"]),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_bytes": usage.ru_maxrss * 1024,
        "jobs": int(table[2]),
        "scoring_jobs": sum(int(count) for rule, count in rows.items() if rule.startswith("score_")),
        "jobs_by_rule": {rule: int(count) for rule, count in rows.items()},
    }


def main() -> None:
    """Plan the study, print the figures and write them as JSON."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--models", type=int, default=20)
    p.add_argument("--phases", type=int, default=5)
    p.add_argument("--rankings", type=int, default=len(RANKINGS), choices=range(1, len(RANKINGS) + 1))
    p.add_argument("--output", type=Path, default=HERE / "results" / "planning.json")
    a = p.parse_args()
    found = plan(large_study(a.models, a.phases, a.rankings))
    print(
        f"{found['experiments']} experiments: {found['jobs']} jobs, {found['scoring_jobs']} of them scoring;"
        f" {found['seconds']} s ({found['cpu_seconds']} s of CPU), {found['peak_bytes'] / 1e6:.0f} MB"
    )
    found = {"machine": {"python": platform.python_version(), "cores": os.cpu_count()}, **found}
    a.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
