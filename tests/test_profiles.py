"""The profiles name rules that exist, jobs ask for what scoring takes, and the workflow serves as a module."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from critical_weights.compare.known_facts import KNOWN_SIZES, known_facts
from critical_weights.scoring.memory_parts import PROCESS_BYTES
from critical_weights.scoring.memory_plan import USABLE, plan_memory
from forked_snakemake import run_snakemake
from stage_jobs import CONFIG, ROOT, write_study

PROFILES = sorted((ROOT / "profiles").glob("*/profile.yaml"))
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def snakemake(folder: Path, *words: str) -> str:
    done = run_snakemake(folder, *words, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_several_gpus_are_asked_for_as_the_page_on_clusters_says() -> None:
    """On the partition of the GPU jobs, with their signal, which ``--set-resources`` on the command line would drop."""
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    profile = (ROOT / "profiles" / "slurm" / "profile.yaml").read_text(encoding="utf-8")
    lines = re.findall(r"(?m)^  (\w+): \{<<: .*\}$", page)
    for name, line in zip(lines, re.findall(r"(?m)^  \w+: \{<<: .*\}$", page), strict=True):
        profile = profile.replace(f"  {name}: *gpu_job", line)
    asked = yaml.safe_load(profile)["set-resources"]
    assert lines == ["score_gradient", "score_curvature", "score_forward"]
    assert [asked[name] for name in lines] == [asked["spikes"] | {"gpu": 4}] * 3
    assert "--set-resources score" not in page


@pytest.mark.timeout(300)
def test_profiles_name_rules_of_the_workflow(tmp_path: Path) -> None:
    rules = set(snakemake(tmp_path, "--list-rules", "--snakefile", str(ROOT / "Snakefile")).split())
    assert len(PROFILES) == 3
    named = set()
    for file in PROFILES:
        profile = yaml.safe_load(file.read_text(encoding="utf-8"))
        named |= {*profile.get("set-resources", {}), *profile.get("groups", {})}
        assert set(profile.get("group-components", {})) == set(profile.get("groups", {}).values())
    assert len(named) > 15
    assert named <= rules


def test_every_analysis_is_a_small_job_of_a_group() -> None:
    """All but the last one, which waits for the interventions."""
    text = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "workflow" / "rules").glob("*.smk"))
    rules = re.findall(
        r"(?m)^rule (\w+):\n(?:(?!^rule ).*\n)*?    log:\n        \"logs/\{phase\}/\{model\}/analysis/", text
    )
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.yaml").read_text(encoding="utf-8"))
    assert {"overlap", "rank_density", "stability"} <= set(rules)
    assert set(rules) - {"criteria"} <= {name for name, group in profile["groups"].items() if group == "analysis"}
    assert set(profile["groups"]) <= set(profile["set-resources"])


@pytest.mark.timeout(300)
def test_workflow_is_a_module_of_another(tmp_path: Path) -> None:
    write_study(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"weights": CONFIG}), encoding="utf-8")
    (tmp_path / "Snakefile").write_text(
        f"""configfile: "study.yaml"
module critical_weights:
    snakefile: {str(ROOT / "Snakefile")!r}
    config: config["weights"]
use rule * from critical_weights as weights_*
rule mine:
    input: "results/a/tiny/mag_global_k9/top_weights.csv"
    output: "mine.txt"
    shell: "wc -l {{input}} > {{output}}"
