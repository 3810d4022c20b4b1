"""Arrays kept on disk: only what was written comes back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from accelsim.core import cache as shelf

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(7)}


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "key.npz"
    shelf.write(path, ARRAYS)
    found = shelf.read(path)
    assert found is not None
    assert sorted(found) == ["a", "b"]
    assert all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)


def test_another_content_or_another_name_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "key.npz"
    shelf.write(path, ARRAYS)
    shutil.copy(path, tmp_path / "other.npz")
    assert shelf.read(tmp_path / "other.npz") is None
    with np.load(path) as file:
        arrays = dict(file)
    for name, changed in (("a", arrays["a"] * 3), ("a", arrays["a"].astype(np.float32)), ("b", np.array(8))):
        np.savez(path, **{**arrays, name: changed})
        assert shelf.read(path) is None
    np.savez(path, **ARRAYS)  # without a checksum
    assert shelf.read(path) is None
