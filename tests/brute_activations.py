"""The slow twin of the activation statistics: every module's inputs kept in full, then loops over texts and tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

Tokens = list[Tensor]
"""One input vector for each token of all texts."""


def input_statistics(
    model: PreTrainedModel, texts: Sequence[Sequence[int]], *, first: bool = True
) -> dict[str, dict[str, Tensor]]:
    """Return ``input_abs`` and ``input_sq`` of every tensor that has an input, in the weight's shape.

    ``input_abs``: mean over all tokens of all texts of abs(x_j); ``input_sq``: sum over them of x_tj^2, over the number
    of texts. A tied tensor takes its embedding use. An expert's mean is over the tokens routed to it, 0 where none was.
    Without ``first`` the first position of each text is left out, and experts, which do not know positions.
    """
    weights = dict(model.named_parameters())
    names = {id(weight): name for name, weight in weights.items()}
    inputs = _linear_inputs(model, texts, names) | _embedding_inputs(model, texts, names)
    result: dict[str, dict[str, Tensor]] = {"input_abs": {}, "input_sq": {}}
    positions = [position for text in texts for position in range(len(text))]
    for name, (tokens, axis) in inputs.items():
        if not first:
            tokens = [x for x, position in zip(tokens, positions, strict=True) if position > 0]
        shape = [1] * weights[name].ndim
        shape[axis] = -1
        for stat, value in _token_means(tokens, weights[name].shape[axis], len(texts)).items():
            result[stat][name] = value.view(shape).expand_as(weights[name])
    for name, experts in _expert_inputs(model, texts, names).items() if first else ():
        single = [_token_means(tokens, weights[name].shape[2], len(texts)) for tokens in experts]
        for stat in result:
            stacked = torch.stack([one[stat] for one in single])
            result[stat][name] = stacked[:, None, :].expand_as(weights[name])
    return result


def _token_means(tokens: Tokens, length: int, n_texts: int) -> dict[str, Tensor]:
    absolute = torch.zeros(length, dtype=torch.float64)
    squares = torch.zeros(length, dtype=torch.float64)
    for x in tokens:
        absolute += x.abs()
        squares += x**2
    return {"input_abs": absolute / max(len(tokens), 1), "input_sq": squares / n_texts}


def _record_inputs(
    model: PreTrainedModel, texts: Sequence[Sequence[int]], modules: Mapping[str, torch.nn.Module]
) -> dict[str, Tokens]:
    """Return each token's input vector of each module over all texts, under the module's key."""
    tokens: dict[str, Tokens] = {key: [] for key in modules}
    handles = [
        module.register_forward_pre_hook(
            lambda _, args, key=key: tokens[key].extend(args[0].clone().reshape(-1, args[0].shape[-1]))
        )
        for key, module in modules.items()
    ]
    with torch.no_grad():
        for text in texts:
            model(input_ids=torch.tensor([text]), use_cache=False)
    for handle in handles:
        handle.remove()
    return tokens


def _linear_inputs(
    model: PreTrainedModel, texts: Sequence[Sequence[int]], names: Mapping[int, str]
) -> dict[str, tuple[Tokens, int]]:
    """Return the inputs of Linear (out, in), Conv1D (in, out) and routers (experts, in), with the input axis."""
    modules, axes = {}, {}
    for module in model.modules():
        is_router = type(module).__name__.endswith("TopKRouter")
        if isinstance(module, (torch.nn.Linear, Conv1D)) or is_router:
            name = names[id(module.weight)]
            modules[name], axes[name] = module, 0 if isinstance(module, Conv1D) else 1
    recorded = _record_inputs(model, texts, modules)
    return {name: (tokens, axes[name]) for name, tokens in recorded.items()}


def _embedding_inputs(
    model: PreTrainedModel, texts: Sequence[Sequence[int]], names: Mapping[int, str]
) -> dict[str, tuple[Tokens, int]]:
    """Return the one-hot inputs of the token table and of learned positions; their input axis is the row."""
    found = {}
    for module in model.modules():
        if not isinstance(module, torch.nn.Embedding):
            continue
        rows, offset = module.weight.shape[0], getattr(module, "offset", 0)  # OPT's positions start at row 2
        is_token_table = module is model.get_input_embeddings()
        one_hot = torch.eye(rows, dtype=module.weight.dtype)
        tokens = []
        for text in texts:
            for position, token in enumerate(text):
                tokens.append(one_hot[token if is_token_table else position + offset])
        found[names[id(module.weight)]] = (tokens, 0)
    return found


def _expert_inputs(
    model: PreTrainedModel, texts: Sequence[Sequence[int]], names: Mapping[int, str]
) -> dict[str, list[Tokens]]:
    """Return the inputs of each expert of 3-D ``gate_up_proj`` and ``down_proj``, Mixtral's routing computed anew."""
    blocks = {key: m for key, m in model.named_modules() if hasattr(m, "experts") and hasattr(m, "gate")}
    recorded = _record_inputs(model, texts, blocks)
    found: dict[str, list[Tokens]] = {}
    for key, block in blocks.items():
        gate_up = block.experts.gate_up_proj.detach()
        half = gate_up.shape[1] // 2
        to_gate_up: list[Tokens] = [[] for _ in gate_up]
        to_down: list[Tokens] = [[] for _ in gate_up]
        for x in recorded[key]:
            logits = (block.gate.weight.detach() @ x).tolist()
            for e in sorted(range(len(logits)), key=lambda e: -logits[e])[: block.top_k]:
                to_gate_up[e].append(x)
                to_down[e].append(block.experts.act_fn(gate_up[e, :half] @ x) * (gate_up[e, half:] @ x))
        found[names[id(block.experts.gate_up_proj)]] = to_gate_up
        found[names[id(block.experts.down_proj)]] = to_down
    return found
