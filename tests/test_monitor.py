"""The monitor: a baseline holds the model's very bits, one bit changed anywhere is found and named, nothing else is."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from critical_weights.errors import ConfigError, ModelError
from critical_weights.model.checkpoint_entries import Checkpoint
from critical_weights.model.safetensors_read import WIDTHS, StoredTensor, read_bits, stored_tensors
from critical_weights.model.source import BUNDLED
from critical_weights.ranking.export import read_selection, write_selection
from critical_weights.validation.baseline import read_baseline
from critical_weights.validation.monitor import compare_with_baseline, record_baseline
from critical_weights.validation.stored_bits import changed_bits, value_of
from run_folders import facts_of, make_run
from script_call import call_script
from tiny_models import save_tiny_folder

CASES = {
    "llama": ("llama", torch.bfloat16, "1GB"),
    "sharded": ("llama", torch.float32, "20KB"),
    "tied": ("llama_tied", torch.float16, "1GB"),
    "gpt2": ("gpt2", torch.float32, "1GB"),
    "experts": ("mixtral", torch.bfloat16, "1GB"),
    "double": ("qwen2", torch.float64, "1GB"),
}
WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@pytest.fixture(scope="module", params=CASES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp(request.param)
    name, dtype, shard = CASES[request.param]
    folder = save_tiny_folder(root / "model", name, dtype=dtype, max_shard_size=shard)
    return make_run(root, facts_of(folder), n=30)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return make_run(tmp_path, facts_of(save_tiny_folder(tmp_path / "model", "llama", dtype=torch.bfloat16)))


def model_of(run: Path) -> Path:
    return run.parents[3] / "model"


def baseline_of(run: Path) -> dict:
    facts = json.loads((run.parent / "model.json").read_text())
    return record_baseline(read_selection(run), facts, model_of(run))


def copy_of(run: Path, place: Path) -> Path:
    return Path(shutil.copytree(model_of(run), place / "copy"))


def flip(stored: StoredTensor, flat: int, bit: int, width: int) -> None:
    """Turn one bit of one entry over, in the file."""
    with stored.file.open("r+b") as file:
        at = stored.start + flat * width + bit // 8
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit % 8]))


def test_baseline_holds_the_bits_of_the_loaded_model(run: Path) -> None:
    baseline = baseline_of(run)
    model = AutoModelForCausalLM.from_pretrained(model_of(run), dtype="auto")
    parameters = dict(model.named_parameters())
    rows = 0
    for name, own in baseline["tensors"].items():
        weight = parameters[name].detach()
        assert own["shape"] == list(weight.shape)
        held = weight.contiguous().view(-1)[own["index"]].view(WORDS[weight.dtype.itemsize])
        wanted = [f"{int(v) & (1 << 8 * weight.dtype.itemsize) - 1:0{2 * weight.dtype.itemsize}x}" for v in held]
        assert own["bits"] == wanted
        rows += len(wanted)
    assert rows == baseline["n_weights"] == 30


def test_each_changed_bit_is_found_and_no_other(run: Path, tmp_path: Path) -> None:
    baseline, folder = baseline_of(run), copy_of(run, tmp_path)
    assert compare_with_baseline(baseline, folder) == compare_with_baseline(baseline, model_of(run))
    assert compare_with_baseline(baseline, folder).same
    checkpoint = Checkpoint(folder)
    selected = {(name, flat) for name, own in baseline["tensors"].items() for flat in own["index"]}
    plain = [(name, flat) for name, flat in sorted(selected) if checkpoint._find(name) is not None]
    for number, (name, flat) in enumerate(plain[:6]):
        stored = checkpoint._find(name)
        width = len(baseline["tensors"][name]["bits"][0]) // 2
        bit = (5 * number) % (8 * width)
        flip(stored, flat, bit, width)
        found = compare_with_baseline(baseline, folder)
        shape = baseline["tensors"][name]["shape"]
        indices = tuple(map(int, np.unravel_index(flat, shape)))
        assert [(c.tensor, c.indices) for c in found.changes] == [(name, indices)]
        assert found.changes[0].before ^ found.changes[0].after == 1 << bit
        flip(stored, flat, bit, width)
        other = next(i for i in range(10**6) if (name, i) not in selected)
        flip(stored, other, 0, width)  # a weight that is not critical may change
        assert compare_with_baseline(baseline, folder).same


def test_experts_stored_one_by_one(tmp_path: Path) -> None:
    """Every entry of fused experts, not just those selected, is found in the experts' own tensors."""
    folder = save_tiny_folder(tmp_path / "model", "mixtral")
    checkpoint = Checkpoint(folder)
    parameters = dict(AutoModelForCausalLM.from_pretrained(folder, dtype="auto").named_parameters())
    fused = [name for name in parameters if ".experts." in name]
    assert len(fused) == 4
    assert not set(fused) & set(checkpoint.tensors)
    for name in fused:
        weight = parameters[name].detach()
        entries = checkpoint.entries(name, weight.shape, np.arange(weight.numel()))
        assert np.array_equal(entries.bits.view(np.float32), weight.numpy().ravel())
    first = next(key for key in checkpoint.tensors if ".experts.1." in key and "w1" in key)
    del checkpoint.tensors[first]
    with pytest.raises(ModelError, match="first lacking: gate of expert 1"):
        checkpoint.entries(fused[0], parameters[fused[0]].shape, np.arange(3))


