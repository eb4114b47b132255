"""The tiny models are worth testing with: reproducible, nowhere constant, and ordinary folders on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from brute_force import gradient_statistics, weights
from tiny_models import (
    NAMES,
    POSITIONS,
    SENTENCES,
    VOCABULARY,
    exact_norms,
    save_tiny_folder,
    tiny_model,
    tiny_texts,
    tiny_tokenizer,
)

TEXTS = tiny_texts(4, seed=3)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_the_same_again_and_nowhere_constant(name: str) -> None:
    first, second, other = (weights(tiny_model(name, seed=seed)) for seed in (0, 0, 1))
    for tensor, weight in first.items():
        assert torch.equal(weight, second[tensor])
        assert not torch.equal(weight, other[tensor])
        assert weight.std() > 0.1, tensor
        assert weight.dtype == torch.float64


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_of_healthy_size(name: str) -> None:
    norms = {n: g.norm().item() for n, g in gradient_statistics(tiny_model(name), TEXTS)["grad"].items()}
    silent = {n for n, norm in norms.items() if norm < 1e-2}
    assert silent == {n for n in norms if name == "opt" and n.endswith("k_proj.bias")}


def test_models_run_in_eval_mode_with_the_ties_they_are_named_for() -> None:
    for name, tied in (("llama", False), ("llama_tied", True), ("gpt2", True), ("qwen2", True), ("gpt_neox", False)):
        model = tiny_model(name)
        assert not model.training
        assert (model.get_input_embeddings().weight is model.get_output_embeddings().weight) == tied, name


def test_texts_differ_in_length_and_fit_the_models() -> None:
    texts = tiny_texts(20, seed=5)
    assert texts == tiny_texts(20, seed=5) != tiny_texts(20, seed=6)
    assert {len(text) for text in texts} == set(range(2, 13))
    assert max(max(text) for text in texts) < VOCABULARY
    assert max(len(text) for text in texts) <= POSITIONS


def test_exact_norms_are_gone_after_the_block_and_after_an_exception() -> None:
    model, ids = tiny_model("llama"), torch.tensor([TEXTS[1]])
    with torch.no_grad():
        before = model(input_ids=ids).logits
        with exact_norms(model):
            inside = model(input_ids=ids).logits
        with pytest.raises(KeyError), exact_norms(model):
            raise KeyError
        after = model(input_ids=ids).logits
    assert torch.equal(before, after)
    assert 0 < (inside - before).norm() / before.norm() < 1e-5


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])
def test_folder_loads_like_any_other(name: str, tmp_path: Path) -> None:
    folder = save_tiny_folder(tmp_path / "model", name, dtype=torch.bfloat16, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    tokenizer = AutoTokenizer.from_pretrained(folder)
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert loaded.dtype == torch.bfloat16
    assert loaded.get_input_embeddings().weight.shape[0] == len(tokenizer)
    built = tiny_model(name, torch.bfloat16, vocab_size=len(tokenizer), max_position_embeddings=128)
    for tensor, weight in weights(built).items():
        assert torch.equal(weights(loaded)[tensor], weight), tensor


def test_mixtral_folder_names_its_experts_one_by_one(tmp_path: Path) -> None:
    """As published checkpoints do, where transformers 5 holds them fused."""
    folder = save_tiny_folder(tmp_path, "mixtral")
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert "model.layers.0.block_sparse_moe.experts.3.w2.weight" in file.keys()  # noqa: SIM118 (no dict)


def test_folders_are_byte_identical(tmp_path: Path) -> None:
    first, second = (save_tiny_folder(tmp_path / name, bos=True) for name in ("a", "b"))
    files = sorted(path.name for path in first.iterdir())
    assert files == sorted(path.name for path in second.iterdir())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)


def test_tokenizer_adds_a_bos_only_where_asked() -> None:
    plain, with_bos = tiny_tokenizer(), tiny_tokenizer(bos=True)
    ids = plain(SENTENCES[0])["input_ids"]
    assert len(ids) < len(SENTENCES[0]) / 2
    assert plain.decode(ids) == SENTENCES[0]
    assert with_bos(SENTENCES[0])["input_ids"] == [with_bos.bos_token_id, *ids]
    assert plain.decode(plain("Zürich ☃")["input_ids"]) == "Zürich ☃"
