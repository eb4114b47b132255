"""The twins against each other: finite differences, dense Hessians, symmetries, hand counts."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch
from brute_activations import input_statistics
from brute_force import (
    corpus_loss,
    finite_difference,
    full_sort,
    gradient_statistics,
    hessian_columns,
    hessian_vector_product,
    hutchinson,
    predicted,
    scores,
    text_gradients,
    text_loss,
    weights,
)
from brute_laws import llama_laws
from comparison import largest_error, relative_errors
from tiny_models import EAGER, MICRO, MICRO_GPT2, NAMES, exact_norms, tiny_model, tiny_texts
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

TEXTS = tiny_texts(5, seed=1)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _signs(tensors: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randint(0, 2, t.shape, generator=generator).to(t.dtype) * 2 - 1 for name, t in tensors.items()}


# The loss


def test_text_loss_is_the_librarys_mean_times_its_positions() -> None:
    for name in ("llama", "gpt2", "opt", "mixtral", "bloom"):
        model = tiny_model(name)
        for text in TEXTS:
            ids = torch.tensor([text])
            own = text_loss(model, text).item()
            mean = model(input_ids=ids, labels=ids).loss.item()
            assert own == pytest.approx(mean * (len(text) - 1), rel=1e-6), name  # transformers' loss is in float32
            assert text_loss(model, text).dtype == torch.float64


def test_corpus_loss_weighs_tokens_not_texts() -> None:
    model = tiny_model("llama")
    losses = [text_loss(model, text).item() for text in TEXTS]
    positions = [len(text) - 1 for text in TEXTS]
    assert corpus_loss(model, TEXTS).item() == pytest.approx(sum(losses) / sum(positions), rel=1e-14)
    by_text = sum(loss / t for loss, t in zip(losses, positions, strict=True)) / len(TEXTS)
    assert corpus_loss(model, TEXTS).item() != pytest.approx(by_text, rel=1e-3)


def test_a_text_of_one_token_is_refused() -> None:
    with pytest.raises(ValueError, match="1 tokens predicts nothing"):
        text_loss(tiny_model("llama"), [3])


# Gradients


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "llama"])
def test_gradient_is_the_finite_difference(name: str) -> None:
    """Along a random direction in each tensor, which every entry has a part in, and for single weights."""
    model = tiny_model(name)
    with exact_norms(model):
        _check_finite_differences(model, [TEXTS[0], TEXTS[2]])


def _check_finite_differences(model: PreTrainedModel, texts: list[list[int]]) -> None:
    gradient = gradient_statistics(model, texts)["grad"]
    generator, rng = torch.Generator().manual_seed(3), random.Random(3)
    errors = {}
    for name, tensor in weights(model).items():
        direction = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        unit = torch.zeros_like(tensor)
        unit.view(-1)[rng.randrange(tensor.numel())] = 1.0
        for change in (direction / direction.norm(), unit):
            difference = (gradient[name] * change).sum().item() - finite_difference(model, texts, {name: change})
            errors[name] = max(errors.get(name, 0.0), abs(difference) / gradient[name].norm().item())
    print(f"gradient against finite differences: {max(errors.values()):.1e}")
    assert max(errors.values()) < 1e-9


def test_the_token_that_a_model_pads_with_has_its_gradient() -> None:
    """In a text it is a token like any other; torch.nn.Embedding's own backward gives it 0."""
    model, text, name = tiny_model("phi3", pad_token_id=1), [5, 1, 7, 9], "model.embed_tokens.weight"
    change = torch.zeros_like(weights(model)[name])
    change[1] = 0.25
    with exact_norms(model):
        gradient = (gradient_statistics(model, [text])["grad"][name] * change).sum().item()
        assert gradient == pytest.approx(finite_difference(model, [text], {name: change}), rel=1e-9)
    assert gradient != 0
    assert model.get_input_embeddings().padding_idx == 1


def test_finite_difference_leaves_the_weights_bit_equal() -> None:
    model = tiny_model("gpt2")
    before = {name: tensor.detach().clone() for name, tensor in weights(model).items()}
    finite_difference(model, TEXTS[:1], before)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(model).items())


