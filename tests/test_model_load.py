"""Loading for scoring: the chosen dtype and device with their reasons; no weight missing, none made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from critical_weights.errors import ModelError
from critical_weights.model import load as model_load
from critical_weights.model.facts import describe_model
from critical_weights.model.load import choose_device, choose_dtype, load_model
from critical_weights.model.source import fetch_model
from critical_weights.scoring.weights import StreamedWeights, empty_model
from tiny_models import save_tiny_folder

CPU = torch.device("cpu")
FIFTH = "model.layers.0.mlp.gate_proj.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny_folder(tmp_path / "tiny", "llama")


def _load(folder: Path, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    return load_model(fetch_model("mine", "local", path=str(folder)), dtype, CPU)


def _rewrite(folder: Path, change: dict[str, torch.Tensor | None]) -> None:
    weights = load_file(folder / "model.safetensors") | change
    kept = {name: w for name, w in weights.items() if w is not None}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_every_weight_is_the_files_in_the_dtype_asked_for(folder: Path, dtype: torch.dtype) -> None:
    model = _load(folder, dtype)
    assert not model.training
    stored = load_file(folder / "model.safetensors")
    parameters = dict(model.named_parameters())
    assert set(parameters) == set(stored)
    for name, parameter in parameters.items():
        assert parameter.requires_grad
        assert parameter.dtype == dtype
        assert torch.equal(parameter, stored[name].to(dtype))


def test_weights_are_not_rounded_to_what_the_config_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_load, "multiplies", lambda dtype, device: True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    facts = describe_model(fetch_model("mine", "local", path=str(folder)))
    model = _load(folder, choose_dtype("auto", facts, CPU))
    stored = load_file(folder / "model.safetensors")
    assert all(torch.equal(parameter, stored[name]) for name, parameter in model.named_parameters())


def _stream(folder: Path) -> tuple[PreTrainedModel, StreamedWeights]:
    model = empty_model(folder, torch.float32)
    return model, StreamedWeights(model, folder, CPU)


@pytest.mark.parametrize("first", ["model.embed_tokens.weight", "lm_head.weight"])
def test_a_tied_tensor_is_read_under_whichever_name_it_has(tmp_path: Path, first: str) -> None:
    folder = save_tiny_folder(tmp_path / "tied", "llama_tied")
    stored = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    _rewrite(folder, {"model.embed_tokens.weight": None, first: stored})
    model, weights = _stream(folder)
    for _ in range(2):
        with weights.loaded(["model.embed_tokens.weight"]):
            assert torch.equal(model.model.embed_tokens.weight, stored)
            assert model.lm_head.weight is model.model.embed_tokens.weight
        assert model.lm_head.weight.is_meta
    assert torch.equal(weights.rows("model.embed_tokens.weight", torch.tensor([1, 4])), stored[[1, 4]])
    assert torch.equal(weights.rows("model.embed_tokens.weight", slice(2, 5)), stored[2:5])


def test_a_tensor_that_no_file_has_is_named_where_it_is_streamed(tmp_path: Path) -> None:
    folder = save_tiny_folder(tmp_path / "tied", "llama_tied")
    _rewrite(folder, {"model.embed_tokens.weight": None})
    _, weights = _stream(folder)
    with pytest.raises(ModelError, match=r"the checkpoint lacks model\.embed_tokens\.weight"):
        weights.rows("model.embed_tokens.weight", slice(1))
    with pytest.raises(ModelError, match=r"lacks 1 tensors .* first model\.embed_tokens\.weight"):
        weights.loaded(["model.embed_tokens.weight"]).__enter__()


def test_several_files_are_one_model(tmp_path: Path, folder: Path) -> None:
    shards = save_tiny_folder(tmp_path / "shards", "llama", max_shard_size="20KB")
    assert len(list(shards.glob("*.safetensors"))) > 1
    one, several = dict(_load(folder).named_parameters()), dict(_load(shards).named_parameters())
    assert one.keys() == several.keys()
    assert all(torch.equal(one[name], several[name]) for name in one)


def test_a_tied_head_is_not_missing(tmp_path: Path) -> None:
    model = _load(save_tiny_folder(tmp_path / "tied", "llama_tied"))
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_missing_tensor_is_named_not_drawn_at_random(folder: Path) -> None:
    _rewrite(folder, {FIFTH: None})
    with pytest.raises(ModelError, match=f"the files of model 'mine' lack {FIFTH}. They and config.json are"):
        _load(folder)


def test_a_tensor_of_another_shape_is_named(folder: Path) -> None:
    _rewrite(folder, {FIFTH: torch.ones(3, 16)})
    with pytest.raises(ModelError, match=rf"have another shape than config\.json says for {FIFTH}"):
        _load(folder)


def test_a_tensor_too_many_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    _rewrite(folder, {"extra.weight": torch.ones(3)})
    with caplog.at_level("INFO", "critical_weights"):
        _load(folder)
    assert "1 tensors in the files are not part of the model, first extra.weight" in caplog.text


@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.99])
def test_a_file_cut_short_is_one_line(folder: Path, part: float) -> None:
    """An interrupted copy; safetensors' own error is of no common family."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(ModelError, match="a safetensors file of model 'mine' is cut short or damaged") as caught:
        _load(folder)
    assert "\n" not in str(caught.value)


