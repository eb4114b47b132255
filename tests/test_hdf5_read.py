"""Datasets read through h5py's lower layer: against h5py's own way."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from critical_weights.store.hdf5_read import has_dataset, open_group, read_dataset, read_present

ARRAYS = {
    "scores": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "index": np.array([3, 1, 2**40], np.int64),
    "big_endian": np.array([1.5, -2], ">f8"),
    "nothing": np.zeros((0, 5), np.float32),
    "one": np.float64(2.5),
}


@pytest.fixture
def group(tmp_path: Path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, values in ARRAYS.items():
            file[f"tensors/a.b/{name}"] = values
    with h5py.File(tmp_path / "a.h5", "r") as file:
        yield open_group(file["tensors"], "a.b")


@pytest.mark.parametrize("name", ARRAYS)
def test_a_dataset_is_what_h5py_reads(group: h5py.Group, name: str) -> None:
    assert has_dataset(group, name)
    got = read_dataset(group, name)
    assert got.dtype == group[name].dtype
    np.testing.assert_array_equal(got, group[name][()])


def test_what_is_not_there_is_left_out_or_an_error(group: h5py.Group) -> None:
    assert not has_dataset(group, "none")
    assert list(read_present(group, ["one", "none", "index"])) == ["one", "index"]
    with pytest.raises(KeyError, match="none"):
        read_dataset(group, "none")
    with pytest.raises(ValueError, match="none"):
        open_group(group, "none")
