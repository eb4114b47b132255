"""Which files of a model's folder make its tokenizer: what is watched, hashed and looked for."""

from __future__ import annotations

from pathlib import Path

_VOCABULARY = ("tokenizer*", "vocab.*", "merges.txt", "*.model", "tekken.json")
TOKENIZER_PATTERNS = (*_VOCABULARY, "added_tokens.json", "special_tokens_map.json")


def tokenizer_files(folder: Path) -> list[Path]:
    """Return the files of a folder that any of transformers' tokenizers reads, by name."""
    return sorted({path for pattern in TOKENIZER_PATTERNS for path in folder.glob(pattern) if path.is_file()})


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder may hold a tokenizer: a list of added or special tokens alone is none."""
    return any(path.is_file() for pattern in _VOCABULARY for path in folder.glob(pattern))
