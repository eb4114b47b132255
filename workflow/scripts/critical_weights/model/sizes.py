"""The sizes of a model that its config tells."""

from __future__ import annotations

from transformers import PreTrainedConfig


def sizes_of(config: PreTrainedConfig) -> dict[str, int | None]:
    """Return the sizes by their names in ``model.json``; None where a config has none, or one that differs by block."""
    text = config.get_text_config()
    heads = _told(text, "num_attention_heads")
    return {
        "vocab_size": _told(text, "vocab_size"),
        "hidden_size": _told(text, "hidden_size"),
        "n_layers": _told(text, "num_hidden_layers"),
        "n_heads": heads,
        "n_kv_heads": _kv_heads(text) or heads,
        "head_dim": _told(text, "head_dim"),
        "intermediate_size": _told(text, "intermediate_size"),
        "max_positions": max_positions(text),
    }


def max_positions(text: PreTrainedConfig) -> int | None:
    """Return how many tokens a text may have by a config: None where it sets no limit, as XLNet's -1 does."""
    for name in ("max_position_embeddings", "max_seq_len"):  # MPT's has the second name
        limit = _told(text, name)
        if isinstance(limit, int) and limit >= 1:
            return limit
    return None


def _kv_heads(text: PreTrainedConfig) -> int | None:
    if getattr(text, "multi_query", False) and not getattr(text, "new_decoder_architecture", False):
        return 1  # Falcon's and GPT-BigCode's configs name as many as query heads
    return _told(text, "num_key_value_heads") or _told(text, "num_kv_heads")


def _told(text: PreTrainedConfig, name: str) -> int | None:
    try:
        return getattr(text, name, None)
    except RuntimeError:  # transformers gives no one number for Gemma-4, whose blocks have heads of two sizes
        return None
