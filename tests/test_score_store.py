"""The score store: what goes in comes out; what is not a complete store of the right settings says so in one line."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from critical_weights.errors import StoreError
from critical_weights.files import sha256_file
from critical_weights.store import schema, write
from critical_weights.store.histogram import histogram_edges
from critical_weights.store.read import open_store
from critical_weights.store.schema import ROOT_ATTRIBUTES, TensorScores
from critical_weights.store.write import StoreWriter, create_store
from synthetic_stores import default_specs, random_scores, write_store

ATTRIBUTES: dict[str, Any] = {
    "metric": "grad_squared", "units": "nats", "normalisation": "none", "model": "tiny", "model_revision": "",
    "model_sha256": "ab" * 32, "calibration_sha256": None, "n_texts": 3, "n_tokens": 17, "corpus_loss": 2.5, "seed": 42,
    "model_dtype": "float32", "accumulator_dtype": "float32", "versions": {"torch": "2"},
    "checks": {"laws": [{"law": "a", "error": 1e-9, "reason": None}]}, "skipped": {"x.weight": "no Linear"},
}  # fmt: skip


def _tensor(name: str, position: int, shape: tuple[int, ...], axes: tuple[str, ...], **other: Any) -> TensorScores:
    rng = np.random.default_rng(position)
    top = {
        "top_score": rng.random(3, np.float32), "top_index": rng.integers(0, 9, 3),
        "top_weight": rng.random(3, np.float32), "top_gradient": -rng.random(3, np.float32),
        "top_signed": -rng.random(3, np.float32), "top_stderr": rng.random(3, np.float32),
    }  # fmt: skip
    lines = {key: rng.random(4, np.float32) for key in schema.LINE_FIELDS} if len(shape) > 1 else {}
    attributes = {
        "shape": shape, "layer": None, "component": "q_proj", "axes": axes, "tied_to": (), "numel": int(np.prod(shape)),
        "zeros": 2, "nonfinite": 0, "sum": 0.1, "sum_sq": 1e-300, "min": 0.0, "max": 3.4e38, **other,
    }  # fmt: skip
    counts = rng.integers(0, 2**40, len(histogram_edges()) - 1)
    return TensorScores(name, position, attributes, counts, top, lines, rng.random(shape, np.float32))


TENSORS = [
    _tensor("lm_head.weight", 9, (5, 4), ("row", "col"), tied_to=("wte.weight", "wpe.weight")),
    _tensor("h.0.attn.c_attn.weight", 1, (4, 6), ("col", "row"), layer=0, clipped=7),
    _tensor("h.10.norm.bias", 2, (4,), ("row",), layer=10),
    _tensor("h.2.experts.down_proj", 3, (2, 3, 4), ("expert", "row", "col"), layer=2, tied_to=("one",)),
    _tensor("scale", 4, (), ()),
]


def _write(path: Path, tensors: list[TensorScores] = TENSORS, **attributes: Any) -> Path:
    with create_store(path) as writer:
        for tensor in tensors:
            writer.add(tensor)
        writer.finish(ATTRIBUTES | attributes)
    return path


def test_everything_comes_back(tmp_path: Path) -> None:
    with open_store(_write(tmp_path / "a.h5")) as store:
        assert store.attributes == ATTRIBUTES | {"schema_version": "1", "complete": True}
        assert set(store.attributes) == set(ROOT_ATTRIBUTES)
        np.testing.assert_array_equal(store.edges, histogram_edges())
        assert store.names == ["h.0.attn.c_attn.weight", "h.10.norm.bias", "h.2.experts.down_proj", "scale",
                               "lm_head.weight"]  # fmt: skip
        assert "h.0.attn.c_attn.weight" in store
        assert "h.0.attn.c_attn" not in store
        for tensor in TENSORS:
            assert store.tensor_attributes(tensor.name) == tensor.attributes | {"position": tensor.position}
            np.testing.assert_array_equal(store.histogram(tensor.name), tensor.histogram)
            for got, want in (
                (store.candidates(tensor.name), tensor.candidates),
                (store.lines(tensor.name), tensor.lines),
            ):
                assert got.keys() == want.keys()
                for key, value in want.items():
                    assert got[key].dtype == value.dtype
                    np.testing.assert_array_equal(got[key], value)
            assert store.has_dense(tensor.name)
            assert store.dense(tensor.name).dtype == np.float32
            np.testing.assert_array_equal(store.dense(tensor.name), tensor.scores, strict=True)


def test_attributes_come_back_as_plain_python(tmp_path: Path) -> None:
    with open_store(_write(tmp_path / "a.h5", corpus_loss=None, n_texts=np.int64(3))) as store:
        assert store.attributes["corpus_loss"] is None
        assert type(store.attributes["n_texts"]) is int
        attributes = store.tensor_attributes("lm_head.weight")
        assert attributes["layer"] is None
        assert type(attributes["sum"]) is float
        assert all(type(size) is int for size in attributes["shape"])


def test_some_attributes_read_first_do_not_change_what_is_read_later(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.h5")
    with open_store(path) as store:
        every = {name: store.tensor_attributes(name) for name in store.names}
    with open_store(path) as store:
        for name, own in every.items():
            assert store.tensor_attributes(name, ("axes", "sum")) == {"axes": own["axes"], "sum": own["sum"]}
            store.tensor_attributes(name)["sum"] = "changed by a reader"
            assert store.tensor_attributes(name) == own
            with pytest.raises(StoreError, match="damaged"):
                store.tensor_attributes(name, ("of another version",))


def test_without_dense_scores_the_small_tier_is_all_there(tmp_path: Path) -> None:
    specs = default_specs()
    with open_store(write_store(tmp_path / "a.h5", specs, random_scores(specs, 1), dense=False)) as store:
        assert not any(store.has_dense(name) for name in store.names)
        assert all(len(store.candidates(name)["top_score"]) for name in store.names)
        assert len(store.names) == 6


def test_an_unknown_tensor_is_a_mistake_in_the_code_not_damage(tmp_path: Path) -> None:
    with open_store(_write(tmp_path / "a.h5")) as store, pytest.raises(KeyError, match="nope"):
        store.histogram("nope")


@pytest.mark.parametrize("shape", [(300, 2000), (2, 3, 400_000), (700_000,), (1, 1), (3, 700, 900), (5, 1)])
def test_dense_scores_are_chunked_in_whole_trailing_rows_of_a_megabyte(tmp_path: Path, shape: tuple[int, ...]) -> None:
    tensor = _tensor("t", 0, shape, ("row",))
    with h5py.File(_write(tmp_path / "a.h5", [tensor])) as file:
        chunks = file["tensors/t/scores"].chunks
    size = int(np.prod(chunks))
    assert size <= 1 << 18
    assert size > min(np.prod(shape), 1 << 18) / 2
    whole = [i for i, (c, s) in enumerate(zip(chunks, shape, strict=True)) if c == s]
    cut = [i for i, (c, s) in enumerate(zip(chunks, shape, strict=True)) if 1 < c < s]
    assert len(cut) <= 1
    assert all(i > cut[0] for i in whole if shape[i] > 1 and cut), "only leading axes are cut"
    with open_store(tmp_path / "a.h5") as store:
        np.testing.assert_array_equal(store.dense("t"), tensor.scores)


def test_two_writes_are_byte_identical(tmp_path: Path) -> None:
    first, second = _write(tmp_path / "a.h5"), _write(tmp_path / "b" / "other_name.h5")
    assert sha256_file(first) == sha256_file(second)
    assert sha256_file(_write(tmp_path / "c.h5", seed=43)) != sha256_file(first)


def test_it_appears_only_when_complete(tmp_path: Path) -> None:
    with create_store(tmp_path / "a.h5") as writer:
        writer.add(TENSORS[0])
        assert not (tmp_path / "a.h5").exists()
        writer.finish(ATTRIBUTES)
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_exception_nothing_is_left(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with create_store(tmp_path / "a.h5") as writer:
            writer.add(TENSORS[0])
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_finish_wants_just_the_schemas_attributes(tmp_path: Path) -> None:
    def write(attributes: dict[str, Any]) -> None:
        with create_store(tmp_path / "a.h5") as writer:
            writer.finish(attributes)

    with pytest.raises(ValueError, match="'more'"):
        write(ATTRIBUTES | {"more": 1})
    with pytest.raises(ValueError, match="'seed'"):
        write({key: value for key, value in ATTRIBUTES.items() if key != "seed"})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_before_hdf5_meets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HDF5 crashes the process where a full disk keeps it from closing a file (seen with h5py 3.16)."""
    usage = type("Usage", (), {"free": 16_800_000})()
    monkeypatch.setattr(write.shutil, "disk_usage", lambda folder: usage)
    small, large = _tensor("s", 0, (3,), ("row",)), _tensor("l", 1, (300, 300), ("row", "col"))
    with pytest.raises(
        StoreError,
        match=r"no space left in .* for the scores of l; got 16.8 MB free; expected 17.2 MB. .* dense: false",
    ):
        _write(tmp_path / "a.h5", [small, large])
    usage.free = 1_000_000
    with pytest.raises(StoreError, match=r"for the scores of s; got 1.0 MB free; .* keep fewer candidates"):
        _write(tmp_path / "a.h5", [dataclasses.replace(small, scores=None)])
    assert list(tmp_path.iterdir()) == []


