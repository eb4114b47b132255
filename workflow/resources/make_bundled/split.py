"""What trains and what is held out, and which held-out passages become the bundled texts.

Whole modules and topics are held out, never single passages. A held-out passage is
dropped when more than a fifth of its eight-word runs occur in the training texts or
in a held-out passage kept before it (so near-duplicates are in neither).
"""

from __future__ import annotations

import random
import re
from collections import Counter

from corpus import Passage

SHINGLE_WORDS = 8
MAX_OVERLAP = 0.2
LITTLE_WORD = re.compile("the|a|an|to|is|of|and|in|that|it|be|this|for|are|or|with|as|by|not|if")


def split(passages: list[Passage], share: float, seed: int) -> tuple[list[str], list[str]]:
    """(training texts, held-out passages fit to read); `share` of all characters is set aside.

    The test suite's modules always train: their prose is about their fixtures.
    """
    sizes: Counter[str] = Counter()
    for passage in passages:
        sizes[passage.group] += len(passage.text)
    groups = sorted(group for group in sizes if not group.startswith("test"))
    random.Random(seed).shuffle(groups)
    held_groups: set[str] = set()
    left = share * sum(sizes.values())
    for group in groups:
        if sizes[group] <= left:
            held_groups.add(group)
            left -= sizes[group]
    train = [p.text for p in passages if p.group not in held_groups]
    known: set[str] = set()
    for text in train:
        known |= shingles(text)
    held_out = []
    for passage in passages:
        if passage.group in held_groups and passage.kind != "comment" and is_readable(passage.text):
            own = shingles(passage.text)
            if len(own & known) <= MAX_OVERLAP * len(own):
                held_out.append(passage.text)
                known |= own
    return train, held_out


def shingles(text: str) -> set[str]:
    """The runs of eight words in a text, in lower case, without punctuation."""
    words = re.findall(r"\w+", text.lower())
    last = max(len(words) - SHINGLE_WORDS, 0)
    return {" ".join(words[i : i + SHINGLE_WORDS]) for i in range(last + 1)}


def is_readable(text: str) -> bool:
    """True for whole sentences of English: mostly letters, common little words among them."""
    words = [word.strip('.,;:()"').lower() for word in text.split()]
    letters = sum(c == " " or c.isalpha() for c in text) / len(text)
    little = sum(LITTLE_WORD.fullmatch(word) is not None for word in words) / len(words)
    return letters > 0.9 and little > 0.22 and text[0].isupper() and text[-1] in ".!?" and len(words) >= 22


def two_halves(
    texts: list[str], lengths: list[int], count: int, seed: int, low: int = 40, high: int = 110
) -> tuple[list[str], list[str]]:
    """(calibration, evaluation): `count` texts each of `low` to `high` tokens, drawn by `seed`.

    Raises:
        ValueError: if too few texts have such a length.
    """
    fit = [text for text, length in zip(texts, lengths, strict=True) if low <= length <= high]
    if len(fit) < 2 * count:
        raise ValueError(f"only {len(fit)} held-out passages of {low} to {high} tokens, {2 * count} needed")
    drawn = random.Random(seed).sample(fit, 2 * count)
    return drawn[:count], drawn[count:]
