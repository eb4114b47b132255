"""The facts of a model: every tensor with its place, kind, axes and ties, for every architecture of the tests."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

from critical_weights.errors import ModelError
from critical_weights.files import sha256_file, sha256_json
from critical_weights.model.facts import (
    describe_model,
    describe_tensors,
    find_blocks,
    stored_dtype,
)
from critical_weights.model.sizes import max_positions, sizes_of
from critical_weights.model.source import fetch_model
from critical_weights.structure.attention_heads import heads_of
from tiny_models import NAMES, save_tiny_folder, tiny_model

KINDS = {"linear", "conv1d", "embedding", "norm", "bias", "experts", "router"}


@cache
def _tensors(name: str) -> dict[str, dict[str, Any]]:
    return {t["name"]: t for t in describe_tensors(tiny_model(name))}


def _meta(model_type: str, **settings: Any) -> dict[str, dict[str, Any]]:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **settings))
    return {t["name"]: t for t in describe_tensors(model)}


def _record(folder: Path) -> dict[str, Any]:
    return fetch_model(folder.name, "local", path=str(folder))


# Every architecture


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_tensor_is_there_once_in_order_with_all_its_facts(name: str) -> None:
    model, found = tiny_model(name), list(_tensors(name).values())
    parameters = dict(model.named_parameters())
    assert [t["name"] for t in found] == list(parameters)
    assert [t["position"] for t in found] == list(range(len(found)))
    for tensor in found:
        parameter = parameters[tensor["name"]]
        assert tensor["shape"] == list(parameter.shape)
        assert tensor["numel"] == parameter.numel()
        assert tensor["kind"] in KINDS
        assert len(tensor["axes"]) == parameter.dim()
        assert set(tensor["axes"]) <= {"row", "col", "expert"}
        assert tensor["component"]
        assert tensor["analysed"] is (parameter.dim() >= 2)
    assert sum(t["numel"] for t in found) == sum(p.numel() for p in model.parameters())
    json.dumps(found)


@pytest.mark.parametrize("name", NAMES)
def test_layers_are_those_in_the_names_and_equal_in_all_blocks(name: str) -> None:
    blocks: dict[int | None, list[str]] = {}
    for tensor in _tensors(name).values():
        numbers = [int(part) for part in tensor["name"].split(".") if part.isdigit()]
        assert [tensor["layer"]] == (numbers or [None])
        blocks.setdefault(tensor["layer"], []).append(tensor["component"])
    assert set(blocks) == {None, 0, 1}
    assert blocks[0] == blocks[1]
    for components in blocks.values():
        assert len(set(components)) == len(components), "two tensors of a block would be one component"


@pytest.mark.parametrize("name", NAMES)
def test_kinds_are_those_of_the_modules(name: str) -> None:
    """By what the module does: an embedding looks up, a Conv1D stores (in, out); the rest is told by name."""
    modules = dict(tiny_model(name).named_modules())
    routers = []
    for tensor in _tensors(name).values():
        owner, _, attribute = tensor["name"].rpartition(".")
        kind, module = tensor["kind"], modules[owner]
        if kind == "router":
            routers.append(tensor["component"])
        assert (kind == "embedding") == isinstance(module, nn.Embedding)
        assert (kind == "conv1d") == (type(module).__name__ == "Conv1D" and attribute == "weight")
        assert (kind == "bias") == (attribute == "bias")
        assert (kind == "experts") == (attribute in ("gate_up_proj", "down_proj"))
        assert (kind == "norm") == (len(tensor["shape"]) == 1 and attribute == "weight")
        assert (kind == "linear") == (isinstance(module, nn.Linear) and attribute == "weight")
    assert routers == (["gate", "gate"] if name == "mixtral" else [])


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_an_output_and_a_column_an_input(name: str) -> None:
    """One forward pass with hooks tells how wide each module's input and output are."""
    model = tiny_model(name)
    widths: dict[str, tuple[int, int]] = {}

    def hook(owner: str):
        return lambda _, inputs, output: widths.__setitem__(owner, (inputs[0].shape[-1], output.shape[-1]))

    for owner, module in model.named_modules():
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
            module.register_forward_hook(hook(owner))
    model(input_ids=torch.tensor([[1, 2, 3]]))
    checked = 0
    for tensor in _tensors(name).values():
        owner = tensor["name"].removesuffix(".weight")
        if owner in widths:
            sizes = dict(zip(tensor["axes"], tensor["shape"], strict=True))
            assert (sizes["col"], sizes["row"]) == widths[owner]
            checked += widths[owner][0] != widths[owner][1]
    assert checked > 0