@pytest.mark.parametrize("name", NAMES)
def test_mean_gradient_is_the_gradient_of_the_corpus_loss(name: str) -> None:
    model = tiny_model(name)
    with exact_norms(model):
        together = torch.autograd.grad(corpus_loss(model, TEXTS), list(weights(model).values()))
        want = dict(zip(weights(model), together, strict=True))
        got = gradient_statistics(model, TEXTS)["grad"]
    vanishing = [n for n in want if name == "opt" and n.endswith("k_proj.bias")]  # a constant added to every score
    in_float32 = (*EAGER, "mixtral")  # softmax of the attention, of the router
    assert largest_error(got, want, vanishing) < (1e-6 if name in in_float32 else 1e-12)


def test_squares_of_texts_are_not_the_square_of_the_batch() -> None:
    model = tiny_model("llama")
    stats = gradient_statistics(model, TEXTS)
    for stat in ("grad_sq", "grad_sq_token"):
        batch = {name: g**2 for name, g in stats["grad"].items()}
        assert min(relative_errors(batch, stats[stat]).values()) > 0.1, stat
    assert min(relative_errors({n: g.abs() for n, g in stats["grad"].items()}, stats["grad_abs"]).values()) > 0.1


def test_one_text_has_every_square_from_its_gradient() -> None:
    model, text = tiny_model("gpt2"), TEXTS[1]
    stats = gradient_statistics(model, [text])
    g_s = text_gradients(model, [text])[0]
    t_s = len(text) - 1
    assert t_s > 1
    assert largest_error(stats["grad_sq"], {n: (g / t_s) ** 2 for n, g in g_s.items()}) < 1e-15
    assert largest_error(stats["grad_sq_token"], {n: g**2 / t_s for n, g in g_s.items()}) < 1e-15
    assert largest_error(stats["grad_abs"], {n: g.abs() / t_s for n, g in g_s.items()}) < 1e-15


def test_the_corpus_twice_changes_no_statistic() -> None:
    model = tiny_model("llama_tied")
    once, twice = gradient_statistics(model, TEXTS), gradient_statistics(model, TEXTS + TEXTS)
    assert max(largest_error(twice[stat], once[stat]) for stat in once) < 1e-12


def test_a_tied_gradient_is_squared_after_adding_its_uses() -> None:
    tied, untied = tiny_model("llama_tied"), tiny_model("llama")
    with torch.no_grad():
        for name, tensor in weights(untied).items():
            tensor.copy_(weights(tied).get(name, weights(tied)["model.embed_tokens.weight"]))
    apart = text_gradients(untied, TEXTS)
    summed = [g["model.embed_tokens.weight"] + g["lm_head.weight"] for g in apart]
    want = sum((g / (len(text) - 1)) ** 2 for g, text in zip(summed, TEXTS, strict=True)) / len(TEXTS)
    got = gradient_statistics(tied, TEXTS)["grad_sq"]["model.embed_tokens.weight"]
    assert largest_error({"tied": got}, {"tied": want}) < 1e-12


# Conservation laws


def test_llama_laws_hold_in_float64() -> None:
    model = tiny_model("llama", rms_norm_eps=0.0)
    with exact_norms(model):
        gradient = gradient_statistics(model, TEXTS)["grad"]
        errors = llama_laws(model, {name: g * weights(model)[name].detach() for name, g in gradient.items()})
    print({law: f"{error:.1e}" for law, error in errors.items()})
    assert len(errors) == 7
    assert max(errors.values()) <= 1e-12


def test_llama_laws_hold_with_the_models_own_norms() -> None:
    """Float32 and the epsilon inside transformers' norms touch only the law that goes through them."""
    model = tiny_model("llama")
    gradient = gradient_statistics(model, TEXTS)["grad"]
    errors = llama_laws(model, {name: g * weights(model)[name].detach() for name, g in gradient.items()})
    print({law: f"{error:.1e}" for law, error in errors.items()})
    assert errors.pop("residual writers = 0") <= 1e-6
    assert max(errors.values()) <= 1e-12


