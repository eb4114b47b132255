"""What a person meets who calls a part by hand, or whose cache is damaged: a plain answer, no internal error."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from critical_weights.hub.cached import find_cached

ROOT = Path(__file__).resolve().parents[1]
COMMIT = "a1" * 20


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that the hub's cache has of a/b, with weights in one shard and the branch ``main``."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--a--b"
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    for name in ("config.json", "model-1.safetensors"):
        (snapshot / name).write_text("{}")
    index = {"weight_map": {"t": "model-1.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize(
    "content",
    [b"{", b"", b"null", b"[]", b"{}", b"\xff\xfe", b'{"weight_map": null}', b'{"weight_map": {}}',
     b'{"weight_map": {"t": []}}'],
)  # fmt: skip
def test_a_damaged_index_is_not_in_the_cache(cached: Path, content: bytes) -> None:
    assert find_cached("a/b", "main").commit == COMMIT
    (cached / "snapshots" / COMMIT / "model.safetensors.index.json").write_bytes(content)
    assert find_cached("a/b", "main") is None


def test_hashes_are_those_of_the_blobs_where_repositories_share_them(cached: Path, tmp_path: Path) -> None:
    """The hub's client may keep the bytes under a name of its own: the blob is then a link as well."""
    sha256, own = "ab" * 32, tmp_path / "shared" / ("cd" * 32)
    own.parent.mkdir()
    own.write_text("{}")
    (cached / "blobs").mkdir()
    (cached / "blobs" / sha256).symlink_to(own)
    link = cached / "snapshots" / COMMIT / "model-1.safetensors"
    link.unlink()
    link.symlink_to(Path("..", "..", "blobs", sha256))
    files = {file.name: file for file in find_cached("a/b", "main").files}
    assert files["model-1.safetensors"].sha256 == sha256
    assert files["config.json"].sha256 is None


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"\0", b".."])
def test_a_damaged_ref_is_not_in_the_cache(cached: Path, content: bytes) -> None:
    (cached / "refs" / "main").write_bytes(content)
    assert find_cached("a/b", "main") is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_rounding_of_the_docs_leaves_rows_of_zeros(dtype: torch.dtype) -> None:
    """The two lines of docs/export.md are run as they stand there."""
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    lines = re.search(r"^    scale = .*\n    weight\.copy_\(.*$", text, re.MULTILINE).group()
    weight = torch.tensor([[0.0, 0.0], [7.0, 2.9]], dtype=dtype)
    exec("\n".join(line.strip() for line in lines.splitlines()), {"torch": torch, "weight": weight})
    assert weight.tolist() == [[0, 0], [7, 3]]
