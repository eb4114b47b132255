"""The conservation laws of a plain Llama, equation by equation: an exact check of gradients that needs no twin.

Scaling a row of ``up_proj`` by c and the column of ``down_proj`` that reads it by 1/c leaves the loss as it is, so the
two sums of a = g * w are equal; each law is such a symmetry.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel


def llama_laws(model: PreTrainedModel, a: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the largest error of each conservation law of a plain Llama (untied head), for the signed a = g * w.

    The error of one equation is its residual over the L1 norm of all entries of ``a`` that the law sums.
    """
    config = model.config
    head = config.head_dim
    per_group = config.num_attention_heads // config.num_key_value_heads
    errors: dict[str, list[float]] = {}

    def check(law: str, left: Tensor, right: Tensor, *summed: Tensor) -> None:
        size = sum(t.abs().sum().item() for t in summed)
        errors.setdefault(law, []).append((left - right).abs().max().item() / size)

    writers = [a["model.embed_tokens.weight"]]
    for layer in range(config.num_hidden_layers):
        at = f"model.layers.{layer}."
        q, k, v, o = (a[f"{at}self_attn.{p}_proj.weight"] for p in "qkvo")
        gate, up, down = (a[f"{at}mlp.{p}_proj.weight"] for p in ("gate", "up", "down"))
        writers += [o, down]
        check("up = down", up.sum(1), down.sum(0), up, down)
        for group in range(config.num_key_value_heads):
            for i in range(head):
                from_o = sum(o[:, (group * per_group + h) * head + i].sum() for h in range(per_group))
                check("v = o", v[group * head + i].sum(), from_o, v, o)
            for i in range(head // 2):  # RoPE turns rows i and i + head / 2 of a head together
                pair = (i, i + head // 2)
                from_q = sum(q[(group * per_group + h) * head + r].sum() for h in range(per_group) for r in pair)
                check("q = k", from_q, sum(k[group * head + r].sum() for r in pair), q, k)
        check("input norm = q + k + v", a[f"{at}input_layernorm.weight"], sum(t.sum(0) for t in (q, k, v)), q, k, v)
        check("post norm = gate + up", a[f"{at}post_attention_layernorm.weight"], (gate + up).sum(0), gate, up)
    head_a = a["lm_head.weight"]
    check("final norm = head", a["model.norm.weight"], head_a.sum(0), head_a)
    check("residual writers = 0", sum(t.sum() for t in writers), torch.tensor(0.0), *writers)
    return {law: max(found) for law, found in errors.items()}
