"""What is written is there whole or not at all, whenever its writer is killed, and nothing lies about afterwards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from accelsim.core import staging
from accelsim.core.errors import InputError, Problem
from accelsim.core.files import write_atomic
from accelsim.core.staging import staged_directory, staged_file, together
from tests.killed import killed_at_every_step


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    path, seen = tmp_path / "result.json", set()
    write_atomic(path, "old" * 999)
    for _ in killed_at_every_step(lambda: write_atomic(path, "new" * 999)):
        seen.add(path.read_text())
        write_atomic(path, "old" * 999)
        assert names(tmp_path) == ["result.json"]
    assert seen == {"old" * 999, "new" * 999}


def write_two(out: Path) -> None:
    with together(out) as staged:
        write_atomic(staged / "a.json", "new" * 99)
        write_atomic(staged / "b.csv", "new" * 99)


def test_a_new_directory_appears_with_all_its_files(tmp_path: Path) -> None:
    out, seen = tmp_path / "out", set()
    for _ in killed_at_every_step(lambda: write_two(out)):
        seen.add(out.exists())
        assert not out.exists() or names(out) == ["a.json", "b.csv"]
        write_two(out)
        assert names(tmp_path) == ["out"]
        shutil.rmtree(out)
    assert seen == {False, True}


def test_files_in_a_directory_that_exists_are_whole(tmp_path: Path) -> None:
    seen = set()
    for name in ("mine.txt", "a.json", "b.csv"):
        write_atomic(tmp_path / name, "old")
    for _ in killed_at_every_step(lambda: write_two(tmp_path)):
        seen |= {(tmp_path / name).read_text() for name in ("a.json", "b.csv")}
        with together(tmp_path) as staged:
            write_atomic(staged / "a.json", "old")
            write_atomic(staged / "b.csv", "old")
        assert names(tmp_path) == ["a.json", "b.csv", "mine.txt"]
    assert seen == {"old", "new" * 99}


def test_an_error_leaves_all_files_as_they_were(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for before in ([], ["a.json", "b.csv"]):
        for name in before:
            write_atomic(out / name, "old")
        with pytest.raises(InputError) as caught, together(out) as staged:  # noqa: PT012
            write_atomic(staged / "a.json", "new")
            raise InputError(Problem("no such figure", str(staged / "b.csv")))
        assert str(caught.value) == f"{out / 'b.csv'}: no such figure"
        assert (names(out) if before else names(tmp_path)) == before
        assert all((out / name).read_text() == "old" for name in before)


def test_a_directory_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(InputError, match=r"b.csv: cannot be written: Is a directory"):
        write_two(tmp_path)
    assert names(tmp_path) == ["b.csv"]


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match=r"out: expected a directory, found a file"), together(tmp_path / "out"):
        raise AssertionError("nothing is begun")
    with pytest.raises(InputError, match=r"deep: cannot be written"), together(tmp_path / "out" / "deep"):
        raise AssertionError("nothing is begun")


@pytest.mark.parametrize("make", [staged_file, staged_directory])
def test_what_a_living_writer_has_in_hand_stays(tmp_path: Path, make: Callable[..., object]) -> None:
    target = tmp_path / "net"
    with make(target) as first:  # type: ignore[attr-defined]
        with make(target) as second:  # type: ignore[attr-defined]
            assert first.exists()
            assert first != second
        assert names(tmp_path) == [first.name]
    assert names(tmp_path) == []


def test_only_what_was_staged_is_taken_away(tmp_path: Path) -> None:
    mine = [".net.backup12", ".net.staged", ".net.staged-mine", ".net.staged-12345678.txt", ".network.staged-12345678"]
    for name in mine:
        (tmp_path / name).mkdir()
    (tmp_path / ".net.staged-0123abcd").mkdir()
    staging.remove_left(tmp_path / "net")
    assert names(tmp_path) == sorted(mine)


def test_where_there_are_no_locks_age_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "fcntl", None)
    old, young = tmp_path / ".net.staged-00000000", tmp_path / ".net.staged-11111111"
    old.mkdir()
    young.mkdir()
    long_ago = young.stat().st_mtime - 2 * staging.SURELY_LEFT_S
    os.utime(old, (long_ago, long_ago))
    with staged_directory(tmp_path / "net") as mine:
        assert names(tmp_path) == sorted([young.name, mine.name])


def test_names_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    for name in ("n" * 255, "é" * 127):
        write_atomic(tmp_path / name, "there")
        assert names(tmp_path) == [name]
        (tmp_path / name).unlink()
