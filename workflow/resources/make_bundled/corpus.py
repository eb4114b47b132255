"""Where the text comes from: the English documentation inside CPython's standard library.

Three kinds of passage, all under the Python Software Foundation licence: docstrings
(read with `ast`; nothing is imported or run), the language reference's topics
(`pydoc_data/topics.py`) and comments of two or more lines. Order is by path and
line, so the result depends on the Python version alone.
"""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOREIGN = {"site-packages", "dist-packages", "__pycache__", "pydoc_data"}
MIN_CHARS = 40
TARGET_CHARS = (160, 340)
BOILERPLATE = re.compile(r"copyright|licen[sc]e|warrant|permission to use|[\w.]+@[\w-]+\.\w", re.IGNORECASE)
NOT_PROSE_LINE = re.compile(r"\s*(>>>|\.\.\. |[-=*~^+#]{3,}\s*$)")


@dataclass(frozen=True)
class Passage:
    """One line of text; `group` is the module or topic it was found in."""

    group: str
    kind: str  # docstring, topic or comment
    text: str


def collect(root: Path | None = None) -> list[Passage]:
    """All passages of the running Python, exact duplicates dropped (the first stays)."""
    root = root or Path(sysconfig.get_path("stdlib"))
    seen: set[str] = set()
    kept = []
    for passage in [*module_passages(root), *topic_passages(root)]:
        if wanted(passage) and passage.text not in seen:
            seen.add(passage.text)
            kept.append(passage)
    return kept


def wanted(passage: Passage) -> bool:
    """False for scraps, notices of copyright, addresses and what is not English text."""
    text = passage.text
    letters = sum(c == " " or "a" <= c.lower() <= "z" for c in text) / max(len(text), 1)
    enough = 0.86 if passage.kind == "comment" else 0.70
    return len(text) >= MIN_CHARS and letters >= enough and not BOILERPLATE.search(text)


def module_passages(root: Path) -> Iterator[Passage]:
    """Docstrings and comments of every module below `root`, in order of path and line."""
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if FOREIGN & set(parts) or any(part.startswith("config-") for part in parts):
            continue
        try:
            source = path.read_text(encoding="utf-8")
            tree = ast.parse(source)
        except (SyntaxError, ValueError):  # the test suite holds broken files on purpose
            continue
        group = module_group(path, root)
        for doc in docstrings(tree):
            for text in pieces(doc):
                yield Passage(group, "docstring", text)
        for comment in comments(source):
            for text in pieces(comment):
                yield Passage(group, "comment", text)


def module_group(path: Path, root: Path) -> str:
    """The module a file belongs to, with twins (`_pyio` and `io`) under one name."""
    parts = path.relative_to(root).with_suffix("").parts
    return "/".join(parts[:2]).removeprefix("_py").removeprefix("_").removesuffix("/__init__")


def docstrings(tree: ast.Module) -> Iterator[str]:
    """The docstrings of a module, its classes and its functions."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            doc = ast.get_docstring(node)
            if doc:
                yield doc


def comments(source: str) -> Iterator[str]:
    """Runs of two or more lines that hold only a comment, without their marks."""
    run: list[str] = []
    for line in [*source.splitlines(), ""]:
        line = line.strip()
        if line.startswith("#") and not line.startswith("#!"):
            run.append(line.lstrip("#: ").strip())
            continue
        if len(run) > 1:
            yield "\n".join(run)
        run = []


def topic_passages(root: Path) -> Iterator[Passage]:
    """The language reference's topics: the one dictionary literal of `pydoc_data/topics.py`."""
    tree = ast.parse((root / "pydoc_data" / "topics.py").read_bytes())
    table = next(node.value for node in tree.body if isinstance(node, ast.Assign))
    for name, text in sorted(ast.literal_eval(table).items()):
        for piece in pieces(text):
            yield Passage(f"topic/{name}", "topic", piece)


def clean(text: str) -> str:
    """The text on one line: doctest lines and rulers dropped, white space collapsed."""
    return " ".join(" ".join(ln for ln in text.splitlines() if not NOT_PROSE_LINE.match(ln)).split())


def pieces(doc: str) -> Iterator[str]:
    """Cut a text at blank lines and, where long, after sentences; join short neighbours."""
    low, high = TARGET_CHARS
    held = ""
    for paragraph in re.split(r"\n\s*\n", doc):
        for sentence in sentences(clean(paragraph), high):
            if held and (len(held) + len(sentence) > high or min(len(held), len(sentence)) >= low):
                yield held
                held = ""
            held = f"{held} {sentence}".strip()
    if held:
        yield held


def sentences(text: str, limit: int) -> Iterator[str]:
    """The text whole if it is short enough, else cut after full stops to at most `limit` characters."""
    held = ""
    for sentence in re.split(r"(?<=[.:;!?]) (?=\S)", text) if len(text) > limit else [text]:
        if held and len(held) + len(sentence) + 1 > limit:
            yield held
            held = ""
        held = f"{held} {sentence}".strip()
    if held:
        yield held
