"""Cached machine code: never older than the kernels it was made of, never needed, harmless when damaged."""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core import config

from accelsim.core import compiled
from accelsim.core.compiled import PACKAGE, drop_stale, sources


def test_every_file_with_kernels_is_watched() -> None:
    watched = set(sources())
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        if path.name != "compiled.py":
            assert "from numba import njit" not in text, path
            assert ("from accelsim.core.compiled import" not in text) or path in watched, path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    cache = tmp_path / "crossbar" / "kernels" / "__pycache__"
    cache.mkdir(parents=True)
    (cache.parent / "mvm.py").write_text("")
    (cache / "mvm.read.0.nbc").write_text("")
    return tmp_path


def dated(path: Path, ago: float) -> None:
    moment = time.time() - ago
    os.utime(path, (moment, moment))


@pytest.mark.parametrize(("edited", "dropped"), [(10.0, 1), (1000.0, 0), (-1000.0, 0)])
def test_caches_older_than_a_kernel_are_dropped(package: Path, edited: float, dropped: int) -> None:
    """Edited after the cache was written, before it, and (by a wrong clock) in the future."""
    (index,) = package.rglob("*.nbc")
    dated(index, 100.0)
    dated(package / "crossbar" / "kernels" / "mvm.py", edited)
    assert drop_stale(package) == dropped
    assert index.exists() == (not dropped)


KERNEL = """
from accelsim.core.compiled import njit

@njit()
def step(x):
    return 3 * x

@njit({options})
def kernel(x):
    return step(x) + {plus}
"""


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`kernels()`: `kernel` of a module in `tmp_path`, as a new process would find it; cached beside it."""
    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setenv("HOME", os.devnull)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("ACCELSIM_CACHE", raising=False)

    def load(options: str = "", plus: int = 1) -> Any:
        path = tmp_path / "tiny.py"
        path.write_text(KERNEL.format(options=options, plus=plus))
        spec = importlib.util.spec_from_file_location("tiny", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        compiled._version.cache_clear()
        spec.loader.exec_module(module)
        return module.kernel

    return load


def hits(kernel: Any) -> int:
    return int(sum(kernel.stats.cache_hits.values()))


def test_a_second_process_finds_what_the_first_compiled(kernels: Callable[..., Any], tmp_path: Path) -> None:
    first, second = kernels(), kernels()
    assert (first(2), hits(first)) == (7, 0)
    assert (second(2), hits(second)) == (7, 1)
    assert (second(2.5), hits(second)) == (8.5, 1)
    third = kernels()
    assert (third(2.5), hits(third)) == (8.5, 1)
    assert not [path for path in (tmp_path / "__pycache__").iterdir() if path.suffix not in (".nbc", ".pyc")]


def test_an_edited_kernel_is_compiled_again(kernels: Callable[..., Any]) -> None:
    kernels()(2)
    edited = kernels(plus=5)
    assert (edited(2), hits(edited)) == (11, 0)


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda content: b"",
    "one byte": lambda content: content[:1],
    "checksum only": lambda content: content[:32],
    "half": lambda content: content[: len(content) // 2],
    "last byte lost": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "zeros": lambda content: bytes(len(content)),
    "random": lambda content: np.random.default_rng(1).bytes(len(content)),
    "random behind the checksum": lambda content: content[:32] + np.random.default_rng(1).bytes(len(content) - 32),
    "text": lambda content: b"not machine code\n" * 9,
    "numba's own": lambda content: content[32:],
} | {f"bit {share:.0%} in": lambda content, share=share: flipped(content, int(share * (len(content) - 1)))  # type: ignore[misc]
     for share in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_compiled_again_and_mended(
    kernels: Callable[..., Any], tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    kernels()(2)
    files = list((tmp_path / "__pycache__").glob("*.nbc"))
    assert len(files) == 2  # kernel and step
    for path in files:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    found, again = kernels(), kernels()
    assert (found(2), hits(found)) == (7, 0)
    assert (again(2), hits(again)) == (7, 1)
    assert capfd.readouterr() == ("", "")


def test_content_of_another_kernel_is_not_taken_for_ones_own(kernels: Callable[..., Any], tmp_path: Path) -> None:
    """As where a directory of caches was put together by hand: whole files, under each other's names."""
    first = kernels()
    first(2), first(2.5)
    one, other = (tmp_path / "__pycache__").glob("tiny.kernel.*.nbc")
    before = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(before)
    second = kernels()
    assert (second(2), second(2.5), hits(second)) == (7, 8.5, 0)


