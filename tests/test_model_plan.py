"""What models need by their configs alone: counts that are published, memory as a run would plan it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from critical_weights.compare.known_facts import KNOWN_SIZES, known_facts
from critical_weights.errors import ModelError
from critical_weights.model.facts import describe_model
from critical_weights.model.load import load_model
from critical_weights.model.plan import CONFIGS, facts_of_config, find_config, plan_table, to_markdown
from critical_weights.model.source import fetch_model
from critical_weights.scoring.memory_parts import is_eager
from critical_weights.scoring.memory_plan import PLACEMENTS, USABLE, MemoryPlan, largest_share, plan_memory
from scoring_inputs import write_inputs
from script_call import call_script
from tiny_models import EAGER, NAMES, save_tiny_folder

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
PUBLISHED = {
    "dialogpt_small": 124_439_808, "gpt2": 124_439_808, "llama31_8b": 8_030_261_248, "mistral_7b": 7_241_732_096,
    "pythia_1_4b": 1_414_647_808, "pythia_410m": 405_334_016, "qwen25_0_5b": 494_032_768,
    "tinyllama_1_1b": 1_100_048_384,
}  # fmt: skip
"""Weights in all, as the owners tell them."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_known_configs_have_the_published_counts(name: str) -> None:
    facts = facts_of_config(CONFIGS / f"{name}.json", name)
    assert sum(tensor["numel"] for tensor in facts["tensors"]) == PUBLISHED[name]


def test_llama_8b_has_226_analysed_tensors() -> None:
    table = plan_table(["llama31_8b"], family="static", lengths=[], dtype=torch.bfloat16, device=CPU)
    [row] = table.to_dict("records")
    assert (row["analysed_tensors"], row["analysed_weights"]) == (226, 8_029_995_008)
    assert row["weight_bytes"] == 16_060_522_496


@pytest.mark.parametrize("name", KNOWN_SIZES)
def test_the_built_in_sizes_are_those_of_the_configs(name: str) -> None:
    of_config = facts_of_config(CONFIGS / f"{name}.json", name)["tensors"]
    assert known_facts(name)["tensors"] == of_config


@pytest.mark.parametrize("name", NAMES)
def test_a_config_alone_tells_what_the_whole_model_does(name: str, tmp_path: Path) -> None:
    folder = save_tiny_folder(tmp_path / name, name)
    whole = describe_model(fetch_model("m", "local", path=str(folder)))
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "config.json").write_text((folder / "config.json").read_text())
    facts = facts_of_config(alone, name)
    assert facts == {key: whole[key] for key in facts}


@pytest.mark.parametrize("family", ["forward", "gradient", "curvature"])
def test_memory_is_what_a_run_plans(family: str) -> None:
    lengths = [100] * 20
    table = plan_table(["gpt2", "qwen25_0_5b"], family=family, lengths=lengths, dtype=torch.float32, device=CPU)
    for row in table.to_dict("records"):
        facts = facts_of_config(CONFIGS / f"{row['model']}.json", row["model"])
        for placement in PLACEMENTS:

            def plan(available: float, placement: str = placement, facts: dict = facts) -> int:
                return plan_memory(
                    family, facts, lengths, torch.float32, CPU, placement=placement, available=int(available)
                ).total

            least = row[f"least_{placement}"]
            assert plan(1e15) == row[placement]
            assert plan(least / USABLE + 2) == least <= row[placement]
            with pytest.raises(ModelError, match="does not fit"):
                plan((least - 2) / USABLE)


def test_the_docs_hold_what_the_script_prints(capsys: pytest.CaptureFixture[str]) -> None:
    docs = (ROOT / "docs" / "models.md").read_text()
    for device in ("cpu", "cuda"):
        assert call_script("plan", *PUBLISHED, "--length=100", f"--device={device}") == 0
        assert capsys.readouterr().out in docs


