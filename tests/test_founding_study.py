"""The founding documents' experiments as a study: what it plans, what its documents list, and a run with stand-ins."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from critical_weights import config as configs
from critical_weights.names import Experiment
from founding import KINDS, ROOT, STAND_INS, job_count, planned_files, run_study, study_config, to_markdown
from founding import write_stand_ins as write

DOCS = ROOT / "docs" / "founding_study.md"
LISTED = {
    ("dialogpt_small", "grad_x_weight", "global", 100, 20),
    ("dialogpt_small", "hutchinson_diag", "global", 100, 20),
    ("dialogpt_small", "grad_x_weight", "perlayer", 50, 10),
    ("gpt2", "grad_x_weight", "perlayer", 50, 10),
    ("gpt2", "magnitude", "perlayer", 10, 5),
    ("llama31_8b", "grad_x_weight", "perlayer", 100, 100),
}
"""Model, metric, mode, k and samples of the experiments that the first research report lists."""
PHASES = {"p1_baseline", "p1.1_baseline", "p1.2_baseline", "p2"}

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def experiments() -> list[Experiment]:
    return configs.experiments(study_config())


def test_it_holds_the_experiments_of_the_documents(experiments: list[Experiment]) -> None:
    config = study_config()
    assert configs.config_errors(config) == []
    samples = {phase: settings["max_samples"] for phase, settings in config["phases"].items()}
    found = {(e.model, e.metric_full, e.mode, e.k, samples[e.phase]) for e in experiments}
    assert found >= LISTED
    llama = [e.path.split("/", 1)[0] + "/" + e.path.rsplit("/", 1)[1] for e in experiments if e.model == "llama31_8b"]
    assert sorted(llama) == sorted(
        [f"{phase}/gradxw_perlayer_k100" for phase in PHASES] + ["p2/gradsq_perlayer_k100", "p2/gradxw_global_k300"]
    )
    assert len(experiments) == len(LISTED) + 5
    assert len({str(config["phases"][phase]) for phase in PHASES}) == 1, "equal phases are the check of determinism"
    assert config["models"]["llama31_8b"] | {"revision": ""} == {
        "source": "hub", "repo": "meta-llama/Llama-3.1-8B", "revision": "", "dtype": "auto",
    }  # fmt: skip
    assert set(STAND_INS) == {e.model for e in experiments}


def test_one_command_plans_every_kind_of_file(tmp_path: Path, experiments: list[Experiment]) -> None:
    write(tmp_path)
    said = run_study(tmp_path, "-n", "--quiet", "rules", "reason")
    table = dict(re.findall(r"^(\w+) +(\d+)$", said, re.MULTILINE))
    pairs = len({(e.phase, e.model) for e in experiments})
    assert {rule: int(table[rule]) for rule in ("rank", "manifest", "report", "archive")} == {
        "rank": len(experiments), "manifest": len(experiments), "report": pairs, "archive": 1,
    }  # fmt: skip
    docs = DOCS.read_text(encoding="utf-8")
    assert to_markdown(planned_files(experiments)) in docs, "python tests/founding.py prints the table anew"
    counts = Counter(line.split(" | ")[2] for line in docs.splitlines() if line.count(" | ") == 3)
    assert counts["0"] == sum(kind.made is None for kind in KINDS), "every kind that is made is there"


@pytest.mark.skipif(not os.environ.get("STUDIES"), reason="some minutes; make studies runs it")
def test_it_runs_to_its_archive_with_stand_ins(tmp_path: Path, experiments: list[Experiment]) -> None:
    write(tmp_path)
    run_study(tmp_path, "--cores", "2")
    made = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "results").rglob("*") if path.is_file()}
    planned = planned_files(experiments)
    assert sorted(set(planned) - made) == []
    assert to_markdown(made) == to_markdown(planned)
    assert job_count(run_study(tmp_path, "-n")) == 0, "what is done stays done"
