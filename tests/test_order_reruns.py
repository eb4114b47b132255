"""The order of what a config lists: another one makes again what keeps it, since Snakemake compares inputs sorted."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from test_workflow import snakemake
from tiny_models import SENTENCES, save_tiny_folder

TENSOR = "model.layers.0.mlp.down_proj.weight"
LIST = f'parameter,indices,sensitivity_score\n{TENSOR},"(0, {{col}})",2\n{TENSOR},"(1, 1)",1\n'
PHASE = {"texts": "texts.txt", "evaluation": "evaluation.txt", "max_length": 12}
CONFIG: dict[str, Any] = {
    "models": {"tiny": {"source": "local", "path": "model"}},
    "phases": {name: PHASE | {"seed": seed} for seed, name in enumerate("abc")},
    "experiments": [f"{run}_k{k}" for run, k in (("a/tiny/mag_global", 3), ("a/tiny/mag_perlayer", 2),
                                                  ("b/tiny/mag_global", 3), ("c/tiny/mag_global", 3))],
    "compare": {"study": ["x.csv", "y.csv", "results/a/tiny/mag_perlayer_k2/top_weights.csv"]},
    "interventions": {"lists": ["x.csv", "y.csv"], "ks": [2], "k": 2, "seeds": 1, "strengths": [0], "others": [],
                      "lines": 0, "top": 1, "singles": 4},
    "scoring": {"device": "cpu"},
}  # fmt: skip
TARGETS = [
    "results/compare/study/overlap.csv", "results/report/models.csv",
    *(f"results/a/tiny/{name}" for name in ("analysis/structure.csv", "analysis/stability.csv",
                                            "analysis/plots/block_means.png", "interventions/interventions.csv")),
]  # fmt: skip

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the targets were made of one config."""
    folder = tmp_path_factory.mktemp("orders")
    save_tiny_folder(folder / "model")
    for name, texts in {"texts": SENTENCES[:3], "evaluation": SENTENCES[3:]}.items():
        (folder / f"{name}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    for col, name in enumerate("xy"):
        (folder / f"{name}.csv").write_text(LIST.format(col=col), encoding="utf-8")
    (folder / "own.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False), encoding="utf-8")
    snakemake(folder, *TARGETS, "--cores", "2", "--configfile", "own.yaml")
    return folder


def jobs(folder: Path, config: dict[str, Any]) -> list[str]:
    """Return the rules that a dry run for all targets lists."""
    (folder / "other.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    said = snakemake(folder, *TARGETS, "-n", "--configfile", "other.yaml").stdout
    return sorted(set(re.findall(r"^rule (\w+):", said, re.MULTILINE)))


@contextmanager
def replaced(file: Path) -> Iterator[None]:
    """Put an older file in the place of a list for a while."""
    before, times = file.read_bytes(), (file.stat().st_atime, file.stat().st_mtime)
    file.write_text(LIST.format(col=7), encoding="utf-8")
    os.utime(file, (time.time() - 86_400,) * 2)
    try:
        yield
    finally:
        file.write_bytes(before)
        os.utime(file, times)


def test_the_same_order_runs_nothing(folder: Path) -> None:
    assert jobs(folder, CONFIG) == []


@pytest.mark.parametrize(
    "place, order, expected",
    [
        (("experiments",), [1, 0, 2, 3], ["plot_scores", "structure"]),
        (("experiments",), [2, 3, 0, 1], ["across"]),
        (("phases",), [0, 2, 1], ["stability"]),
        (("compare", "study"), [2, 1, 0], ["compare"]),
        (("interventions", "lists"), [1, 0], ["validate"]),
    ],
)
def test_another_order_makes_again_what_keeps_it(
    folder: Path, place: tuple[str, ...], order: list[int], expected: list[str]
) -> None:
    """Each order, with the stages whose files would come out otherwise; no other runs."""
    config = deepcopy(CONFIG)
    *outer, last = place
    section = config
    for key in outer:
        section = section[key]
    old = section[last]
    items = list(old.items()) if isinstance(old, dict) else old
    new = [items[i] for i in order]
    section[last] = dict(new) if isinstance(old, dict) else new
    assert jobs(folder, config) == expected


def test_a_list_that_an_older_one_took_the_place_of_is_noticed(folder: Path) -> None:
    with replaced(folder / "y.csv"):
        assert jobs(folder, CONFIG) == ["compare", "validate"]