TIED = ("llama_tied", "gpt2", "qwen2", "gemma2", "opt", "falcon", "bloom")


@pytest.mark.parametrize("name", NAMES)
def test_ties_are_found_and_counted_once(name: str) -> None:
    ties = {t["name"]: t["tied_to"] for t in _tensors(name).values() if t["tied_to"]}
    if name not in TIED:
        assert ties == {}
        return
    ((first, others),) = ties.items()
    assert others == ["lm_head.weight"]
    assert _tensors(name)[first]["kind"] == "embedding"
    assert "lm_head.weight" not in _tensors(name)


# Heads


@pytest.mark.parametrize(
    "settings, kv_heads",
    [
        ({"multi_query": True}, 1),
        ({"multi_query": False}, 4),
        ({"new_decoder_architecture": True, "num_kv_heads": 2}, 2),
        ({"new_decoder_architecture": True, "multi_query": True, "num_kv_heads": 4}, 4),
    ],
)
def test_heads_of_falcon_are_those_of_its_own_code(tmp_path: Path, settings: dict[str, Any], kv_heads: int) -> None:
    """Its attention splits a vector that holds the number of each row."""
    facts = describe_model(_record(save_tiny_folder(tmp_path / "falcon", "falcon", **settings)))
    assert (facts["n_heads"], facts["n_kv_heads"]) == (4, kv_heads)
    (tensor,) = (t for t in facts["tensors"] if t["component"] == "query_key_value" and t["layer"] == 0)
    heads = heads_of(tensor, facts)
    attention = tiny_model("falcon", **settings).transformer.h[0].self_attention
    rows = torch.arange(tensor["shape"][0]).view(1, 1, -1)
    seen = 0
    for part, split in zip("qkv", attention._split_heads(rows), strict=True):
        count = split.shape[2]
        for head in range(count):
            own = split[0, 0, head].numpy()
            assert set(heads.part[own]) == {part}
            assert set(heads.head[own]) == {head if part == "q" else head * kv_heads // count}
            seen += len(own)
    assert seen >= tensor["shape"][0]


@pytest.mark.parametrize("name", NAMES)
def test_every_attention_matrix_is_split_into_heads(name: str) -> None:
    model = tiny_model(name)
    facts = {"model_type": model.config.model_type, **sizes_of(model.config)}
    split = [heads_of(tensor, facts) for tensor in _tensors(name).values()]
    assert not [heads for heads in split if isinstance(heads, str)]
    parts = {part for heads in split if heads is not None for part in heads.part}
    assert parts == set("qkvo")


# Single ones


def test_components_of_gpt2_and_its_conv1d_axes() -> None:
    found = _tensors("gpt2")
    attention, mlp = found["transformer.h.0.attn.c_proj.weight"], found["transformer.h.0.mlp.c_proj.weight"]
    assert (attention["component"], mlp["component"]) == ("attn.c_proj", "mlp.c_proj")
    assert found["transformer.h.1.mlp.c_proj.bias"]["component"] == "mlp.c_proj_bias"
    assert found["transformer.h.1.mlp.c_fc.weight"] == {
        "name": "transformer.h.1.mlp.c_fc.weight", "position": 22, "shape": [16, 24], "numel": 384, "layer": 1,
        "component": "c_fc", "kind": "conv1d", "axes": ["col", "row"], "tied_to": [], "analysed": True,
    }  # fmt: skip
    assert found["transformer.h.0.ln_1.bias"]["component"] == "ln_1_bias"
    assert found["transformer.wte.weight"]["axes"] == ["row", "col"]


def test_components_of_llama() -> None:
    found = _tensors("llama")
    assert [t["component"] for t in found.values() if t["layer"] == 1] == [
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
        "input_layernorm", "post_attention_layernorm",
    ]  # fmt: skip
    assert [t["component"] for t in found.values() if t["layer"] is None] == ["embed_tokens", "norm", "lm_head"]


def test_fused_experts_and_their_router() -> None:
    found = _tensors("mixtral")
    experts = found["model.layers.0.mlp.experts.gate_up_proj"]
    assert (experts["kind"], experts["shape"], experts["axes"]) == ("experts", [4, 48, 16], ["expert", "row", "col"])
    router = found["model.layers.0.mlp.gate.weight"]
    assert (router["kind"], router["axes"], router["component"]) == ("router", ["row", "col"], "gate")
    assert router["shape"] == [4, 16]


SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "vocab_size": 11}