# What is not a store of these settings


def _refused(path: Path, words: str, expected: dict[str, Any] | None = None) -> None:
    with pytest.raises(StoreError, match=words) as caught, open_store(path, expected):
        pass
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_store(tmp_path: Path) -> None:
    _refused(tmp_path / "a.h5", "there is no score store .* Run the scoring stage")


def test_an_incomplete_store(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        StoreWriter(file).add(TENSORS[0])
    _refused(tmp_path / "a.h5", "is not complete")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["something"] = 1
    _refused(tmp_path / "b.h5", "is not complete, or no score store. Name a score store")


@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.999])
def test_a_store_cut_short(tmp_path: Path, part: float) -> None:
    path = _write(tmp_path / "a.h5")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    _refused(path, "cannot be read: it is cut short, damaged or no HDF5 file")
    _refused(path, "Delete it; the next run scores again" if part else "If the workflow made this file, delete it")


def test_not_hdf5(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("rank,score\n1,2\n" * 100)
    _refused(tmp_path / "a.h5", r"no HDF5 file .*\. Name a score store")
    _refused(tmp_path, "got a folder. Name a score store")


def test_another_schema(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = "0"
    _refused(path, "another schema; got 0; expected 1")


@pytest.mark.parametrize("key", ["model_sha256", "calibration_sha256", "seed"])
def test_other_settings_are_shown_both(tmp_path: Path, key: str) -> None:
    path = _write(tmp_path / "a.h5", calibration_sha256="cd")
    got = (ATTRIBUTES | {"calibration_sha256": "cd"})[key]
    _refused(path, f"made with another {key}; got {got}; expected other. Name the right store, or delete this one",
             {"metric": "grad_squared", key: "other"})  # fmt: skip
    with open_store(path, {"metric": "grad_squared", "corpus_loss": 2.5, "checks": ATTRIBUTES["checks"]}) as store:
        assert store.names


def test_scores_that_no_text_made_fit_all_texts(tmp_path: Path) -> None:
    with open_store(_write(tmp_path / "a.h5", calibration_sha256=None), {"calibration_sha256": "cd"}) as store:
        assert store.attributes["calibration_sha256"] is None


def test_random_damage_is_one_line_whatever_is_hit(tmp_path: Path) -> None:
    content = _write(tmp_path / "a.h5").read_bytes()
    rng = random.Random(0)
    told = []
    for _ in range(40):
        damaged = bytearray(content)
        start, length = rng.randrange(len(content)), rng.choice([8, 64, 512])
        damaged[start : start + length] = rng.randbytes(len(damaged[start : start + length]))
        (tmp_path / "b.h5").write_bytes(damaged)
        try:
            with open_store(tmp_path / "b.h5") as store:
                for name in store.names:
                    for read in (store.tensor_attributes, store.histogram, store.candidates, store.lines, store.dense):
                        read(name)
        except StoreError as error:
            told.append(str(error))
    assert len(told) > 3
    assert all(str(tmp_path / "b.h5") in line and "\n" not in line for line in told)


def test_an_error_of_the_reader_is_not_blamed_on_the_store(tmp_path: Path) -> None:
    """A full disk while a table is written from a store once told the user to delete the store."""
    path = _write(tmp_path / "a.h5")

    def fail() -> None:
        with open_store(path):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail()


def test_scores_in_another_dtype_are_kept_as_float32(tmp_path: Path) -> None:
    tensor = _tensor("t", 0, (3, 3), ("row", "col"))
    tensor.scores = np.full((3, 3), 0.1)
    with open_store(_write(tmp_path / "a.h5", [tensor])) as store:
        assert (store.dense("t") == np.float32(0.1)).all()