@pytest.mark.parametrize("payload", [b"", b"cos\nno_such_name\n.", b"\x80\x05N.", b"\x80\x05K\x01K\x02\x86."])
def test_what_another_version_kept_there_is_no_error(
    kernels: Callable[..., Any], tmp_path: Path, payload: bytes
) -> None:
    kernels()(2)
    for path in (tmp_path / "__pycache__").glob("*.nbc"):
        assert compiled.write(path, payload)
    assert kernels()(2) == 7


def test_places_that_take_nothing(kernels: Callable[..., Any], tmp_path: Path) -> None:
    """A file where the directory should be, and nothing else to be had."""
    (tmp_path / "__pycache__").write_text("in the way")
    for _ in range(2):
        found = kernels()
        assert (found(2), hits(found)) == (7, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["__pycache__", "tiny.py"]


def test_directories_in_place_of_the_files(kernels: Callable[..., Any], tmp_path: Path) -> None:
    kernels()(2)
    for path in list((tmp_path / "__pycache__").glob("*.nbc")):
        path.unlink()
        path.mkdir()
    assert kernels()(2) == 7


def test_a_directory_that_vanishes_in_between(kernels: Callable[..., Any], tmp_path: Path) -> None:
    found = kernels()
    found(2)
    for path in (tmp_path / "__pycache__").iterdir():
        path.unlink()
    (tmp_path / "__pycache__").rmdir()
    assert found(2.5) == 8.5
    assert list((tmp_path / "__pycache__").glob("*.nbc"))


def test_a_full_disk(kernels: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert kernels()(2) == 7
    assert not list((tmp_path / "__pycache__").iterdir())


@pytest.mark.parametrize("usable", [True, False])
def test_the_directory_that_numba_is_told_is_the_only_one(
    kernels: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, usable: bool
) -> None:
    named = tmp_path / "named"
    if not usable:
        named.write_text("")
    monkeypatch.setattr(config, "CACHE_DIR", str(named))
    for _ in range(2):
        found = kernels()
        assert found(2) == 7
    assert hits(found) == usable
    assert not (tmp_path / "__pycache__").exists()


def test_the_users_cache_where_the_package_is_read_only(
    kernels: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "__pycache__").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    kernels()(2)
    found = kernels()
    assert (found(2), hits(found)) == (7, 1)
    assert list((tmp_path / "xdg" / "accelsim" / "kernels").rglob("*.nbc"))


def test_parallel_kernels_take_turns(kernels: Callable[..., Any]) -> None:
    """Two threads in the simplest of numba's thread pools would end this process."""
    found = kernels("parallel=True")
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(found(2))) for _ in range(4)]
    with compiled._in_parallel:
        for thread in threads:
            thread.start()
        assert not answers
    for thread in threads:
        thread.join()
    assert answers == [7] * 4


def test_signatures_and_closures(kernels: Callable[..., Any]) -> None:
    for cached in (0, 1):
        found = kernels('"i8(i8)"')
        assert (found(2), hits(found)) == (7, cached)
        with pytest.raises(TypeError):
            found("text")
    for plus in (1, 2):

        def closed(x):  # type: ignore[no-untyped-def]
            return x + plus  # noqa: B023

        assert compiled.njit()(closed)(1) == 1 + plus