CPU = torch.device("cpu")


def test_dtype_follows_the_setting_then_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(model_load, "multiplies", lambda dtype, device: True)
    facts = {"checkpoint_dtype": "bfloat16"}
    with caplog.at_level("INFO", "critical_weights"):
        assert choose_dtype("auto", facts, CPU) is torch.bfloat16
        assert choose_dtype("float64", facts, CPU) is torch.float64
    assert caplog.messages == ["dtype: bfloat16 (the checkpoint's own)", "dtype: float64 (as configured)"]
    with pytest.raises(ModelError, match=r"unknown dtype 'float33'\. Did you mean float32"):
        choose_dtype("float33", facts, CPU)
    with pytest.raises(ModelError, match="unknown dtype 'float8_e4m3fn'"):
        choose_dtype("auto", {"checkpoint_dtype": "float8_e4m3fn"}, CPU)


@pytest.mark.parametrize("own", ["bfloat16", "float16"])
def test_a_processor_without_16_bit_arithmetic_computes_in_float32_unless_told_otherwise(
    own: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda: False)
    facts = {"checkpoint_dtype": own}
    with caplog.at_level("INFO", "critical_weights"):
        assert choose_dtype("auto", facts, CPU) is torch.float32
        assert choose_dtype(own, facts, CPU) is getattr(torch, own)
    slow = f"torch has no fast products in {own} on this processor"
    assert caplog.messages == [
        f"dtype: float32 (the checkpoint is {own}, and {slow})",
        f"{slow}: it takes up to some hundred times as long as float32",
        f"dtype: {own} (as configured)",
    ]
    assert choose_dtype("auto", facts, torch.device("cuda")) is getattr(torch, own)
    monkeypatch.setattr(torch.ops.mkldnn, f"_is_mkldnn_{own.replace('bfloat', 'bf').replace('float', 'fp')}_supported",
                        lambda: True)  # fmt: skip
    assert choose_dtype("auto", facts, CPU) is getattr(torch, own)


@pytest.mark.parametrize("available", [True, False])
def test_device_follows_the_setting_then_what_is_there(
    available: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    with caplog.at_level("INFO", "critical_weights"):
        assert choose_device("auto").type == ("cuda" if available else "cpu")
    assert "a CUDA device is there" in caplog.text if available else "no CUDA device is there" in caplog.text
    assert choose_device("cpu").type == "cpu"
    if available:
        assert choose_device("cuda:1") == torch.device("cuda", 1)
    else:
        with pytest.raises(ModelError, match=r"torch sees none\. Use device: auto or cpu"):
            choose_device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "CPU"])
def test_an_unknown_device_is_one_line(name: str) -> None:
    with pytest.raises(ModelError, match=f"unknown device '{name}'.*Known: auto, cpu, cuda"):
        choose_device(name)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_mixture_of_experts_runs_in_every_dtype(tmp_path: Path, dtype: torch.dtype) -> None:
    """The fused products that transformers starts with know no float64."""
    folder = save_tiny_folder(tmp_path / "moe", "mixtral")
    record = {"model": "moe", "path": str(folder)}
    model = load_model(record, dtype, torch.device("cpu"))
    model(input_ids=torch.tensor([[1, 2, 3]])).logits.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == dtype for p in model.parameters())
    assert empty_model(folder, dtype).config._experts_implementation == model.config._experts_implementation
