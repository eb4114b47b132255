"""Architectures that no other workflow test has, from a folder to tables by real Snakemake; and the docs on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from architectures import ARCHITECTURES, PHASE, counts, key_of, outcome, run_study, stores, write_study
from critical_weights.model.facts import describe_model
from critical_weights.model.source import fetch_model

DOCS = Path(__file__).resolve().parents[1] / "docs" / "architectures.md"
TITLES = ("Falcon", "Phi-3", "Mixtral")
"""A fused tensor with one key-value head, another order of fusing with halves of the MLP, and experts."""


@pytest.mark.timeout(900)
def test_scores_of_a_run_are_the_twins_and_every_tensor_is_known(tmp_path: Path) -> None:
    write_study(tmp_path, TITLES)
    tables = [f"results/{PHASE}/{key_of(title)}/analysis/sensitivity_table.csv" for title in TITLES]
    run_study(tmp_path, [store for title in TITLES for store in stores(title)] + tables, cores=2)
    found = {title: outcome(tmp_path, title) for title in TITLES}
    assert {title: one.unmapped for title, one in found.items()} == dict.fromkeys(TITLES, 0)
    assert {title: one.fused for title, one in found.items()} == {
        "Falcon": "`query_key_value`: 4 q, 1 k, 1 v", "Phi-3": "`qkv_proj`: 4 q, 2 k, 2 v", "Mixtral": "",
    }  # fmt: skip
    assert max(one.error for one in found.values()) < 1e-7, found
    assert min(one.seconds for one in found.values()) > 0


def test_the_docs_tell_of_every_architecture_what_its_model_is(tmp_path: Path) -> None:
    write_study(tmp_path, list(ARCHITECTURES))
    lines = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = {cells[0]: cells[1:] for line in lines for cells in [[cell.strip() for cell in line.split("|")[1:-1]]]}
    assert set(ARCHITECTURES) <= set(rows)
    for title in ARCHITECTURES:
        facts = describe_model(fetch_model("m", "local", path=str(tmp_path / "models" / key_of(title))))
        known = counts(title, facts)
        assert rows[title][:4] == [str(known["tensors"]), f"{known['weights']:,}", "0", str(known["ties"])], title
        assert known["unmapped"] == 0
        assert 0 < float(rows[title][5]) < 1e-6
