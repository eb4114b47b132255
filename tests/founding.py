"""The founding study with tiny stand-ins for its models, and the kinds of file that its documents list.

``python tests/founding.py FOLDER`` runs config/studies/founding_study.yaml on stand-ins in a folder (or goes on there),
and prints how it went and the table of docs/founding_study.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import yaml

from critical_weights import config as configs
from critical_weights import result_paths
from critical_weights.names import Experiment
from tiny_models import save_tiny_folder

ROOT = Path(__file__).resolve().parents[1]
STUDY = ROOT / "config" / "studies" / "founding_study.yaml"
STAND_INS = {"dialogpt_small": "gpt2", "gpt2": "gpt2", "llama31_8b": "llama"}
"""Model of the study -> tiny model of its architecture."""


@dataclass(frozen=True)
class Kind:
    """A kind of file that the first study's documents list.

    Attributes:
        listed: as they name it.
        made: pattern of the paths of what is made here, below the working directory; None where it is not made.
        why: what to say of it: why it is not made, or how it differs.

    """

    listed: str
    made: str | None
    why: str = ""


RUN = "results/*/*/*_*_k*"
KINDS = (
    Kind("`config.json` of an experiment", f"{RUN}/config.json"),
    Kind("`experiment_manifest.json`", f"{RUN}/experiment_manifest.json", "written last: it means complete"),
    Kind("`sensitivity_stats.json`", f"{RUN}/sensitivity_stats.json", "over all weights, the selection apart"),
    Kind("`top_weights.csv`", f"{RUN}/top_weights.csv", "by score over the whole file, not in tensor order"),
    Kind("`plots/..._layer_comparison.png`", f"{RUN}/plots/*_layer_comparison.png", "with .svg and .csv"),
    Kind("`plots/..._sensitivity_distribution.png`", f"{RUN}/plots/*_sensitivity_distribution.png",
         "with .svg and .csv"),
    Kind("`plots/..._sensitivity_heatmap.png`", f"{RUN}/plots/*_sensitivity_heatmap.png", "with .svg and .csv"),
    Kind("`p1_baseline/llama31_8b/`, flat", "results/p1_baseline/llama31_8b/gradxw_perlayer_k100/*",
         "in a run folder, as in every phase"),
    Kind("`p1.1_baseline/llama31_8b/`, flat", "results/p1.1_baseline/llama31_8b/gradxw_perlayer_k100/*",
         "in a run folder, as in every phase"),
    Kind("`p1.2_baseline/llama31_8b/gradxw_perlayer_k100/`", "results/p1.2_baseline/llama31_8b/gradxw_perlayer_k100/*"),
    Kind("`p2/llama31_8b/gradxw_perlayer_k100/`", "results/p2/llama31_8b/gradxw_perlayer_k100/*"),
    Kind("`p2/llama31_8b/gradsq_perlayer_k100/`", "results/p2/llama31_8b/gradsq_perlayer_k100/*"),
    Kind("`p2/llama31_8b/gradxw_global_k300/` (incomplete)", "results/p2/llama31_8b/gradxw_global_k300/*", "complete"),
    Kind("`research_summary_*.md`", "results/*/*/report/research_summary.md", "of each phase and model"),
    Kind("`quantitative_summary.md`", "results/*/*/report/quantitative_summary.md", "of each phase and model"),
    Kind("`quantitative_results_*.json`", "results/*/*/report/quantitative_results.json", "of each phase and model"),
    Kind("`research_report.md`", "results/report/research_report.md", "over all experiments"),
    Kind("`comprehensive_results_summary.md`", "results/report/comprehensive_results_summary.md",
         "over all experiments"),
    Kind("`export_summary.md`", "results/report/export_summary.md", "over all experiments"),
    Kind("`critical_weight_analysis_complete_*.zip`", "results/archive/critical_weight_analysis_complete.zip",
         "of a fixed name, the same bytes for the same files"),
    Kind("manifest of the archive", "results/archive/MANIFEST.md", "with manifest.json, which has every hash"),
    Kind("`critical_weight_analysis_results_*.tar.gz`", None, "an earlier archive of the same files"),
    Kind("`esa_updates_summary.md`, `old/esa_*.md`", None, "notes on the first study's own program"),
    Kind("`old/baseline_analysis_detailed.md`, `old/executive_summary.md`", None, "earlier drafts of the reports"),
)  # fmt: skip


def study_config() -> configs.Config:
    """Return the study as a run sees it, its settings laid over the defaults."""
    own = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    return configs.complete(configs.merge(configs.read_config(ROOT / "config" / "config.yaml"), own))


def planned_files(experiments: Collection[Experiment]) -> list[str]:
    """Return every file that a complete run leaves but scores, by what the workflow itself says of its paths."""
    files = []
    for experiment in experiments:
        files += [*result_paths.run_files(experiment), result_paths.manifest_file(experiment)]
    for phase, model in dict.fromkeys((e.phase, e.model) for e in experiments):
        files += [*result_paths.analysis_tables(phase, model), *result_paths.analysis_figures(phase, model)]
        files += result_paths.report_files(phase, model)
    return [*files, *result_paths.study_files(), *result_paths.ARCHIVE_FILES]


def to_markdown(files: Collection[str]) -> str:
    """Return the table of kinds: as listed, what is made here, how many of these files there are, and a remark."""
    lines = ["| The first study's documents list | Here | Files | Remark |", "| --- | --- | ---: | --- |"]
    for kind in KINDS:
        count = sum(_is(file, kind) for file in files)
        made = f"`{kind.made}`" if kind.made else "not made"
        lines.append(f"| {kind.listed} | {made} | {count} | {kind.why} |")
    return "\n".join(lines) + "\n"


def _is(file: str, kind: Kind) -> bool:
    """Whether a path is of a kind; ``*`` does not cross folders."""
    if kind.made is None or file.count("/") != kind.made.count("/"):
        return False
    return all(fnmatch(part, pattern) for part, pattern in zip(file.split("/"), kind.made.split("/"), strict=True))


def write_stand_ins(folder: Path) -> None:
    """Write a tiny model for each of the study's, and ``stand_ins.yaml``, the config that puts them in their place."""
    phases = yaml.safe_load(STUDY.read_text(encoding="utf-8"))["phases"]
    for seed, (model, tiny) in enumerate(STAND_INS.items()):
        save_tiny_folder(folder / "models" / model, tiny, seed=seed)
    overlay = {
        "models": {model: {"source": "local", "path": f"models/{model}"} for model in STAND_INS},
        "phases": {phase: {"max_length": 16} for phase in phases},
        "scoring": {"device": "cpu"},
    }
    (folder / "stand_ins.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")


def run_study(folder: Path, *words: str) -> str:
    """Run Snakemake on the study with its stand-ins; return what it said.

    Raises:
        RuntimeError: it failed; the message is what it said.

    """
    command = [sys.executable, "-m", "snakemake", *words, "--snakefile", str(ROOT / "Snakefile"), "--configfile",
               str(STUDY), "stand_ins.yaml"]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout + done.stderr


def job_count(said: str) -> int:
    """Return the number of jobs that Snakemake's table tells, but for the rule that gathers them."""
    found = re.search(r"^total +(\d+)$", said, re.MULTILINE)
    return int(found[1]) - 1 if found else 0


def main() -> None:
    """Run the study on stand-ins and print its figures and its table."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    write_stand_ins(folder)
    started = time.monotonic()
    cores = len(os.sched_getaffinity(0))
    jobs = job_count(run_study(folder, "--cores", str(cores)))
    seconds = time.monotonic() - started
    files = [path.relative_to(folder).as_posix() for path in (folder / "results").rglob("*") if path.is_file()]
    print(f"{jobs} jobs, {seconds:.0f} s on {cores} cores, {len(files)} files\n")
    print(to_markdown(files), end="")


if __name__ == "__main__":
    main()
