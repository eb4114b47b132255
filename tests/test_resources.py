"""The bundled model and texts are what their cards say, and the trigram yardstick is a right one."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer

RESOURCES = Path(__file__).resolve().parent.parent / "workflow" / "resources"
MODEL = RESOURCES / "bundled_model"
FACTS = json.loads((MODEL / "training.json").read_text(encoding="utf-8"))
STEPS = [f"step_{step:06d}" for step in FACTS["recipe"]["checkpoints"]]
FOLDERS = {"final": MODEL, **{step: MODEL / "checkpoints" / step for step in STEPS}}


def load(folder: Path):
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto", local_files_only=True)


def texts(name: str) -> list[str]:
    return (RESOURCES / "texts" / f"{name}.txt").read_text(encoding="utf-8").splitlines()


def held_out_loss(folder: Path, lines: list[str]) -> float:
    """Nats per token over every token after BOS, one padded batch at a time, in float32."""
    model = load(folder).float().eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    encoded = sorted((torch.tensor(ids) for ids in tokenizer(lines)["input_ids"]), key=len)
    total, n = 0.0, 0
    for start in range(0, len(encoded), 34):
        group = encoded[start : start + 34]
        ids = pad_sequence(group, batch_first=True)
        real = pad_sequence([torch.ones_like(row) for row in group], batch_first=True)
        with torch.no_grad():
            logs = model(ids, attention_mask=real).logits.log_softmax(-1)
        picked = logs[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
        total -= (picked * real[:, 1:]).sum().item()
        n += int(real[:, 1:].sum())
    return total / n


@pytest.mark.parametrize("name", FOLDERS)
def test_folder_loads_with_the_stated_architecture(name: str) -> None:
    model = load(FOLDERS[name])
    config = model.config
    assert (config.model_type, config.num_hidden_layers, config.hidden_size) == ("llama", 8, 128)
    assert config.num_key_value_heads < config.num_attention_heads
    assert not config.tie_word_embeddings
    assert model.lm_head.weight.data_ptr() != model.model.embed_tokens.weight.data_ptr()
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert sum(p.numel() for p in model.parameters()) == FACTS["weights"] == 2_001_024
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_tokenizer_puts_bos_first_and_gives_texts_back() -> None:
    tokenizer = AutoTokenizer.from_pretrained(MODEL, local_files_only=True)
    assert len(tokenizer) == 2048
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|begin_of_text|>", "<|end_of_text|>")
    for text in [*texts("calibration")[:20], "Ünïcode ☃ and\ttabs\n"]:
        ids = tokenizer(text)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert ids.count(tokenizer.bos_token_id) == 1
        assert tokenizer.eos_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_sizes() -> None:
    """All four checkpoints together stay small, and no folder holds anything that can run."""
    files = [path for path in MODEL.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20_000_000
    assert {path.suffix for path in files} == {".json", ".safetensors", ".md"}


def test_texts() -> None:
    calibration, evaluation = texts("calibration"), texts("evaluation")
    both = [*calibration, *evaluation]
    assert min(len(calibration), len(evaluation)) >= 160
    assert len(set(both)) == len(both)
    tokenizer = AutoTokenizer.from_pretrained(MODEL, local_files_only=True)
    lengths = [len(ids) - 1 for ids in tokenizer(both)["input_ids"]]
    assert min(lengths) >= 40
    assert max(lengths) <= 110
    assert 55 <= sum(lengths) / len(lengths) <= 75
    assert sum(lengths) == FACTS["data"]["held_out_tokens"]
    readme = (RESOURCES / "texts" / "README.md").read_text(encoding="utf-8")
    for name in ("calibration", "evaluation"):
        assert hashlib.sha256((RESOURCES / "texts" / f"{name}.txt").read_bytes()).hexdigest() in readme


def test_held_out_loss_is_the_stated_one_and_below_the_trigram() -> None:
    lines = [*texts("calibration"), *texts("evaluation")]
    losses = {name: held_out_loss(folder, lines) for name, folder in FOLDERS.items()}
    assert losses == pytest.approx(FACTS["losses"], abs=1e-3)
    assert losses["final"] < FACTS["ngram_losses"]["trigram"] - 0.15
    falling = [losses[name] for name in [*STEPS, "final"]]
    assert falling == sorted(falling, reverse=True)
    card = (MODEL / "README.md").read_text(encoding="utf-8")
    assert all(f"{loss:.4f}" in card for loss in [*FACTS["losses"].values(), *FACTS["ngram_losses"].values()])


@pytest.fixture(scope="module")
def ngram():
    path = RESOURCES / "make_bundled" / "ngram.py"
    spec = importlib.util.spec_from_file_location("bundled_ngram", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def slow_kneser_ney(
    corpus: list[list[int]], history: tuple[int, ...], token: int, top: int, size: int, vocabulary: int
) -> float:
    """Chen and Goodman's recursion read off the corpus again at every call; n-grams of `size`, highest order `top`."""
    if size == 0:
        return 1 / vocabulary

    def occurrences(n: int) -> list[tuple[int, ...]]:
        return [tuple(s[i : i + n]) for s in corpus for i in range(len(s) - n + 1) if i + n > 1]

    def count(gram: tuple[int, ...]) -> int:
        if size == top or gram[0] == 0:
            return occurrences(size).count(gram)
        return len({g[0] for g in occurrences(size + 1) if g[1:] == gram})

    counts = {gram: count(gram) for gram in set(occurrences(size))}
    n = Counter(counts.values())
    if all(n[i] for i in (1, 2, 3, 4)):
        y = n[1] / (n[1] + 2 * n[2])
        cut = {i: max(0.0, i - (i + 1) * y * n[i + 1] / n[i]) for i in (1, 2, 3)}
    else:
        cut = {1: 0.5, 2: 0.75, 3: 0.9}
    context = history[len(history) - (size - 1) :]
    after = {gram[-1]: c for gram, c in counts.items() if gram[:-1] == context}
    lower = slow_kneser_ney(corpus, history, token, top, size - 1, vocabulary)
    if len(context) < size - 1 or not after:
        return lower
    own = after.get(token, 0)
    kept = own - cut[min(own, 3)] if own else 0
    return (kept + sum(cut[min(c, 3)] for c in after.values()) * lower) / sum(after.values())


