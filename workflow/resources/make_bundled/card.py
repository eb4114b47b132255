"""Write the model card and the texts' README from training.json and the files themselves: `python card.py`."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

RESOURCES = Path(__file__).resolve().parent.parent
LICENCE = """\
Python Software Foundation License, version 2
(https://docs.python.org/3/license.html, which also lists the notices of the parts CPython incorporates);
Copyright (c) 2001-2023 Python Software Foundation; All Rights Reserved"""

CARD = """\
# The bundled model

A small Llama, really trained, so that every stage of the workflow can be run and checked
offline in minutes on a CPU. It is an ordinary transformers folder: `AutoModelForCausalLM`
and `AutoTokenizer` load it as it is. Every figure below is in `training.json`.

## Architecture
Llama (RMSNorm, SwiGLU, rotary positions): {layers} blocks, hidden size {hidden}, MLP {mlp},
{heads} query heads on {kv_heads} key-value heads of {head_dim}, untied head, {weights:,} weights in
bfloat16, {positions} positions. Own byte-level BPE of {vocabulary:,} tokens, learned from the training
texts; as in Llama 3 the tokenizer puts `<|begin_of_text|>` (id 0) before every text and never adds
`<|end_of_text|>` (id 1).

## Checkpoints of the same run
| folder | step | tokens seen | held-out loss (nats per token) |
|---|---|---|---|
{checkpoints}

## Held-out loss
On the {texts} texts of `calibration.txt` and `evaluation.txt` together: {tokens:,} tokens, every token after
BOS, each text alone, the saved bfloat16 weights loaded back and run in float32. Whole modules and
topics were held out, near-duplicates of training texts dropped (see `../texts/README.md`); nothing
was chosen by this loss: the last step is the final model.

| | nats per token | nats per character |
|---|---|---|
{losses}

The n-gram models are interpolated modified Kneser-Ney on the same training tokens, judged on the
same positions, with BOS given to them too. The final model is {margin:.2f} nats per token below the trigram.

## Data
{passages:,} distinct passages from CPython {python}'s standard library: docstrings, the language
reference's topics (`pydoc_data/topics.py`) and comments of two or more lines; each on one line, without
doctests, notices and addresses. {training_texts:,} of them train
({training_tokens:,} tokens, {training_characters:,} characters);
what is held out and not used as a text is left aside.
Licence of the texts: {licence}
(in full in `../texts/LICENSE-PYTHON.txt`).

## Licence of the weights
Weights and tokenizer were made for this project from these texts and nothing else, no other model's weights
among them. They are part of its repository and under its licence, MIT (`LICENSE` at its top). What the licence of
the texts asks of a model trained on them is not settled; its notice comes along, so that both can be kept.

## Training
Seed {seed}; {steps:,} steps of {rows} rows of {row_tokens} tokens
({tokens_seen:,} tokens, about {epochs:.0f} epochs); AdamW, rate {peak_rate} falling by a cosine to {final_rate}
after {warmup_steps} steps of warm-up, weight decay {weight_decay}, dropout {dropout} in training only,
gradients clipped at {clip}. {minutes:.0f} minutes on {hardware}, shared with other work;
torch {torch}, transformers {transformers}.

To make it again, with the same Python version (another one has other docstrings; `training_sha256` in
`training.json` is the hash of the training texts):
```
python workflow/resources/make_bundled/make.py
python workflow/resources/make_bundled/card.py
```

## Limits
Made to be measured, not to be used: it writes fluent-looking nonsense about Python. It knows one
kind of text, has been trained on rows of {row_tokens} tokens at most, and saw each training text about {epochs:.0f}
times. What holds for its weights need not hold for a large model's.
"""

TEXTS = """\
# The bundled texts

| file | texts | tokens | tokens a text (least, mean, most) | characters | sha256 |
|---|---|---|---|---|---|
{rows}

Tokens are the bundled model's, BOS not counted. UTF-8, one text a line, all distinct, the two files disjoint.

Source: docstrings and language reference topics of CPython {python}'s standard library, as found in its
files. Licence: {licence}
(in full in `LICENSE-PYTHON.txt`).

How they were made (`../make_bundled/make.py`): each docstring is cut at blank lines and joined to
passages of up to some 340 characters on one line; exact duplicates go. Whole modules and topics, drawn
by seed {seed} until they hold 12 % of all characters, are held out from the bundled model's training and
from its tokenizer's. Of those, passages stay that are readable English (whole sentences, mostly letters,
common little words) of 40 to 90 tokens, and share at most a fifth of their eight-word runs with the training
texts and the held-out passages before them. {texts} are drawn, half for each file.
"""


def main() -> None:
    """Write both files below the resources folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESOURCES, help="the resources folder")
    out = parser.parse_args().out
    model = out / "bundled_model"
    facts = json.loads((model / "training.json").read_text(encoding="utf-8"))
    shape = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "README.md").write_text(card(facts, shape), encoding="utf-8")
    (out / "texts" / "README.md").write_text(texts_readme(out, facts), encoding="utf-8")