def test_checkpoint_without_the_models_prefix(tmp_path: Path) -> None:
    run = make_run(tmp_path, facts_of(save_tiny_folder(tmp_path / "model", "gpt2")))
    baseline, folder = baseline_of(run), copy_of(run, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    save_file({name.removeprefix("transformer."): t for name, t in tensors.items()}, folder / "model.safetensors")
    assert compare_with_baseline(baseline, folder).same


def test_script_tells_by_its_status(llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, baseline = copy_of(llama, tmp_path), tmp_path / "baseline.json"
    assert call_script("monitor", "record", llama, model_of(llama), "--output", baseline) == 0
    again = tmp_path / "again.json"
    write_selection(read_selection(llama), tmp_path / "s.safetensors")
    facts = ("--facts", llama.parent / "model.json")
    assert call_script("monitor", "record", tmp_path / "s.safetensors", folder, *facts, "--output", again) == 0
    assert baseline.read_bytes() == again.read_bytes()
    assert call_script("monitor", "check", baseline, folder) == 0
    capsys.readouterr()
    name, own = next(iter(json.loads(baseline.read_text())["tensors"].items()))
    flip(Checkpoint(folder).tensors[name], own["index"][0], 15, 2)
    with pytest.raises(SystemExit) as ended:
        call_script("monitor", "check", baseline, folder)
    assert ended.value.code == 4
    out = capsys.readouterr().out
    value = value_of(int(own["bits"][0], 16), "BF16")
    indices = tuple(map(int, np.unravel_index(own["index"][0], own["shape"])))
    assert name in out
    assert str(indices) in out
    assert f"{value:.9g} (0x{own['bits'][0]})" in out
    assert f"{-value:.9g} (0x" in out
    assert "15 (sign)" in out
    assert "1 of 40 critical weights differ" in out
    with pytest.raises(SystemExit):
        call_script("monitor", "check", baseline, folder, "--show", 0)
    assert "the first 0 shown" in capsys.readouterr().out
    assert call_script("monitor", "check", baseline, tmp_path / "nowhere") == 1
    assert call_script("monitor", "check", llama.parent / "model.json", folder) == 1


def test_tensors_that_cannot_be_compared_are_named(llama: Path, tmp_path: Path) -> None:
    baseline, folder = baseline_of(llama), copy_of(llama, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    lost, wide, grown = sorted(baseline["tensors"])[:3]
    del tensors[lost]
    tensors[wide] = tensors[wide].float()
    tensors[grown] = torch.cat([tensors[grown], tensors[grown]])
    save_file(tensors, folder / "model.safetensors")
    found = compare_with_baseline(baseline, folder)
    assert not found.changes
    assert not found.same
    assert found.compared == 40 - sum(len(baseline["tensors"][name]["index"]) for name in (lost, wide, grown))
    faults = "\n".join(found.faults)
    assert f"no tensor {lost}" in faults
    assert f"{wide} is stored as F32, the baseline holds BF16" in faults
    assert f"{grown} has another shape" in faults


def test_another_model_is_refused(llama: Path, tmp_path: Path) -> None:
    baseline = baseline_of(llama)
    with pytest.raises(ModelError, match="is another model: it has none of the"):
        compare_with_baseline(baseline, save_tiny_folder(tmp_path / "gpt2", "gpt2"))
    facts = json.loads((llama.parent / "model.json").read_text())
    with pytest.raises(ModelError, match="is not the checkpoint that tiny was scored from"):
        record_baseline(read_selection(llama), facts, save_tiny_folder(tmp_path / "seed", "llama", seed=1))
    with pytest.raises(ModelError, match="of another model than the facts"):
        record_baseline(read_selection(llama), facts | {"sha256": facts_of(tmp_path / "gpt2")["sha256"]},
                        tmp_path / "gpt2")  # fmt: skip
    (tmp_path / "b.json").write_text("[]")
    with pytest.raises(ConfigError, match="no baseline"):
        read_baseline(tmp_path / "b.json")


def first_tensor(baseline: dict) -> dict:
    return next(own for own in baseline["tensors"].values() if len(own["index"]) > 1)


def spoil_shape(baseline: dict) -> None:
    first_tensor(baseline)["shape"] = "wide"


def spoil_list(baseline: dict) -> None:
    first_tensor(baseline)["bits"].pop()


def spoil_pair(baseline: dict) -> None:
    first_tensor(baseline)["bits"].pop()
    first_tensor(baseline)["index"].pop()


def spoil_index(baseline: dict) -> None:
    first_tensor(baseline)["index"][0] = 10**12


def spoil_end(baseline: dict) -> None:
    own = first_tensor(baseline)
    own["index"][0] = math.prod(own["shape"])


def spoil_twice(baseline: dict) -> None:
    own = first_tensor(baseline)
    own["index"][0] = own["index"][1]


def spoil_bits(baseline: dict) -> None:
    first_tensor(baseline)["bits"][0] += "0"


def spoil_digit(baseline: dict) -> None:
    first_tensor(baseline)["bits"][0] = "zz"


def spoil_model(baseline: dict) -> None:
    del baseline["model"]


@pytest.mark.parametrize(
    "spoil, told",
    [(spoil_shape, "shape: 'wide'"), (spoil_list, "indices and bits of"), (spoil_pair, "holds 39 weights and says 40"),
     (spoil_index, "beyond its"), (spoil_end, "beyond its"), (spoil_twice, "an index twice"),
     (spoil_bits, "hexadecimal digits"),
     (spoil_digit, "bits/0: 'zz'"), (spoil_model, "'model' is a required property")],
)  # fmt: skip
def test_damaged_baseline_is_refused(llama: Path, tmp_path: Path, spoil: Callable[[dict], None], told: str) -> None:
    baseline = json.loads(json.dumps(baseline_of(llama)))
    file = tmp_path / "b.json"
    file.write_text(json.dumps(baseline))
    assert read_baseline(file) == baseline
    spoil(baseline)
    file.write_text(json.dumps(baseline))
    with pytest.raises(ConfigError, match="is damaged") as refused:
        read_baseline(file)
    assert told in str(refused.value)


def test_damaged_checkpoint_is_one_line(llama: Path, tmp_path: Path) -> None:
    file = model_of(llama) / "model.safetensors"
    whole = file.read_bytes()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 7\n"
    for cut, words in ((whole[:-1], "should end at byte"), (whole[:40], "header should take"), (b"", "damaged"),
                       (pointer, "model.safetensors is a Git LFS pointer, .* git lfs pull")):  # fmt: skip
        file.write_bytes(cut)
        with pytest.raises(ModelError, match=words):
            stored_tensors(file)


def test_of_names_that_end_alike_the_longest_is_the_tensor(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    names = ("norm.weight", "h.norm.weight", "a.up.weight", "b.up.weight")
    save_file({name: torch.tensor([float(i)]) for i, name in enumerate(names)}, tmp_path / "model.safetensors")
    found = Checkpoint(tmp_path).entries("transformer.h.norm.weight", (1,), np.array([0]))
    assert (found.dtype, found.bits.tolist()) == ("F32", [0x3F800000])
    with pytest.raises(ModelError, match=r"has no tensor up\.weight"):
        Checkpoint(tmp_path).entries("up.weight", (1,), np.array([0]))


def test_every_type_of_a_checkpoint_has_its_width(tmp_path: Path) -> None:
    floats = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
    signed = (torch.int64, torch.int32, torch.int16, torch.int8)
    types = (*floats, *signed, torch.uint64, torch.uint32, torch.uint16, torch.uint8, torch.bool)
    save_file({str(dtype): torch.zeros(3, dtype=dtype) for dtype in types}, tmp_path / "x.safetensors")
    found = {name: WIDTHS[tensor.dtype] for name, tensor in stored_tensors(tmp_path / "x.safetensors").items()}
    assert found == {str(dtype): dtype.itemsize for dtype in types}
    assert len(WIDTHS) == len(types)


def test_bits_and_their_names() -> None:
    assert value_of(0x3F80, "BF16") == 1.0
    assert value_of(0x3C00, "F16") == 1.0
    assert value_of(0x3F800000, "F32") == 1.0
    assert value_of(0x3FF0000000000000, "F64") == 1.0
    assert value_of(0x38, "F8_E4M3") is None
    assert changed_bits(0x0000, 0xC0C1, "BF16") == "15 (sign), 14 (exponent), 7 (exponent), 6 (mantissa), 0 (mantissa)"
    assert changed_bits(0, 0x7C00, "F16").count("exponent") == 5
    assert changed_bits(0, 0x7F800000, "F32").count("exponent") == 8
    assert changed_bits(0x80, 0, "F8_E4M3") == "7"


def test_bundled_model_untouched_and_with_one_bit_changed(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(BUNDLED / name, folder)
    run = make_run(tmp_path, facts_of(BUNDLED), n=40)
    facts = json.loads((run.parent / "model.json").read_text())
    baseline = record_baseline(read_selection(run), facts, BUNDLED)
    assert compare_with_baseline(baseline, folder).same
    name, own = next(iter(baseline["tensors"].items()))
    flip(Checkpoint(folder).tensors[name], own["index"][0], 14, 2)
    (change,) = compare_with_baseline(baseline, folder).changes
    assert (change.tensor, change.before ^ change.after) == (name, 1 << 14)
    stored = Checkpoint(folder).tensors[name]
    assert read_bits(stored, np.array([own["index"][0]]))[0] == change.after