@pytest.mark.parametrize(
    "model_type, settings",
    [
        ("gpt_oss", {"num_local_experts": 3}),
        ("llama4_text", {"num_local_experts": 3, "intermediate_size_mlp": 24, "interleave_moe_layer_step": 1}),
    ],
)
def test_experts_that_are_stored_in_out(model_type: str, settings: dict[str, int]) -> None:
    found = _meta(model_type, **SMALL, **settings)
    for tensor in found.values():
        if tensor["kind"] == "experts":
            assert tensor["axes"] == ["expert", "col", "row"]
            wanted = [3, 16, 48] if "gate_up" in tensor["name"] else [3, 24, 16]
            assert tensor["shape"] == wanted
    assert sum(t["kind"] == "experts" for t in found.values()) == 4


def test_biases_of_experts_have_no_input_axis() -> None:
    found = _meta("gpt_oss", **SMALL, num_local_experts=3)
    bias = found["model.layers.0.mlp.experts.gate_up_proj_bias"]
    assert (bias["kind"], bias["axes"], bias["shape"]) == ("bias", ["expert", "row"], [3, 48])
    assert found["model.layers.0.self_attn.sinks"]["kind"] == "other"


def test_convolutions_and_mixing_factors_are_not_taken_for_experts() -> None:
    settings = {"hidden_size": 16, "num_hidden_layers": 2, "vocab_size": 11}
    for name, tensor in {**_meta("mamba", **settings), **_meta("rwkv", **settings)}.items():
        assert tensor["kind"] != "experts", name
        if len(tensor["shape"]) == 3:
            assert (tensor["kind"], tensor["axes"]) == ("other", ["axis0", "axis1", "axis2"])


def test_1d_tensors_are_analysed_on_request_and_scalars_never() -> None:
    model = tiny_model("gpt2")
    model.register_parameter("scale", nn.Parameter(torch.tensor(1.0)))
    with_1d = describe_tensors(model, include_1d=True)
    assert {t["name"] for t in with_1d if not t["analysed"]} == {"scale"}
    without = describe_tensors(model)
    assert [t["name"] for t in without if t["analysed"]] == [t["name"] for t in with_1d if len(t["shape"]) == 2]


def test_llama_31_8b_has_its_published_sizes() -> None:
    config = LlamaConfig(
        vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8,
    )  # fmt: skip
    with torch.device("meta"):
        found = describe_tensors(AutoModelForCausalLM.from_config(config))
    analysed = [t for t in found if t["analysed"]]
    assert (len(found), sum(t["numel"] for t in found)) == (291, 8_030_261_248)
    assert (len(analysed), sum(t["numel"] for t in analysed)) == (226, 8_029_995_008)
    assert {t["layer"] for t in found} == {None, *range(32)}


