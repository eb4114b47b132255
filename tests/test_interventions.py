"""Interventions in place: counted, seen inside, undone bit by bit; bit flips against numpy's view of the bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from critical_weights.errors import ConfigError, ModelError, RankingError
from critical_weights.interventions import INTERVENTIONS, find_intervention
from critical_weights.interventions.apply import applied, bits
from tiny_models import tiny_model

NAME = "model.layers.1.mlp.down_proj.weight"
OTHER = "model.embed_tokens.weight"
PLACES = {NAME: np.array([3, 17, 200]), OTHER: np.array([0, 5])}
FORMATS = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
NUMPY_WORDS = {2: np.uint16, 4: np.uint32, 8: np.uint64}


def all_bits(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of every bit of every parameter."""
    return {name: bits(parameter.detach()).clone() for name, parameter in model.named_parameters()}


def as_words(values: torch.Tensor) -> np.ndarray:
    """Return numpy's view of the bytes."""
    raw = values.contiguous().view(torch.uint8).numpy().tobytes()
    return np.frombuffer(raw, NUMPY_WORDS[values.dtype.itemsize])


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", INTERVENTIONS)
def test_counted_seen_inside_and_undone(name: str, dtype: torch.dtype) -> None:
    """For every intervention and format: as many changed as asked for, other logits inside, equal bits after."""
    model = tiny_model("llama", dtype)
    before = all_bits(model)
    ids = torch.arange(8)[None] % 6  # tokens 0 and 5 are among them, whose embedding is changed
    with torch.no_grad():
        logits = model(input_ids=ids).logits
        sign = 8 * dtype.itemsize - 1 if name == "bit_flip" else None  # the default, the lowest bit, changes no logit
        with applied(model, PLACES, name, sign, seed=1) as done:
            assert not torch.equal(model(input_ids=ids).logits, logits)
            inside = all_bits(model)
    assert (done.asked, done.changed, done.unchanged) == (5, 5, 0)
    differing = {n: int((inside[n] != before[n]).sum()) for n in before}
    assert {n: count for n, count in differing.items() if count} == {NAME: 3, OTHER: 2}
    assert all(torch.equal(bits(p.detach()), before[n]) for n, p in model.named_parameters())


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_undone_after_an_exception(name: str) -> None:
    """An exception inside goes on, and every bit is back; so it is when the second tensor of a set is refused."""
    model = tiny_model("llama", torch.bfloat16)
    with torch.no_grad():
        model.get_parameter(NAME).view(-1)[3] = -0.0  # its sign is one of the bits to come back
    before = all_bits(model)
    with pytest.raises(ZeroDivisionError), applied(model, PLACES, name):
        raise ZeroDivisionError
    assert all(torch.equal(bits(p.detach()), before[n]) for n, p in model.named_parameters())


def test_undone_when_a_later_tensor_fails() -> None:
    """A flip that only the second tensor cannot do leaves the first one as it was."""
    model = tiny_model("llama", torch.float32)
    with torch.no_grad():
        model.get_parameter(NAME).copy_(model.get_parameter(NAME).bfloat16())  # as bfloat16 can hold; OTHER is not
    before = all_bits(model)
    with (
        pytest.raises(ConfigError, match="Load the model as bfloat16"),
        applied(model, PLACES, "bit_flip", 3, stored=torch.bfloat16),
    ):
        pass
    assert all(torch.equal(bits(p.detach()), before[n]) for n, p in model.named_parameters())


