"""A fetched model's tokenizer, loaded or refused in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import TextError
from ..files import sha256_file, sha256_json
from ..model.source import model_folder
from .tokenizer_files import has_tokenizer, tokenizer_files

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(record: dict[str, Any]) -> tuple[PreTrainedTokenizerBase, int, int | None]:
    """Return a model's tokenizer, the size of the model's vocabulary, and the most tokens of a text, if any.

    Args:
        record: what :func:`critical_weights.model.source.fetch_model` returned.

    Raises:
        ModelError: the model's config cannot be used, or its files are gone.
        TextError: there is no tokenizer, it cannot be loaded, or has no tokens but special ones.

    """
    from transformers import AutoTokenizer
    from transformers.utils import logging as transformers_logging

    from ..model.read_config import UNUSABLE, read_config
    from ..model.sizes import max_positions

    transformers_logging.set_verbosity_error()
    folder = model_folder(record)
    config = read_config(folder).get_text_config()

    def refused(why: str) -> TextError:
        what = f"the tokenizer of model '{record['model']}' cannot be loaded: {why}"
        return TextError(what, fix="The model's folder must hold its tokenizer, such as tokenizer.json")

    # Without a file transformers builds a tokenizer of special tokens alone for many kinds of model, and so it does of
    # a tokenizer_config.json that lies there without a vocabulary.
    if not has_tokenizer(folder):
        raise refused(f"there is none in {folder}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except UNUSABLE as error:
        raise refused(next(iter(str(error).strip().splitlines()), type(error).__name__)) from error
    if not set(tokenizer.get_vocab()) - set(tokenizer.get_added_vocab()) - set(tokenizer.all_special_tokens):
        raise refused(f"that in {folder} has no tokens but special ones")
    return tokenizer, config.vocab_size, max_positions(config)


def tokenizer_sha256(record: dict[str, Any]) -> str:
    """Return the hash over the files of a model's tokenizer."""
    files = tokenizer_files(model_folder(record))
    return sha256_json([(file.name, sha256_file(file)) for file in files])
