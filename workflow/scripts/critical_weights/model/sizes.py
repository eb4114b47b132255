"""The sizes of a model that its config tells."""

from __future__ import annotations

from transformers import PreTrainedConfig


def sizes_of(config: PreTrainedConfig) -> dict[str, int | None]:
    """Return the sizes by their names in ``model.json``; None where the config of a kind of model has none."""
    text = config.get_text_config()
    heads = getattr(text, "num_attention_heads", None)
    return {
        "vocab_size": getattr(text, "vocab_size", None),
        "hidden_size": getattr(text, "hidden_size", None),
        "n_layers": getattr(text, "num_hidden_layers", None),
        "n_heads": heads,
        "n_kv_heads": _kv_heads(text) or heads,
        "head_dim": getattr(text, "head_dim", None),
        "intermediate_size": getattr(text, "intermediate_size", None),
        "max_positions": max_positions(text),
    }


def max_positions(text: PreTrainedConfig) -> int | None:
    """Return how many tokens a text may have by a config: None where it sets no limit, as XLNet's -1 does."""
    for name in ("max_position_embeddings", "max_seq_len"):  # MPT's has the second name
        limit = getattr(text, name, None)
        if isinstance(limit, int) and limit >= 1:
            return limit
    return None


def _kv_heads(text: PreTrainedConfig) -> int | None:
    if getattr(text, "multi_query", False) and not getattr(text, "new_decoder_architecture", False):
        return 1  # Falcon's and GPT-BigCode's configs name as many as query heads
    return getattr(text, "num_key_value_heads", None) or getattr(text, "num_kv_heads", None)