@pytest.mark.parametrize("held", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("bit", range(16))
def test_every_bit_of_bfloat16(bit: int, held: torch.dtype) -> None:
    """Each of the 16 bits equals numpy's exclusive or on the bytes, also in a model that was widened on loading."""
    stored = tiny_model("llama", torch.bfloat16)
    model = tiny_model("llama", torch.bfloat16).to(held)
    flat = np.arange(0, 384, 7)
    words = as_words(stored.get_parameter(NAME).detach().view(-1)[flat])
    with applied(model, {NAME: flat}, "bit_flip", bit, stored=torch.bfloat16) as done:
        now = model.get_parameter(NAME).detach().view(-1)[flat]
        expected = np.bitwise_xor(words, np.uint16(1 << bit))
        wide = torch.from_numpy(expected.copy()).view(torch.bfloat16).to(held)
        assert torch.equal(bits(now), bits(wide))
        nonfinite = (expected & 0x7F80) == 0x7F80
    assert done.changed == len(flat)
    assert done.nonfinite == nonfinite.sum()


@pytest.mark.parametrize("dtype", FORMATS)
def test_top_exponent_and_random_bits(dtype: torch.dtype) -> None:
    """The top exponent bit is the one below the sign; random flips turn exactly one bit each, any of them."""
    model = tiny_model("llama", dtype)
    width, flat = 8 * dtype.itemsize, np.arange(384)
    words = as_words(model.get_parameter(NAME).detach().view(-1))
    turned = {}
    for name in ("bit_flip_exponent", "bit_flip_random"):
        with applied(model, {NAME: flat}, name, seed=3):
            turned[name] = words ^ as_words(model.get_parameter(NAME).detach().view(-1))
    assert (turned["bit_flip_exponent"] == words.dtype.type(1 << (width - 2))).all()
    single = {1 << bit for bit in range(width)}
    assert (
        set(turned["bit_flip_random"].tolist()) == single
        if width == 16
        else (set(turned["bit_flip_random"].tolist()) <= single)
    )


def test_values() -> None:
    """Each change against its definition, on a bfloat16 checkpoint in a float64 model."""
    model = tiny_model("llama", torch.bfloat16).to(torch.float64)
    tensor = model.get_parameter(NAME).detach()
    flat = np.array([1, 50, 300])
    old = tensor.view(-1)[flat].clone()
    whole = tensor.numpy().copy()
    grid = np.abs(whole).max() / 7
    expected = {
        ("zero", None): old * 0,
        ("mean", None): torch.full_like(old, whole.mean()),
        ("sign_flip", None): -old,
        ("scale", 0.5): old * 0.5,
        ("scale", -1.0): -old,
        ("round_bits", 4): torch.from_numpy(np.round(old.numpy() / grid) * grid),
    }
    for (name, strength), value in expected.items():
        with applied(model, {NAME: flat}, name, strength, stored=torch.bfloat16):
            now = tensor.view(-1)[flat]
            assert torch.equal(now, value.to(torch.bfloat16).double()), name
    with applied(model, {NAME: np.arange(384)}, "noise", 2.0, seed=5, stored=torch.float64):
        moved = tensor.numpy().reshape(-1) - whole.reshape(-1)
    assert abs(moved.std() / (2 * whole.std()) - 1) < 0.1
    assert abs(moved.mean()) < 0.25 * whole.std()


def test_what_the_format_cannot_hold_is_counted_apart() -> None:
    """Noise below bfloat16's resolution, a factor of 1 and zero on a zero change nothing, and say so."""
    model = tiny_model("llama", torch.bfloat16).to(torch.float32)
    with torch.no_grad():
        model.get_parameter(NAME).view(-1)[3] = 0
    for name, strength, unchanged in (("noise", 1e-7, 2), ("scale", 1.0, 3), ("zero", None, 1), ("sign_flip", None, 1)):
        with applied(model, {NAME: np.array([3, 17, 200])}, name, strength, stored=torch.bfloat16) as done:
            assert (done.changed, done.unchanged) == (3 - unchanged, unchanged), name
    for stored, changed in ((torch.bfloat16, 0), (torch.float32, 1)):  # 1e-4 of a weight is no step of bfloat16
        with applied(model, {NAME: np.array([17])}, "scale", 1.0001, stored=stored) as done:
            assert done.changed == changed


def test_seeds_decide_random_changes() -> None:
    """The same seed gives the same values, another one others; two tensors do not share their numbers."""
    model = tiny_model("llama", torch.float64)
    found = []
    for seed in (1, 1, 2):
        with applied(model, PLACES, "noise", 1.0, seed=seed) as done:
            found.append(done.change)
    assert torch.equal(found[0][NAME], found[1][NAME])
    assert not torch.equal(found[0][NAME], found[2][NAME])
    scaled = [found[0][n] / model.get_parameter(n).double().std(correction=0) for n in (NAME, OTHER)]
    assert not torch.allclose(scaled[0][:2], scaled[1])


@pytest.mark.parametrize(
    "places, words",
    [
        ({"model.layers.9.mlp.down_proj.weight": [0]}, "no tensor model.layers.9"),
        ({NAME: [384]}, "lie outside .* got 384; expected flat indices from 0 to 383"),
        ({NAME: [-1]}, "lie outside"),
        ({NAME: [4, 4]}, "twice"),
    ],
)
def test_selections_of_another_model_are_refused(places: dict[str, list[int]], words: str) -> None:
    """Unknown tensors, indices out of range or named twice: one line, before anything is changed."""
    model = tiny_model("llama")
    given = {name: np.array(flat) for name, flat in places.items()}
    with pytest.raises(RankingError, match=words), applied(model, given, "zero"):
        pass


def test_tied_and_quantised_tensors() -> None:
    """A tied tensor goes by its first name; a tensor of whole numbers, or a format that is none, is refused."""
    model = tiny_model("llama_tied")
    with (
        pytest.raises(RankingError, match=r"tied to model\.embed_tokens\.weight"),
        applied(model, {"lm_head.weight": np.array([0])}, "zero"),
    ):
        pass
    model.get_parameter(NAME).requires_grad_(False)
    model.get_parameter(NAME).data = torch.zeros(16, 24, dtype=torch.int8)
    with (
        pytest.raises(ModelError, match="int8 numbers: a quantised weight"),
        applied(model, {NAME: np.array([0])}, "zero"),
    ):
        pass
    with (
        pytest.raises(ModelError, match="float8_e4m3fn"),
        applied(model, {OTHER: np.array([0])}, "zero", stored=torch.float8_e4m3fn),
    ):
        pass


@pytest.mark.parametrize(
    "name, strength, words",
    [
        ("scale", float("nan"), "no finite number; got nan"),
        ("noise", -1.0, "from 0 up"),
        ("round_bits", 2.5, "whole number"),
        ("zero", 1.0, "has no strength"),
        ("bit_flip", 16, "bfloat16 has no bit 16; expected 0 to 15"),
        ("sign_flop", None, "Did you mean sign_flip"),
    ],
)
def test_wrong_strengths(name: str, strength: float | None, words: str) -> None:
    """A strength that makes no sense is one line that names the intervention."""
    model = tiny_model("llama", torch.bfloat16)
    with pytest.raises(ConfigError, match=words), applied(model, PLACES, name, strength):
        pass


def test_registry_needs_no_torch_names() -> None:
    """Every intervention has a meaning; strengths have defaults that pass their own check."""
    for name, found in INTERVENTIONS.items():
        assert find_intervention(name) is found
        assert found.meaning
        assert found.check_strength(None) == found.default
        if found.strength:
            assert found.check_strength(found.default) == found.default
