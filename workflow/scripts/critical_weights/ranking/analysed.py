"""Which tensors of a score store are ranked and described, in the model's order, with their facts."""

from __future__ import annotations

from typing import Any

from ..errors import StoreError
from ..log import logger
from ..store.read import ScoreStore

log = logger(__name__)

OUTSIDE = "outside"
"""What tables and statistics call the place of the tensors that lie in no transformer block."""


def analysed_tensors(store: ScoreStore, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the facts of the analysed tensors that the store holds, in the model's order.

    Analysed tensors without scores of this metric are logged with the store's reason for it.

    Raises:
        StoreError: the store is not of this model: a tensor is unknown or has another shape; or it holds none.

    """
    known = {tensor["name"]: tensor for tensor in facts["tensors"]}
    for name in store.names:
        shape = list(store.tensor_attributes(name, ("shape",))["shape"])
        if name not in known or known[name]["shape"] != shape:
            raise StoreError(
                f"score store {store.path} and the facts of {facts['model']} differ in tensor {name}",
                got=f"shape {shape}",
                expected=f"shape {known[name]['shape']}" if name in known else "no such tensor",
                fix="Use the model.json beside the scores",
            )
    analysed = [tensor for tensor in facts["tensors"] if tensor["analysed"]]
    for tensor in analysed:
        if tensor["name"] not in store:
            reason = store.attributes["skipped"].get(tensor["name"], "the store does not say why")
            log.info("%s has no %s scores: %s", tensor["name"], store.attributes["metric"], reason)
    found = sorted((t for t in analysed if t["name"] in store), key=lambda tensor: tensor["position"])
    if not found:
        raise StoreError(f"score store {store.path} holds no analysed tensor of {facts['model']}")
    return found


def place(layer: int | None) -> str:
    """Return the name of a tensor's place: the index of its block as text, or ``outside``."""
    return OUTSIDE if layer is None else str(layer)