@pytest.mark.parametrize(
    "tensor, broken",
    [
        ("mlp.down_proj", {"up = down", "residual writers = 0"}),
        ("self_attn.o_proj", {"v = o", "residual writers = 0"}),
        ("self_attn.k_proj", {"q = k", "input norm = q + k + v"}),
        ("mlp.gate_proj", {"post norm = gate + up"}),
        ("input_layernorm", {"input norm = q + k + v"}),
    ],
)
def test_a_lost_tensor_breaks_its_laws(tensor: str, broken: set[str]) -> None:
    model = tiny_model("llama")
    gradient = gradient_statistics(model, TEXTS)["grad"]
    a = {name: g * weights(model)[name].detach() for name, g in gradient.items()}
    a[f"model.layers.1.{tensor}.weight"] = a[f"model.layers.1.{tensor}.weight"] * 0.5
    assert {law for law, error in llama_laws(model, a).items() if error > 1e-6} == broken


# Curvature


def test_hessian_vector_product_is_the_finite_difference_of_the_gradient() -> None:
    model = tiny_model("gpt2")
    v = _signs(weights(model), seed=5)
    product = hessian_vector_product(model, TEXTS[:3], v)
    start = {name: tensor.detach().clone() for name, tensor in weights(model).items()}

    def gradient_at(distance: float) -> dict[str, Tensor]:
        with torch.no_grad():
            for name, tensor in weights(model).items():
                tensor.copy_(start[name] + distance * v[name])
        return gradient_statistics(model, TEXTS[:3])["grad"]

    step = 1e-4
    ups, downs, far_ups, far_downs = (gradient_at(d * step) for d in (1, -1, 2, -2))
    want = {n: (8 * (ups[n] - downs[n]) - (far_ups[n] - far_downs[n])) / (12 * step) for n in ups}
    error = largest_error(product, want)
    print(f"H v against differences of gradients: {error:.1e}")
    assert error < 1e-7


def test_hessian_vector_product_is_linear_and_symmetric() -> None:
    model = tiny_model("gpt_neox")
    u, v = _signs(weights(model), seed=1), _signs(weights(model), seed=2)
    hu, hv = (hessian_vector_product(model, TEXTS[:2], x) for x in (u, v))
    both = hessian_vector_product(model, TEXTS[:2], {n: u[n] + 2 * v[n] for n in u})
    assert largest_error(both, {n: hu[n] + 2 * hv[n] for n in u}) < 1e-12
    left, right = (sum((a[n] * b[n]).sum().item() for n in a) for a, b in ((u, hv), (v, hu)))
    assert left == pytest.approx(right, rel=1e-11)


def test_probes_that_name_some_tensors_are_zero_elsewhere() -> None:
    model = tiny_model("llama", **MICRO)
    texts = tiny_texts(2, seed=2, vocab=7, longest=6)
    everything = _signs(weights(model), seed=4)
    some = {name: v for name, v in everything.items() if v.ndim == 2}
    with_zeros = {name: v if v.ndim == 2 else torch.zeros_like(v) for name, v in everything.items()}
    partial, full = (hessian_vector_product(model, texts, v) for v in (some, with_zeros))
    assert largest_error(partial, full) < 1e-15
    assert set(hutchinson(model, texts, [some, some])[0]) == set(some)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch.func itself uses it