def test_blocks_are_the_outermost_list_with_the_most_weights() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.small = nn.ModuleList([nn.Linear(2, 2)])
            self.layers = nn.ModuleList([nn.ModuleList([nn.Linear(9, 9)]), nn.ModuleList([nn.Linear(9, 9)])])

    name, blocks = find_blocks(Model())
    assert name == "layers"
    assert len(blocks) == 2
    with pytest.raises(ModelError, match="Linear has no list of transformer blocks"):
        find_blocks(nn.Linear(2, 2))


# A folder


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_folder(tmp_path_factory.mktemp("m") / "tiny", "llama", dtype=torch.bfloat16)


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "tiny"))


def _change_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text()) | values
    kept = {key: value for key, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))


def test_facts_of_a_folder(folder: Path) -> None:
    facts = describe_model(_record(folder))
    tensors = facts.pop("tensors")
    files = facts.pop("files")
    n_weights = sum(t["numel"] for t in tensors)
    assert facts == {
        "model": "tiny", "source": "local", "repo": None, "revision": None, "checkpoint": None,
        "architecture": "LlamaForCausalLM", "model_type": "llama", "checkpoint_dtype": "bfloat16", "vocab_size": 300,
        "hidden_size": 16, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "head_dim": 4, "intermediate_size": 24,
        "max_positions": 128, "n_tensors": 21, "n_weights": n_weights,
        "analysed": {"n_tensors": 16, "n_weights": n_weights - 5 * 16, "include_1d": False},
        "sha256": sha256_json(files),
    }  # fmt: skip
    names = ("config.json", "model.safetensors")
    assert files == [
        {"name": n, "bytes": (folder / n).stat().st_size, "sha256": sha256_file(folder / n)} for n in names
    ]
    assert str(folder) not in json.dumps([facts, tensors, files])


def test_every_1d_tensor_counts_on_request(folder: Path) -> None:
    facts = describe_model(_record(folder), include_1d=True)
    assert facts["analysed"] == {"n_tensors": 21, "n_weights": facts["n_weights"], "include_1d": True}


def test_the_hash_follows_the_files(folder: Path) -> None:
    before = describe_model(_record(folder))["sha256"]
    assert describe_model(_record(folder))["sha256"] == before
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert describe_model(_record(folder))["sha256"] != before


def test_a_config_without_dtype_takes_the_files_one(folder: Path) -> None:
    """DialoGPT's and GPT-2's configs name none; a bfloat16 checkpoint was once called float32."""
    _change_config(folder, dtype=None)
    assert describe_model(_record(folder))["checkpoint_dtype"] == "bfloat16"
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(ModelError, match=r"model\.safetensors is cut short or damaged"):
        describe_model(_record(folder))
    assert stored_dtype([]) == "float32"


