"""Make the bundled texts, tokenizer and model: `python make.py`, then `python card.py`.

One seed, the texts of the running Python; about twenty minutes on two CPU cores. The
same Python and library versions on the same kind of CPU give the same files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from dataclasses import asdict, replace
from pathlib import Path

import bpe
import corpus
import ngram
import split
import torch
import train
import transformers
from transformers import AutoModelForCausalLM, LlamaForCausalLM, PreTrainedTokenizerFast

RESOURCES = Path(__file__).resolve().parent.parent
VOCABULARY = 2048
MAX_LENGTH = 256
HELD_OUT_SHARE = 0.12
TEXTS_EACH = 170
TOKENS = (40, 90)


def main() -> None:
    """Read the options and make everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESOURCES, help="the resources folder to write into")
    parser.add_argument("--steps", type=int, default=train.Recipe.steps, help="another number: a trial")
    options = parser.parse_args()
    torch.set_num_threads(1)  # in each of the two threads that train
    make(options.out, replace(train.Recipe(), steps=options.steps))


def make(out: Path, recipe: train.Recipe) -> None:
    """Texts, tokenizer, four checkpoints and training.json below `out`."""
    started = time.monotonic()
    passages = corpus.collect()
    texts, held_out = split.split(passages, HELD_OUT_SHARE, recipe.seed)
    tokenizer = bpe.learn(texts, VOCABULARY, MAX_LENGTH)
    lengths = [len(ids) - 1 for ids in bpe.encode(tokenizer, held_out)]
    chosen = split.two_halves(held_out, lengths, TEXTS_EACH, recipe.seed, *TOKENS)
    write_texts(out / "texts", *chosen)

    sequences = bpe.encode(tokenizer, texts)
    judged = bpe.encode(tokenizer, [*chosen[0], *chosen[1]])
    facts = {
        "data": {
            "python": platform.python_version(),
            "passages": len(passages),
            "training_texts": len(texts),
            "training_characters": sum(map(len, texts)),
            "training_tokens": sum(len(ids) - 1 for ids in sequences),
            "training_sha256": sha256("\n".join(texts)),
            "held_out_texts": len(judged),
            "held_out_tokens": sum(len(ids) - 1 for ids in judged),
            "held_out_characters": sum(len(text) for half in chosen for text in half),
        },
        "ngram_losses": ngram_losses(sequences, judged),
    }
    print(json.dumps(facts, indent=1), flush=True)

    torch.manual_seed(recipe.seed)
    model = LlamaForCausalLM(train.config(VOCABULARY, MAX_LENGTH))
    losses: dict[str, float] = {}
    folder = out / "bundled_model"

    def keep(step: int) -> None:
        last = step == recipe.steps
        target = folder if last else folder / "checkpoints" / f"step_{step:06d}"
        save(model, tokenizer, target)
        saved = AutoModelForCausalLM.from_pretrained(target, dtype=torch.bfloat16)
        name = "final" if last else target.name
        losses[name] = train.loss(saved, judged)
        print(f"step {step}: held-out loss {losses[name]:.4f}", flush=True)

    began = time.monotonic()
    train.train(model, sequences, recipe, tokenizer.eos_token_id, keep, lambda line: print(line, flush=True))
    facts |= {
        "losses": losses,
        "weights": sum(p.numel() for p in model.parameters()),
        "recipe": asdict(recipe),
        "tokens_seen": recipe.steps * recipe.rows * recipe.row_tokens,
        "training_seconds": round(time.monotonic() - began),
        "all_seconds": round(time.monotonic() - started),
        "hardware": "two CPU cores",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def ngram_losses(sequences: list[list[int]], judged: list[list[int]]) -> dict[str, float]:
    """Held-out losses of the n-gram models of orders 1 to 4, trained on the same tokens (EOS as for the model)."""
    ended = [[*ids, 1] for ids in sequences]
    names = ("unigram", "bigram", "trigram", "fourgram")
    return {name: ngram.loss(ngram.fit(ended, order, VOCABULARY), judged) for order, name in enumerate(names, 1)}


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """The model's weights in bfloat16 and its tokenizer, as an ordinary transformers folder."""
    copy = LlamaForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    copy.to(torch.bfloat16).save_pretrained(folder)
    bpe.save(tokenizer, folder)
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)


def write_texts(folder: Path, calibration: list[str], evaluation: list[str]) -> None:
    """The two text files, a text a line."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, texts in (("calibration", calibration), ("evaluation", evaluation)):
        (folder / f"{name}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8", newline="\n")


def sha256(text: str) -> str:
    """The SHA-256 of a text in UTF-8, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    main()
