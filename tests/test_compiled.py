"""Machine code that numba cached is never older than the kernels it was made of."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from accelsim.compiled import PACKAGE, drop_stale, sources


def test_every_file_with_kernels_is_watched() -> None:
    watched = set(sources())
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        if path.name != "compiled.py":
            assert "from numba import njit" not in text, path
            assert ("from accelsim.compiled import" not in text) or path in watched, path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    cache = tmp_path / "crossbar" / "kernels" / "__pycache__"
    cache.mkdir(parents=True)
    (cache.parent / "mvm.py").write_text("")
    (cache / "mvm.read-1.py311.nbi").write_text("")
    return tmp_path


def dated(path: Path, ago: float) -> None:
    moment = time.time() - ago
    os.utime(path, (moment, moment))


@pytest.mark.parametrize(("edited", "dropped"), [(10.0, 1), (1000.0, 0), (-1000.0, 0)])
def test_caches_older_than_a_kernel_are_dropped(package: Path, edited: float, dropped: int) -> None:
    """Edited after the cache was written, before it, and (by a wrong clock) in the future."""
    (index,) = package.rglob("*.nbi")
    dated(index, 100.0)
    dated(package / "crossbar" / "kernels" / "mvm.py", edited)
    assert drop_stale(package) == dropped
    assert index.exists() == (not dropped)
