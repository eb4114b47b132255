"""Where an engine's weights are: all in memory, or read from the checkpoint one part at a time and dropped again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    WeightRenaming,
    convert_and_load_state_dict_in_model,
    rename_source_key,
)
from transformers.modeling_utils import LoadStateDictConfig
from transformers.utils import logging as transformers_logging

from ..errors import ModelError
from ..model.load import fit_experts
from ..model.read_config import read_config
from ..model.source import check_folder


def check_weight(weight: Tensor, name: str) -> None:
    """Check that every weight is a finite number: one that is not makes every gradient NaN, and hides where it is.

    Raises:
        ModelError: some are not.

    """
    bad = weight.numel() - int(torch.isfinite(weight).sum())
    if bad:
        raise ModelError(
            f"{bad} of {weight.numel()} weights of {name} are NaN or infinite",
            fix="The checkpoint is damaged, or its dtype is too narrow (scoring: dtype: float32)",
        )


class Weights(Protocol):
    """Makes the values of some parameter tensors available for a while."""

    @contextmanager
    def loaded(self, names: Collection[str]) -> Iterator[None]:
        """Inside, the named tensors hold their values; gradients are on."""
        ...

    def rows(self, name: str, rows: Tensor | slice) -> Tensor:
        """Return some rows of a tensor, in the model's dtype."""
        ...


class ResidentWeights:
    """Every weight is in memory all the time."""

    def __init__(self, model: nn.Module) -> None:
        self._parameters = dict(model.named_parameters())

    @contextmanager
    def loaded(self, names: Collection[str]) -> Iterator[None]:
        """Do nothing: they are there."""
        del names
        yield

    def rows(self, name: str, rows: Tensor | slice) -> Tensor:
        """Return some rows of a tensor."""
        return self._parameters[name].detach()[rows]


class StreamedWeights:
    """Weights of a model whose parameters are on the meta device, read from safetensors when they are needed.

    Checkpoints may name tensors otherwise than the model does, or hold in many what it holds in one (experts):
    transformers' own conversion mapping is applied, restricted to the tensors of the part.

    Args:
        model: made by :func:`empty_model`.
        folder: the model folder.
        device: where the values go.

    Raises:
        ModelError: the checkpoint lacks tensors of the model.

    """

    def __init__(self, model: PreTrainedModel, folder: Path, device: torch.device) -> None:
        self._model = model
        self._device = device
        self._dtype = next(model.parameters()).dtype
        self._mapping = get_model_conversion_mapping(model)
        self._files: dict[str, Path] = {}
        self._keys: dict[str, list[str]] = {}
        self._read_as: dict[str, str] = {}
        self._map_keys(check_folder(folder))
        self._map_ties()

    def _map_keys(self, files: list[Path]) -> None:
        """Find out for each checkpoint tensor which of the model's tensors it goes into."""
        state = self._model.state_dict()
        renamings = [m for m in self._mapping if isinstance(m, WeightRenaming)]
        converters = [m for m in self._mapping if isinstance(m, WeightConverter)]
        prefix = self._model.base_model_prefix
        for path in files:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 (not a dict)
                    target, _ = rename_source_key(key, renamings, converters, prefix, state)
                    if target not in state and key in state:
                        target = key
                    self._files[key] = path
                    self._keys.setdefault(target, []).append(key)

    def _map_ties(self) -> None:
        """Read a tied tensor under its first name, also where the checkpoint has it under another one alone."""
        names: dict[int, list[str]] = {}
        for name, parameter in self._model.named_parameters(remove_duplicate=False):
            names.setdefault(id(parameter), []).append(name)
        for first, *others in names.values():
            stored = [name for name in others if name in self._keys]
            if first not in self._keys and stored:
                self._keys[first] = self._keys.pop(stored[0])
                self._read_as |= dict.fromkeys(self._keys[first], first)

    def _sources(self, names: Collection[str]) -> dict[str, list[str]]:
        """Return model tensor -> checkpoint keys, for the targets in the parts that hold ``names``."""
        parts = {name.rpartition(".")[0] for name in names}
        return {t: keys for t, keys in self._keys.items() if t in names or t.rpartition(".")[0] in parts}

    @contextmanager
    def loaded(self, names: Collection[str]) -> Iterator[None]:
        """Read the named tensors, and drop them afterwards.

        Raises:
            ModelError: the checkpoint has no such tensor, or one of another shape.

        """
        sources = self._sources(names)
        paths = sorted({self._files[key] for keys in sources.values() for key in keys})
        wanted = {key for keys in sources.values() for key in keys}
        # Plain reads, not a memory map: mapped pages of a large file would count as this process's memory.
        files = [safe_open(path, framework="pt", device="cpu", backend="pread") for path in paths]
        try:
            slices: dict[str, Any] = {}
            for file in files:
                held = file.__enter__()
                for key in sorted(wanted.intersection(held.keys())):
                    slices[self._read_as.get(key, key)] = held.get_slice(key)
            transformers_logging.disable_progress_bar()
            config = LoadStateDictConfig(
                dtype=self._dtype, device_map={"": self._device}, weight_mapping=list(self._mapping)
            )
            info, _ = convert_and_load_state_dict_in_model(self._model, slices, config)
        finally:
            for file in files:
                file.__exit__(None, None, None)
        self._model.tie_weights()
        parameters = dict(self._model.named_parameters())
        wrong = sorted({n for n in names if parameters[n].is_meta} | {str(m[0]) for m in info.mismatched_keys})
        if wrong:
            raise ModelError(f"the checkpoint lacks {len(wrong)} tensors or has other shapes, first {wrong[0]}")
        for name in names:
            check_weight(parameters[name], name)
            parameters[name].requires_grad_(True)
        try:
            yield
        finally:
            self._drop(names)

    def _drop(self, names: Collection[str]) -> None:
        modules = dict(self._model.named_modules())
        for name in names:
            path, _, attribute = name.rpartition(".")
            value = getattr(modules[path], attribute)
            empty = nn.Parameter(torch.empty_like(value, device="meta"))
            setattr(modules[path], attribute, empty)
        self._model.tie_weights()

    def rows(self, name: str, rows: Tensor | slice) -> Tensor:
        """Read some rows of a tensor that the checkpoint holds under one name, in the model's dtype.

        Args:
            name: the model's tensor.
            rows: a slice, or ascending row indices.

        Raises:
            ModelError: the checkpoint has no such tensor.

        """
        keys = self._keys.get(name)
        if not keys:
            raise ModelError(f"the checkpoint lacks {name}")
        (key,) = keys
        # A memory map reads just these rows (plain reads fetch the whole tensor); the copy outlives it.
        with safe_open(self._files[key], framework="pt", device="cpu", backend="mmap") as file:
            view = file.get_slice(key)
            found = view[rows] if isinstance(rows, slice) else torch.cat([view[i : i + 1] for i in rows.tolist()])
            return found.to(self._device, self._dtype, copy=True)


def empty_model(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Build a model from its config with every parameter on the meta device and every buffer real.

    Args:
        folder: the model folder.
        dtype: of the parameters.

    """
    config = read_config(folder)
    with _parameters_on_meta():
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    fit_experts(model, dtype)
    return model.eval().requires_grad_(True)


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    register = nn.Module.register_parameter

    def register_on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:
            parameter = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
        register(module, name, parameter)

    nn.Module.register_parameter = register_on_meta  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]