@pytest.mark.parametrize("words", [5, 12])
def test_trigram_equals_the_slow_calculation_and_sums_to_one(ngram, words: int) -> None:
    draw = random.Random(words)
    corpus = [
        [0, *(min(draw.randrange(2, words), draw.randrange(2, words)) for _ in range(draw.randrange(1, 9))), 1]
        for _ in range(25)
    ]
    model = ngram.fit(corpus, 3, words)
    for history in [(0,), (0, 2), (0, 3, 2), (0, 4, 4, 3), (0, 2, 1)]:
        fast = [ngram.probability(model, list(history), token) for token in range(words)]
        slow = [slow_kneser_ney(corpus, history, token, 3, 3, words) for token in range(words)]
        assert fast == pytest.approx(slow, rel=1e-12)
        assert sum(fast) == pytest.approx(1, rel=1e-12)
        assert min(fast) > 0


def test_ngram_loss_is_the_mean_over_every_token_after_bos(ngram) -> None:
    corpus = [[0, 2, 3, 1], [0, 2, 2, 1], [0, 3, 1]]
    model = ngram.fit(corpus, 3, 4)
    judged = [[0, 2, 3], [0, 3]]
    terms = [ngram.probability(model, h, t) for h, t in (([0], 2), ([0, 2], 3), ([0], 3))]
    assert ngram.loss(model, judged) == pytest.approx(-sum(map(math.log, terms)) / 3)