def test_where_a_config_may_be(tmp_path: Path) -> None:
    folder = save_tiny_folder(tmp_path / "mine")
    assert find_config(str(folder)) == ("mine", folder)
    assert find_config(str(folder / "config.json")) == ("mine", folder / "config.json")
    named = tmp_path / "named.json"
    named.write_text((folder / "config.json").read_text())
    assert find_config(str(named)) == ("named", named)
    with pytest.raises(ModelError, match=r"there is no config at gpt3\. Did you mean gpt2\? Give a config\.json"):
        find_config("gpt3")
    table = plan_table([str(named)], family="gradient", lengths=[9], dtype=torch.float32, device=CPU)
    assert to_markdown(table).splitlines()[2].startswith("| named | LlamaForCausalLM | 16 |")


def test_a_config_that_cannot_be_used_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in ("{", json.dumps({"model_type": "of_nobody"})):
        (tmp_path / "config.json").write_text(content)
        assert call_script("plan", tmp_path) == 1
        assert "cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["--texts=0", "--length=-3"])
def test_no_texts_are_no_plan(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call_script("plan", *PUBLISHED, given) == 1
    assert "expected 1 or more" in capsys.readouterr().err


def test_dense_scores_of_two_tensors_are_planned_in_host_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = facts_of_config(CONFIGS / "gpt2.json", "gpt2")
    largest = max(tensor["numel"] for tensor in facts["tensors"] if tensor["analysed"])
    cuda = torch.device("cuda")

    def plan(device: torch.device, dense: int) -> MemoryPlan:
        return plan_memory("gradient", facts, [100] * 20, torch.float32, device, available=10**12, dense=dense)

    with_them, without = plan(CPU, 3), plan(CPU, 0)
    assert with_them.parts["dense scores"] == with_them.total - without.total == 2 * largest * 3 * 4
    assert (plan(cuda, 3).total, plan(cuda, 0).elsewhere) == (plan(cuda, 0).total, {})
    assert plan(cuda, 3).elsewhere == {"dense scores in host memory": 2 * largest * 3 * 4}
    monkeypatch.setattr("critical_weights.scoring.memory_plan.free_host_memory", lambda: 2 * largest * 3 * 4)
    with pytest.raises(ModelError, match="host memory does not hold the dense scores of two tensors"):
        plan(cuda, 3)


def test_what_a_later_run_starts_from_is_told_where_curvature_keeps_it() -> None:
    facts = facts_of_config(CONFIGS / "gpt2.json", "gpt2")
    told = {
        placement: plan_memory("curvature", facts, [100] * 20, torch.float32, CPU, placement=placement,
                               available=10**13).elsewhere for placement in PLACEMENTS
    }  # fmt: skip
    assert told["resident"] == {}
    (size,) = told["blocks"].values()
    ends = 10 * 2000 * 768 * 4
    assert 2 * ends < size < 8 * ends


def test_score_plans_with_the_dense_scores_of_its_own_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def refuse(*_: object, dense: int, **__: object) -> None:
        seen.append(dense)
        raise ModelError("enough")

    monkeypatch.setattr("critical_weights.scoring.memory_plan.plan_memory", refuse)
    given = write_inputs(tmp_path, "llama")
    for dense in ("gradsq,mag", "true", "false"):
        assert call_script("score", *given, f"--dense={dense}", f"--output-dir={tmp_path / 'scores'}") == 1
    assert seen == [1, 4, 0]


@pytest.mark.parametrize("family", ["forward", "gradient", "curvature"])
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_attention_that_is_not_fused_is_planned_by_the_square_of_the_longest_text(family: str, placement: str) -> None:
    facts = facts_of_config(CONFIGS / "gpt2.json", "gpt2")

    def total(architecture: str | None, lengths: list[int]) -> int:
        given = facts | {"architecture": architecture}
        return plan_memory(family, given, lengths, torch.bfloat16, CPU, placement=placement, available=10**15).total

    short, long = [100] * 20, [1000] * 2
    fused = [total("GPT2LMHeadModel", lengths) for lengths in (short, long)]
    assert [total(None, lengths) for lengths in (short, long)] == fused
    assert [total("OfNobody", lengths) for lengths in (short, long)] == fused
    layers = {"forward": 0, "gradient": 2 * 12, "curvature": 3 * 12}[family] if placement == "resident" else 0
    for architecture in ("GptOssForCausalLM", "BloomForCausalLM"):
        more = [total(architecture, lengths) - least for lengths, least in zip((short, long), fused, strict=True)]
        matrix = 2000 * 12 * 1000 * 4  # tokens, heads, tokens, float32
        assert 2 + layers <= more[1] / matrix <= 2 * (3 + layers)  # a chunk of the head may have hidden some
        assert more[0] <= more[1] / 10


@pytest.mark.parametrize("name", NAMES)
def test_attention_is_planned_as_transformers_chooses_it(name: str, tmp_path: Path) -> None:
    folder = save_tiny_folder(tmp_path / name, name)
    record = fetch_model("m", "local", path=str(folder))
    model = load_model(record, torch.float32, CPU)
    assert is_eager(describe_model(record)) == (model.config._attn_implementation == "eager") == (name in EAGER)


def test_curvature_in_memory_is_planned_with_attention_that_no_kernel_fuses() -> None:
    """Second derivatives take the plain formula: by the square of the longest text, for every architecture."""
    facts = facts_of_config(CONFIGS / "gpt2.json", "gpt2")
    one, two, wide = (
        plan_memory("curvature", facts, lengths, torch.float32, CPU, placement="resident", available=1 << 50).parts
        for lengths in ([512], [512, 512], [1024])
    )
    assert one["attention"] == two["attention"] == 512 * 12 * 512 * 4 * (4 + 7 * 12)
    assert wide["attention"] == 4 * one["attention"]
    gradient = plan_memory("gradient", facts, [512], torch.float32, CPU, placement="resident", available=1 << 50)
    assert "attention" not in gradient.parts


@pytest.mark.parametrize("dtype, size", [(torch.bfloat16, 2), (torch.float32, 4)])
def test_a_whole_model_is_planned_with_its_weights_and_four_wide_sums_of_each(dtype: torch.dtype, size: int) -> None:
    facts = facts_of_config(CONFIGS / "gpt2.json", "gpt2")
    parts = plan_memory("gradient", facts, [9], dtype, CPU, placement="resident", available=1 << 60).parts
    weights = sum(tensor["numel"] for tensor in facts["tensors"])
    assert (parts["weights"], parts["sums"]) == (weights * size, weights * 4 * 4)


@pytest.mark.parametrize("placement", ["blocks", "streamed"])
def test_curvature_is_planned_with_what_waits_for_every_probe(placement: str) -> None:
    """Of many texts: a derivative each at every kept input, and at the head the input's, its gradient's and a copy."""
    facts, lengths = facts_of_config(CONFIGS / "gpt2.json", "gpt2"), [512] * 4000
    ten, eleven = (
        plan_memory("curvature", facts, lengths, torch.bfloat16, CPU, placement=placement, probes=probes,
                    available=1 << 60).parts
        for probes in (10, 11)
    )  # fmt: skip
    entries = 512 * 4000 * 768
    more = {name: eleven[name] - ten[name] for name in ten}
    assert more["kept derivatives"] == 13 * entries * 2
    assert more["one block, or a chunk of the head"] == entries * (4 + 2 * 2)


def test_a_plan_for_several_processes_covers_the_most_tokens_and_the_longest_text() -> None:
    facts = facts_of_config(CONFIGS / "gpt2.json", "gpt2") | {"architecture": "BloomForCausalLM"}
    dealt = [[900], [500, 500], [10]]
    lengths = largest_share(dealt)
    assert (sum(lengths), max(lengths)) == (1000, 900)
    assert largest_share([[]]) == []
    assert sum(largest_share([[4, 4]])) == 8
    for placement in PLACEMENTS:
        for family in ("forward", "gradient", "curvature"):

            def total(lengths: list[int], family: str = family, placement: str = placement) -> int:
                return plan_memory(family, facts, lengths, torch.float32, CPU, placement=placement,
                                   available=10**15).total  # fmt: skip

            assert total(lengths) >= max(map(total, dealt)) > 0