def test_the_dtype_is_that_of_the_files_whatever_the_config_names(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Weights that are stored in float32 were once rounded to the bfloat16 of a config."""
    with caplog.at_level("INFO", "critical_weights"):
        describe_model(_record(folder))
        assert caplog.messages == []
        _change_config(folder, dtype="float32")
        assert describe_model(_record(folder))["checkpoint_dtype"] == "bfloat16"
    assert caplog.messages == ["config.json names float32, but the weights are stored as bfloat16: that counts"]


def test_of_several_types_that_of_most_weights_counts(folder: Path) -> None:
    """Norms are often kept in float32, and may come first and be the more tensors."""
    file = folder / "model.safetensors"
    weights = {name: w.to(torch.float32 if w.dim() == 1 else torch.float16) for name, w in load_file(file).items()}
    weights |= {f"a{i}": torch.ones(1) for i in range(50)} | {"mask": torch.ones(10**5, dtype=torch.bool)}
    save_file(weights, file, metadata={"format": "pt"})
    assert stored_dtype([file]) == "float16"


@pytest.mark.parametrize(
    "model_type, settings, limit",
    [("llama", {"max_position_embeddings": 32}, 32), ("gpt2", {"n_positions": 16}, 16), ("mpt", {"max_seq_len": 8}, 8),
     ("xlnet", {}, None), ("mamba", {}, None)],
)  # fmt: skip
def test_how_many_positions_a_config_allows(model_type: str, settings: dict[str, int], limit: int | None) -> None:
    """MPT's limit has a name of its own; XLNet says -1, and Mamba has none."""
    assert max_positions(AutoConfig.for_model(model_type, **settings)) == limit


@pytest.mark.parametrize(
    "change, words",
    [
        ({"model_type": "zorblax"}, r"the config of tiny cannot be used: .*`zorblax`.*out of date\.$"),
        ({"model_type": None}, "the config of tiny cannot be used"),
        ({"hidden_size": "many"}, "hidden_size"),
        ({"num_attention_heads": 3}, "not a multiple"),
        ({"model_type": "t5"}, "tiny is no causal language model that can be built"),
        ({"quantization_config": {"quant_method": "awq"}}, r"'tiny' is a quantised checkpoint \(awq\)"),
        ({"model_type": "own", "auto_map": {"AutoConfig": "x.Y"}}, "needs code of its own"),
    ],
)
def test_a_config_that_cannot_be_used_is_one_line(folder: Path, change: dict[str, Any], words: str) -> None:
    _change_config(folder, **change)
    with pytest.raises(ModelError, match=words) as caught:
        describe_model(_record(folder))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "file, content, words",
    [
        (
            "quantize_config.json",
            '{"bits": 4, "group_size": 128}',
            r"'tiny' is a quantised checkpoint \(gptq, 4 bits\)",
        ),
        ("quant_config.json", '{"w_bit": 4}', r"'tiny' is a quantised checkpoint \(awq, 4 bits\)"),
        ("quantize_config.json", "no JSON", r"'tiny' is a quantised checkpoint \(gptq\): it holds"),
    ],
)
def test_a_quantiser_that_tells_it_in_a_file_of_its_own(folder: Path, file: str, content: str, words: str) -> None:
    (folder / file).write_text(content)
    with pytest.raises(ModelError, match=words):
        _record(folder)


def test_a_size_that_differs_by_block_is_none() -> None:
    """Gemma-4's blocks have heads of two sizes, for which transformers gives no one number."""
    sizes = sizes_of(AutoConfig.for_model("gemma4_text", num_attention_heads=2, head_dim=8, global_head_dim=16))
    assert (sizes["n_heads"], sizes["head_dim"]) == (2, None)


@pytest.mark.parametrize("change", ["none", "last value", "type"])
def test_weights_that_are_tied_but_stored_apart(tmp_path: Path, change: str) -> None:
    """Transformers loads such a model untied; block by block, one of the two would never be read."""
    folder = save_tiny_folder(tmp_path / "tied", "llama", tie_word_embeddings=True)
    weights = load_file(folder / "model.safetensors")
    head = weights["model.embed_tokens.weight"].clone()
    if change == "last value":
        head[-1, -1] += 1
    weights["lm_head.weight"] = head.double() if change == "type" else head
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    record = fetch_model("tiny", "local", path=str(folder))
    if change == "none":
        assert describe_model(record)["tensors"][0]["tied_to"] == ["lm_head.weight"]
    else:
        words = (
            r"ties lm_head.weight to model.embed_tokens.weight, but .* they differ\. Set tie_word_embeddings to false"
        )
        with pytest.raises(ModelError, match=words):
            describe_model(record)


def test_a_config_that_is_no_json_is_one_line(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not a valid JSON file"):
        describe_model(_record(folder))


def test_tensors_of_no_known_kind_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An architecture that nothing here was made for goes the general way, and is told of."""
    config = AutoConfig.for_model("mamba", hidden_size=8, num_hidden_layers=1, vocab_size=11, state_size=4)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "mamba")
    with caplog.at_level("INFO", "critical_weights"):
        found = describe_model(_record(tmp_path / "mamba"))
    unknown = [t["name"] for t in found["tensors"] if t["kind"] == "other"]
    assert unknown == [f"backbone.layers.0.mixer.{name}" for name in ("A_log", "D", "conv1d.weight")]
    assert [m.partition(": its module is of no known kind")[0] for m in caplog.messages] == unknown
    assert found["tensors"][-1]["layer"] is None
