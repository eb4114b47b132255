"""The facts of a model: every parameter tensor with its layer, component, axes and ties; no weight is loaded."""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ..errors import ModelError
from ..files import sha256_file, sha256_json
from ..log import logger
from .read_config import UNUSABLE, first_lines, read_config
from .safetensors_read import stored_tensors
from .sizes import sizes_of
from .source import check_folder, model_folder
from .stored_ties import refuse_untied

STORED_IN_OUT = ("Llama4TextExperts",)
"""Classes of fused experts that store (expert, in, out) and do not say so by transformers' ``is_transposed``."""


def describe_model(record: dict[str, Any], *, include_1d: bool = False) -> dict[str, Any]:
    """Return the facts of a fetched model (``model.json``).

    The model is built from its config on the meta device, so that names, shapes and ties are those of
    ``named_parameters()`` and nothing of a weight's size is read but for the files' hashes.

    Args:
        record: what :func:`critical_weights.model.source.fetch_model` returned.
        include_1d: whether tensors of one dimension belong to the analysed set.

    Raises:
        ModelError: the config cannot be read, needs remote code, or is quantised, or a file of weights is damaged
            or stores apart what the config ties.

    """
    folder = model_folder(record)
    files = check_folder(folder)
    stored = stored_dtype(files)  # a file that is cut short is told here, before the hours of scoring
    config = read_config(folder)
    model = build_empty(config, folder.name)
    tensors = describe_tensors(model, include_1d=include_1d)
    refuse_untied(tensors, files)
    hashes = [
        {"name": f.name, "bytes": f.stat().st_size, "sha256": sha256_file(f)} for f in [folder / "config.json", *files]
    ]
    analysed = [t for t in tensors if t["analysed"]]
    named = str(config.dtype or stored).removeprefix("torch.")
    if named != stored:
        logger(__name__).info("config.json names %s, but the weights are stored as %s: that counts", named, stored)
    for tensor in tensors:
        if tensor["kind"] == "other":
            logger(__name__).info("%s: its module is of no known kind; axes taken as stored", tensor["name"])
    return {
        "model": record["model"],
        "source": record["source"],
        "repo": record["repo"],
        "revision": record["commit"],
        "checkpoint": record["checkpoint"],
        "architecture": type(model).__name__,
        "model_type": config.model_type,
        "checkpoint_dtype": stored,
        **sizes_of(config),
        "n_tensors": len(tensors),
        "n_weights": sum(t["numel"] for t in tensors),
        "analysed": {
            "n_tensors": len(analysed),
            "n_weights": sum(t["numel"] for t in analysed),
            "include_1d": include_1d,
        },
        "tensors": tensors,
        "files": hashes,
        "sha256": sha256_json(hashes),
    }


def build_empty(config: PreTrainedConfig, name: str) -> PreTrainedModel:
    """Build a model on the meta device: names, shapes and ties without a weight.

    Args:
        config: the model's.
        name: what messages call the model.

    Raises:
        ModelError: the architecture is no causal language model, or the config's sizes do not fit each other.

    """
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)
    except UNUSABLE as error:
        raise ModelError(f"{name} is no causal language model that can be built: {first_lines(error)}") from error


def stored_dtype(files: list[Path]) -> str:
    """Return the floating type that most weights of safetensors files are stored in, whatever the config says.

    Raises:
        ModelError: a file is damaged.

    """
    names = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}
    weights = Counter({"F32": 0})
    for file in files:
        for tensor in stored_tensors(file).values():
            if tensor.dtype in names:
                weights[tensor.dtype] += prod(tensor.shape)
    return names[weights.most_common(1)[0][0]]


def find_blocks(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the name and the list of the transformer blocks: the outermost ``ModuleList`` with the most weights.

    Raises:
        ModelError: the model has no ``ModuleList``.

    """
    lists: dict[str, nn.ModuleList] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and not any(name.startswith(f"{outer}.") for outer in lists):
            lists[name] = module
    if not lists:
        raise ModelError(f"{type(model).__name__} has no list of transformer blocks")
    return max(lists.items(), key=lambda item: sum(p.numel() for p in item[1].parameters()))


def describe_tensors(model: nn.Module, *, include_1d: bool = False) -> list[dict[str, Any]]:
    """Return one entry a parameter tensor, in the order of ``named_parameters()``; shared storage once."""
    blocks, _ = find_blocks(model)
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    modules = dict(model.named_modules())
    places = {name: _place(name, blocks) for name, _ in model.named_parameters()}
    leaves = Counter((layer, leaf) for layer, path in places.values() for leaf in [path.rsplit(".", 1)[-1]])
    entries = []
    for position, (name, parameter) in enumerate(model.named_parameters()):
        owner, _, attribute = name.rpartition(".")
        kind, axes = _kind(modules[owner], attribute, parameter)
        layer, path = places[name]
        leaf = path.rsplit(".", 1)[-1]
        if leaves[layer, leaf] > 1:  # attn.c_proj and mlp.c_proj are two components
            leaf = ".".join(path.split(".")[-2:])
        entries.append(
            {
                "name": name,
                "position": position,
                "shape": list(parameter.shape),
                "numel": parameter.numel(),
                "layer": layer,
                "component": leaf,
                "kind": kind,
                "axes": list(axes),
                "tied_to": [other for other in names[id(parameter)] if other != name],
                "analysed": parameter.dim() >= (1 if include_1d else 2),
            }
        )
    return entries


def _place(name: str, blocks: str) -> tuple[int | None, str]:
    """Return (layer, path within the block without ``weight``) of a parameter's name; a bias keeps its word."""
    layer = None
    if name.startswith(f"{blocks}."):
        index, _, name = name.removeprefix(f"{blocks}.").partition(".")
        layer = int(index)
    if name.endswith(".weight"):
        name = name.removesuffix(".weight")
    elif name.endswith(".bias"):
        name = f"{name.removesuffix('.bias')}_bias"
    return layer, name


def _kind(module: nn.Module, attribute: str, parameter: nn.Parameter) -> tuple[str, tuple[str, ...]]:
    """Return what a parameter is, and the meaning of its axes in storage order.

    A row is an output and a column an input; of an embedding (and so of a tied head) a row is a token.
    """
    bias, owner = attribute.endswith("bias"), type(module).__name__
    if "Experts" in owner and parameter.dim() == 3:
        transposed = getattr(module, "is_transposed", owner in STORED_IN_OUT)
        return "experts", ("expert", "col", "row") if transposed else ("expert", "row", "col")
    if "Experts" in owner and parameter.dim() == 2 and bias:
        return "bias", ("expert", "row")
    if parameter.dim() == 1:
        return ("bias" if bias else "norm" if attribute == "weight" else "other"), ("row",)
    if isinstance(module, Conv1D):
        return "conv1d", ("col", "row")
    if isinstance(module, nn.Embedding):
        return "embedding", ("row", "col")
    if isinstance(module, nn.Linear):
        return "linear", ("row", "col")
    if owner.endswith("Router") and parameter.dim() == 2 and attribute == "weight":
        return "router", ("row", "col")  # a row is an expert
    if parameter.dim() == 2:
        return "other", ("row", "col")
    return "other", tuple(f"axis{i}" for i in range(parameter.dim()))