""",
        encoding="utf-8",
    )
    said = snakemake(tmp_path, "mine.txt", "-n", "--quiet", "rules")
    assert "weights_score_static" in said
    assert "score_gradient" not in said
    snakemake(tmp_path, "mine.txt", "--cores", "1")
    assert int((tmp_path / "mine.txt").read_text().split()[0]) == 9 + 1, "the nine largest and a header"


@pytest.fixture
def asks(tmp_path: Path) -> dict[str, Any]:
    """The functions of ``resources.smk``, which is plain Python, for a config that computes on the CPU."""
    names: dict[str, Any] = {
        "json": json,
        "config": {"scoring": {"device": "cpu"}},
        "is_small": lambda model: model == "bundled",
    }
    exec((ROOT / "workflow" / "rules" / "resources.smk").read_text(encoding="utf-8"), names)
    return names


@pytest.mark.parametrize("model", sorted(KNOWN_SIZES))
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_memory_that_is_asked_for_is_enough(asks: dict[str, Any], tmp_path: Path, model: str, dtype: str) -> None:
    facts = known_facts(model)
    (tmp_path / "model.json").write_text(json.dumps(facts | {"checkpoint_dtype": dtype}), encoding="utf-8")
    files, wildcards = SimpleNamespace(facts=tmp_path / "model.json"), SimpleNamespace(model=model)
    megabytes = asks["asks_memory"](wildcards, files, 1)
    plan = plan_memory("gradient", facts, [512] * 100, getattr(torch, dtype), torch.device("cpu"),
                       available=int(megabytes * 1e6))  # fmt: skip
    assert plan.placement in ("resident", "blocks")
    assert asks["asks_memory"](wildcards, files, 3) == 3 * megabytes, "more after an end for lack of it"
    assert asks["asks_gpu"](wildcards) == 0
    asks["config"]["scoring"]["device"] = "auto"
    assert asks["asks_gpu"](wildcards) == 1
    assert asks["asks_memory"](wildcards, files, 1) < megabytes
    assert 60 < asks["asks_minutes"](wildcards, files, 1) <= 1440
    small = SimpleNamespace(model="bundled")
    assert (asks["asks_gpu"](small), asks["asks_memory"](small, None, 2)) == (0, 8000)


@pytest.mark.parametrize("computed", ["auto", "bfloat16", "float32"])
@pytest.mark.parametrize("model", sorted(KNOWN_SIZES))
def test_memory_that_interventions_ask_for_holds_the_model(
    asks: dict[str, Any], tmp_path: Path, model: str, computed: str
) -> None:
    """As much as they refuse to begin without, on the host too, through which a model comes to the GPU."""
    facts = known_facts(model)
    (tmp_path / "model.json").write_text(json.dumps(facts | {"checkpoint_dtype": "bfloat16"}), encoding="utf-8")
    files, wildcards = SimpleNamespace(facts=tmp_path / "model.json"), SimpleNamespace(model=model, phase="p")
    asks["configs"] = SimpleNamespace(resolve=lambda *_: {"scoring": {"dtype": computed}})
    wide = 4 if computed == "float32" else 2
    for device in ("cpu", "auto"):
        asks["config"]["scoring"]["device"] = device
        megabytes = asks["asks_memory_whole"](wildcards, files, 1)
        assert USABLE * megabytes * 1e6 >= facts["n_weights"] * wide + PROCESS_BYTES
        assert asks["asks_memory_whole"](wildcards, files, 2) == 2 * megabytes


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"n_weights": 7}', '{"n_weights": "x", "checkpoint_dtype": "float32"}']
)
def test_damaged_facts_are_told_in_one_line(asks: dict[str, Any], tmp_path: Path, text: str) -> None:
    told: list[str] = []
    asks["stop"] = told.append
    (tmp_path / "model.json").write_text(text, encoding="utf-8")
    asks["model_size"](tmp_path / "model.json")
    assert re.fullmatch(r"\S+/model\.json is damaged \(.+\)\. Delete it: the next run makes it again\.", told[0])


def test_every_job_that_runs_a_model_asks_by_its_size() -> None:
    """Rules that name a device: none of them has a number of its own."""
    found = {}
    for file in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for rule in re.split(r"^\s*(?=rule\b)", file.read_text(encoding="utf-8"), flags=re.MULTILINE):
            if "device=device" in rule:
                found[re.search(r"\w+\.py", rule)[0]] = re.findall(r"^ +(\w+)=(asks_\w+),", rule, re.MULTILINE)
    assert set(found) == {"score.py", "spikes.py", "validate.py", "downstream.py"}
    for script, asked in found.items():
        assert {"gpu", "mem_mb", "runtime"} <= dict(asked).keys(), script


def test_what_is_not_known_yet_is_left_open(asks: dict[str, Any], tmp_path: Path) -> None:
    """Snakemake takes a missing file for "to be determined"."""
    with pytest.raises(FileNotFoundError):
        asks["asks_memory"](SimpleNamespace(model="gpt2"), SimpleNamespace(facts=tmp_path / "none.json"), 1)