def card(facts: dict, shape: dict) -> str:
    """The model card's text."""
    data, recipe = facts["data"], facts["recipe"]
    step_tokens = recipe["rows"] * recipe["row_tokens"]
    steps = {**{f"step_{s:06d}": s for s in recipe["checkpoints"]}, "final": recipe["steps"]}
    checkpoints = []
    for name, step in steps.items():
        place = "this one" if name == "final" else f"`checkpoints/{name}`"
        checkpoints.append(f"| {place} | {step:,} | {step * step_tokens:,} | {facts['losses'][name]:.4f} |")
    per_character = data["held_out_tokens"] / data["held_out_characters"]
    losses = {**facts["ngram_losses"], "**this model**": facts["losses"]["final"]}
    figures = {**data, **recipe, **facts["versions"], "checkpoints": "\n".join(checkpoints)}
    return CARD.format(
        **figures,
        licence=LICENCE,
        weights=facts["weights"],
        layers=shape["num_hidden_layers"],
        hidden=shape["hidden_size"],
        mlp=shape["intermediate_size"],
        heads=shape["num_attention_heads"],
        kv_heads=shape["num_key_value_heads"],
        head_dim=shape["head_dim"],
        positions=shape["max_position_embeddings"],
        vocabulary=shape["vocab_size"],
        texts=data["held_out_texts"],
        tokens=data["held_out_tokens"],
        margin=facts["ngram_losses"]["trigram"] - facts["losses"]["final"],
        losses="\n".join(f"| {name} | {x:.4f} | {x * per_character:.4f} |" for name, x in losses.items()),
        tokens_seen=facts["tokens_seen"],
        minutes=facts["training_seconds"] / 60,
        hardware=facts["hardware"],
        epochs=facts["tokens_seen"] / data["training_tokens"],
    )


def texts_readme(out: Path, facts: dict) -> str:
    """The texts' README, with counts and hashes of the files as they are."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(out / "bundled_model")
    rows = []
    for name in ("calibration.txt", "evaluation.txt"):
        content = (out / "texts" / name).read_bytes()
        texts = content.decode().splitlines()
        lengths = [len(ids) - 1 for ids in tokenizer(texts)["input_ids"]]
        rows.append(
            f"| {name} | {len(texts)} | {sum(lengths):,} | {min(lengths)}, {sum(lengths) / len(lengths):.1f}, "
            f"{max(lengths)} | {sum(map(len, texts)):,} | `{hashlib.sha256(content).hexdigest()}` |"
        )
    return TEXTS.format(
        rows="\n".join(rows),
        python=facts["data"]["python"],
        licence=LICENCE,
        seed=facts["recipe"]["seed"],
        texts=facts["data"]["held_out_texts"],
    )


if __name__ == "__main__":
    main()