@pytest.mark.parametrize("name, overrides", [("llama", MICRO), ("gpt2", MICRO_GPT2)])
def test_hessian_columns_are_torch_funcs_dense_hessian(
    name: str, overrides: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(name, **overrides)
    texts = tiny_texts(2, seed=2, vocab=7, longest=6)
    with exact_norms(model):
        diagonal, norms = hessian_columns(model, texts)
        # torch.func's derivatives of layer_norm_backward are wrong (pytorch issue 196700 and its kin: the rows of a
        # LayerNorm's weight come out 20 % off and the Hessian is not symmetric), so it gets the plain formula.
        monkeypatch.setattr(torch.nn.functional, "layer_norm", _plain_layer_norm)
        dense = _dense_hessian(model, texts)
    assert largest_error({"H": dense}, {"H": dense.T.clone()}) < 1e-12
    sizes = [t.numel() for t in weights(model).values()]
    want_diagonal, want_norms = dense.diag().split(sizes), dense.norm(dim=0).split(sizes)
    for got, want in ((diagonal, want_diagonal), (norms, want_norms)):
        flat = {n: t.flatten() for n, t in got.items()}
        error = largest_error(flat, dict(zip(flat, want, strict=True)))
        print(f"{name}: columns against torch.func.hessian: {error:.1e}")
        assert error < 1e-10


def _plain_layer_norm(x: Tensor, shape: tuple[int, ...], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return weight * centred * (centred.pow(2).mean(-1, keepdim=True) + eps).rsqrt() + bias


def _dense_hessian(model: PreTrainedModel, texts: list[list[int]]) -> Tensor:
    shapes = {n: t.shape for n, t in weights(model).items()}
    flat = torch.cat([t.detach().flatten() for t in weights(model).values()])

    def loss(vector: Tensor) -> Tensor:
        parts = vector.split([shape.numel() for shape in shapes.values()])
        named = {n: part.view(shape) for (n, shape), part in zip(shapes.items(), parts, strict=True)}
        total = vector.new_zeros(())
        for text in texts:
            arguments = {"input_ids": torch.tensor([text]), "use_cache": False}
            logits = torch.func.functional_call(model, named, (), arguments, tie_weights=True).logits[0, :-1]
            total = total - torch.log_softmax(logits, -1).gather(1, torch.tensor(text[1:])[:, None]).sum()
        return total / predicted(texts)

    with sdpa_kernel(SDPBackend.MATH):
        return torch.func.hessian(loss)(flat)


def test_hutchinson_is_unbiased_with_the_spread_that_theory_gives() -> None:
    """One entry of v * (H v) has mean H_ii and variance sum_j H_ij^2 - H_ii^2 (j != i), exactly."""
    model = tiny_model("llama", **MICRO)
    texts = tiny_texts(2, seed=2, vocab=7, longest=6)
    k = 150
    mean, error = hutchinson(model, texts, [_signs(weights(model), seed) for seed in range(k)])
    diagonal, norms = hessian_columns(model, texts)
    flat = {key: torch.cat([t.flatten() for t in named.values()]) for key, named in
            (("mean", mean), ("error", error), ("diagonal", diagonal), ("norm", norms))}  # fmt: skip
    theory = (flat["norm"] ** 2 - flat["diagonal"] ** 2).clamp(min=0).sqrt() / k**0.5
    constant = theory < 1e-12 * theory.max()  # rows of tokens that no text has: 0 in every probe
    assert torch.equal(flat["mean"][constant], flat["diagonal"][constant])
    flat, theory = {key: value[~constant] for key, value in flat.items()}, theory[~constant]
    z = (flat["mean"] - flat["diagonal"]) / theory
    print(f"{len(z)} entries: largest deviation {z.abs().max():.2f}, mean square {z.pow(2).mean():.2f}")
    assert len(z) > 150
    assert z.abs().max() < 4.5
    assert 0.5 < z.pow(2).mean() < 2.0
    assert ((flat["error"] / theory - 1).abs() < 0.4).all()


# Activations


def test_input_statistics_of_the_first_projection_from_its_definition() -> None:
    model = tiny_model("llama")
    block = model.model.layers[0]
    inputs = [block.input_layernorm(model.model.embed_tokens(torch.tensor(text))).detach() for text in TEXTS]
    everything = torch.cat(inputs)
    assert len(everything) == sum(len(text) for text in TEXTS)  # the last position of each text counts
    stats = input_statistics(model, TEXTS)
    name = "model.layers.0.self_attn.q_proj.weight"
    got = {stat: stats[stat][name] for stat in stats}
    mean_abs = everything.abs().mean(0).repeat(16, 1)
    mean_sq = (torch.stack([x.pow(2).sum(0) for x in inputs]).mean(0)).repeat(16, 1)
    assert largest_error(got, {"input_abs": mean_abs, "input_sq": mean_sq}) < 1e-14


def test_conv1d_input_runs_along_the_first_axis() -> None:
    stats = input_statistics(tiny_model("gpt2"), TEXTS)["input_abs"]
    up, down = (stats[f"transformer.h.0.mlp.{part}.weight"] for part in ("c_fc", "c_proj"))
    assert up.shape == (16, 24)
    assert down.shape == (24, 16)
    for x in (up, down):
        assert torch.equal(x, x[:, :1].expand_as(x))
        assert len(x[:, 0].unique()) == len(x)


def test_embeddings_count_tokens_and_positions() -> None:
    texts = [[5, 6], [5, 7, 5, 8]]
    stats = input_statistics(tiny_model("gpt2"), texts)
    tokens, positions = (stats["input_abs"][f"transformer.{table}.weight"][:, 0] for table in ("wte", "wpe"))
    assert tokens[[5, 6, 7, 8]].tolist() == pytest.approx([3 / 6, 1 / 6, 1 / 6, 1 / 6])
    assert tokens.sum() == pytest.approx(1)
    assert positions[:5].tolist() == pytest.approx([2 / 6, 2 / 6, 1 / 6, 1 / 6, 0])
    assert stats["input_sq"]["transformer.wte.weight"][5, 0] == pytest.approx(3 / 2)  # over texts, not tokens
    opt = input_statistics(tiny_model("opt"), texts)["input_abs"]["model.decoder.embed_positions.weight"][:, 0]
    assert opt[:7].tolist() == pytest.approx([0, 0, 2 / 6, 2 / 6, 1 / 6, 1 / 6, 0])


def test_a_tied_tensor_takes_its_embedding_use() -> None:
    got = input_statistics(tiny_model("qwen2"), TEXTS)["input_abs"]
    assert "lm_head.weight" not in got
    share = sum(text.count(TEXTS[1][0]) for text in TEXTS) / sum(len(text) for text in TEXTS)
    assert got["model.embed_tokens.weight"][TEXTS[1][0]].tolist() == pytest.approx([share] * 16)


def test_expert_means_are_over_the_tokens_routed_to_it() -> None:
    """Against a model with one expert for all tokens, and against the routed sums of all experts together."""
    single = tiny_model("mixtral", num_local_experts=1, num_experts_per_tok=1)
    stats = input_statistics(single, TEXTS)["input_abs"]
    inputs: list[Tensor] = []
    handle = single.model.layers[0].mlp.register_forward_pre_hook(lambda _, args: inputs.append(args[0][0]))
    with torch.no_grad():
        for text in TEXTS:
            single(input_ids=torch.tensor([text]))
    handle.remove()
    want = torch.cat(inputs).abs().mean(0).expand(1, 48, 16)
    assert largest_error({"x": stats["model.layers.0.mlp.experts.gate_up_proj"]}, {"x": want}) < 1e-14

    model = tiny_model("mixtral")
    stats = input_statistics(model, TEXTS)
    routed = stats["input_sq"]["model.layers.0.mlp.experts.gate_up_proj"][:, 0].sum(0)
    all_tokens = stats["input_sq"]["model.layers.0.mlp.gate.weight"][0]
    assert largest_error({"x": routed}, {"x": 2 * all_tokens}) < 1e-14  # each token goes to two experts


def test_an_expert_that_saw_no_token_has_zeros() -> None:
    model, tensor = tiny_model("mixtral"), "model.layers.0.mlp.experts.down_proj"
    seen = (input_statistics(model, [TEXTS[0]])["input_abs"][tensor].flatten(1) > 0).any(1)
    moved = (gradient_statistics(model, [TEXTS[0]])["grad"][tensor].flatten(1) != 0).any(1)
    assert seen.any()
    assert not seen.all()
    assert not moved[~seen].any()


def test_norms_and_biases_have_no_input() -> None:
    model = tiny_model("qwen3")
    assert set(input_statistics(model, TEXTS)["input_abs"]) == {n for n, w in weights(model).items() if w.ndim > 1}


# Metrics and order


def test_metrics_on_one_text_by_hand() -> None:
    model, text = tiny_model("gpt_neox"), TEXTS[1]
    w = {name: tensor.detach() for name, tensor in weights(model).items()}
    g_s, t_s = text_gradients(model, [text])[0], len(text) - 1
    probes = [_signs(w, seed) for seed in (0, 1)]
    h = {n: sum(v[n] * hessian_vector_product(model, [text], v)[n] for v in probes) / 2 for n in w}
    want = {
        "magnitude": {n: w[n].abs() for n in w},
        "grad_x_weight": {n: (w[n] * g_s[n] / t_s).abs() for n in w},
        "taylor_abs": {n: (w[n] * g_s[n] / t_s).abs() for n in w},
        "grad_squared": {n: (g_s[n] / t_s) ** 2 for n in w},
        "obd": {n: 0.5 * w[n] ** 2 * g_s[n] ** 2 / t_s for n in w},
        "hutchinson_diag": {n: h[n].abs() for n in w},
        "obd_hutch": {n: (0.5 * h[n] * w[n] ** 2).clamp(min=0) for n in w},
    }
    for metric, expected in want.items():
        assert largest_error(scores(metric, model, [text], probes), expected) < 1e-12, metric
    assert (scores("obd_hutch", model, [text], probes)["lm_head.weight"] == 0).any()  # a saddle is clipped
    with pytest.raises(ValueError, match="no twin for metric gradient"):
        scores("gradient", model, [text])


def test_the_sign_is_dropped_after_the_sum_only_in_grad_x_weight() -> None:
    model = tiny_model("llama")
    after, before = (scores(metric, model, TEXTS) for metric in ("grad_x_weight", "taylor_abs"))
    assert min(relative_errors(after, before).values()) > 0.05


def test_full_sort_orders_ties_by_tensor_then_index() -> None:
    scored = {"b": torch.tensor([[1.0, 3.0], [0.0, 3.0]]), "a": torch.tensor([3.0, 0.0, 5.0])}
    assert full_sort(scored) == [
        (5.0, 1, 2),
        (3.0, 0, 1),
        (3.0, 0, 3),
        (3.0, 1, 0),
        (1.0, 0, 0),
        (0.0, 0, 2),
        (0.0, 1, 1),
    ]


# The comparison itself


@pytest.mark.parametrize(
    "got, want, message",
    [
        ({}, {}, "nothing to compare"),
        ({}, {"a": torch.ones(2)}, "names differ: .'a'"),
        ({"a": torch.ones(2), "b": torch.ones(2)}, {"a": torch.ones(2)}, "names differ: .'b'"),
        ({"a": torch.ones(1)}, {"a": torch.ones(2)}, "shape .1,., expected .2,."),
        ({"a": torch.ones(2).double()}, {"a": torch.ones(2)}, "dtype torch.float64, expected torch.float32"),
        ({"a": torch.tensor([1.0, float("nan")])}, {"a": torch.ones(2)}, "not finite"),
        ({"a": torch.zeros(2)}, {"a": torch.zeros(2)}, "expected values are all zero"),
    ],
)
def test_a_comparison_that_compares_nothing_fails(
    got: dict[str, Tensor], want: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        relative_errors(got, want)


def test_a_comparison_with_itself_fails() -> None:
    same = {"a": torch.ones(2)}
    with pytest.raises(AssertionError, match="compared with itself"):
        relative_errors(same, same)


def test_vanishing_tensors_must_vanish_on_both_sides() -> None:
    want = {"a": torch.ones(2), "noise": torch.full((2,), 1e-17)}
    assert relative_errors({"a": torch.ones(2), "noise": torch.zeros(2)}, want, ["noise"]) == {"a": 0.0, "noise": 0.0}
    with pytest.raises(AssertionError, match=r"noise: norm .* should vanish"):
        relative_errors({"a": torch.ones(2), "noise": torch.ones(2)}, want, ["noise"])
    with pytest.raises(AssertionError, match=r"not compared: .'other'"):
        relative_errors({"a": torch.ones(2), "noise": torch.zeros(2)}, want, ["other"])


def test_an_error_is_relative_to_the_tensors_norm() -> None:
    got, want = {"a": torch.tensor([3.0, 4.5])}, {"a": torch.tensor([3.0, 4.0])}
    assert relative_errors(got, want)["a"] == pytest.approx(0.1)
