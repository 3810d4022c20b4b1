"""A journal whose bytes were changed: never a wrong figure, never a traceback."""

from __future__ import annotations

import csv
import io
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from accelsim.core.errors import InputError
from accelsim.sweeps.journal import _COLUMNS, _KEYS, Journal, Member, Record
from accelsim.sweeps.run import run_sweep
from tests.conftest import Outcome

Command = Callable[..., Outcome]
GRID = {"array.rows": [4, 8, 16], "array.cols": [4, 8]}
ROWS = [(table, column) for table, columns in _COLUMNS.items() for column in columns]


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing them takes a second, and they are not what is asked here."""
    monkeypatch.setattr("accelsim.report.sweeps.draw_all", lambda *_: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A sweep file, its undisturbed directory, and its table."""
    folder = tmp_path_factory.mktemp("whole")
    path = folder / "test.yaml"
    path.write_text(
        "name: test\nworkloads: vgg9_cifar10\nhardware: sata\nobjectives: [energy_pj, latency_ns]\n"
        "parameters: {array.rows: [4, 8, 16], array.cols: [4, 8]}\n"
    )
    run_sweep(path, out=folder / "out", jobs=1)
    return path, folder / "out", (folder / "out" / "results.csv").read_text()


@pytest.fixture
def damaged(whole: tuple[Path, Path, str], tmp_path: Path) -> Path:
    """A copy of its journal, to be damaged."""
    shutil.copy(whole[1] / "journal.sqlite", tmp_path / "journal.sqlite")
    return tmp_path / "journal.sqlite"


def points(text: str) -> set[str]:
    """Rows of a table, without whether they are on the front, which other points decide."""
    rows = csv.DictReader(io.StringIO(text))
    return {repr({name: value for name, value in row.items() if name != "pareto"}) for row in rows}


def change(path: Path, table: str, column: str, rng: random.Random) -> None:
    """One character (or the value) of one column of one row, as SQLite would read it after a fault of the disk."""
    keys = _KEYS[table].split(", ")
    with sqlite3.connect(path) as db:
        rows = db.execute(f"SELECT {', '.join(keys)}, {column} FROM {table}").fetchall()
        *place, value = rng.choice(rows)
        if isinstance(value, str) and value:
            at = rng.randrange(len(value))
            changed: Any = value[:at] + chr(ord(value[at]) ^ (1 << rng.randrange(6))) + value[at + 1 :]
        else:
            changed = "x" if value is None else value + 100
        condition = " AND ".join(f"{key} = ?" for key in keys)
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {condition}", (changed, *place))
    db.close()


@pytest.mark.parametrize(("table", "column"), ROWS, ids=[".".join(row) for row in ROWS])
def test_every_column_of_every_table(
    whole: tuple[Path, Path, str], damaged: Path, command: Command, table: str, column: str
) -> None:
    rng = random.Random(f"{table}.{column}")
    for _ in range(2):
        shutil.copy(whole[1] / "journal.sqlite", damaged)
        change(damaged, table, column, rng)
        shown = command("sweep", "show", str(damaged), "--format", "csv")
        if table == "sweeps":
            assert (shown.code, "the journal has no sweep" in shown.err) == (2, True)
        else:
            assert shown.code == 0, shown.err
            assert "damaged in the journal and left out" in shown.err or (table, column) == ("members", "sweep")
            assert points(shown.out) < points(whole[2])
        done = command("sweep", str(whole[0]), "--out", str(damaged.parent), "-j", "1", "--resume")
        assert done.code == 0, done.err
        assert (damaged.parent / "results.csv").read_text() == whole[2]
        if column not in ("key", "sweep"):  # a row under another key is nobody's
            assert "1 damaged row of the journal" in done.err
        assert command("sweep", "show", str(damaged)).err == ""
    kept = run_sweep(whole[0], out=damaged.parent, jobs=1)[1]
    assert (kept.served, kept.damaged) == (6, 0)


def test_show_names_the_points(damaged: Path, command: Command) -> None:
    with sqlite3.connect(damaged) as db:
        db.execute("UPDATE points SET figures = replace(figures, '1', '2') WHERE key = "
                   "(SELECT key FROM members WHERE position = 3)")  # fmt: skip
    shown = command("sweep", "show", str(damaged))
    assert "1 point is damaged" in shown.err
    assert "point 3 (workload vgg9_cifar10, hardware sata, array.rows 8, array.cols 8)" in shown.err


def faults(size: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Places in a file and what is exclusive-ored there."""
    return st.lists(st.tuples(st.integers(0, size - 1), st.integers(1, 255)), min_size=1, max_size=4)


def outcome(whole: tuple[Path, Path, str], path: Path, command: Command) -> Iterator[str]:
    """What `show` and a further run make of a journal: nothing wrong; a word on damaged rows, one line of complaint."""
    shown = command("sweep", "show", str(path), "--format", "csv")
    if shown.code == 0:
        assert points(shown.out) <= points(whole[2]), "a figure that no machine gave"
    else:
        assert (shown.code, shown.err.count("accelsim: ")) == (2, 1), shown.err
        assert "Traceback" not in shown.err
    done = command("sweep", str(whole[0]), "--out", str(path.parent), "--journal", str(path), "-j", "1", "--resume")
    if done.code == 0:
        assert (path.parent / "results.csv").read_text() == whole[2]
        yield "mended"
    else:
        assert (done.code, done.err.count("accelsim: ")) == (2, 1), done.err
        assert "Traceback" not in done.err
        assert str(path) in done.err
        yield "refused"


SETTINGS = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@SETTINGS
@given(st.data())
def test_bytes_of_the_file(
    whole: tuple[Path, Path, str], tmp_path: Path, command: Command, data: st.DataObject
) -> None:
    path = tmp_path / "journal.sqlite"
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    content = bytearray((whole[1] / "journal.sqlite").read_bytes())
    # Most of a file is unused; half of the faults go where the rows are.
    used = [place for place, byte in enumerate(content) if byte]
    for at, mask in data.draw(faults(len(content))):
        place = used[at % len(used)] if mask % 2 else at
        content[place] ^= mask
    path.write_bytes(content)
    list(outcome(whole, path, command))


def test_a_truncated_file(whole: tuple[Path, Path, str], tmp_path: Path, command: Command) -> None:
    content = (whole[1] / "journal.sqlite").read_bytes()
    for part, length in enumerate([0, 1, 50, 100, 4096, 5000, len(content) // 2, len(content) - 1]):
        path = tmp_path / str(part) / "journal.sqlite"
        path.parent.mkdir()
        path.write_bytes(content[:length])
        list(outcome(whole, path, command))


@pytest.mark.parametrize("fault", ["zeros", "cut", "noise", "elsewhere"])
def test_a_damaged_log(whole: tuple[Path, Path, str], tmp_path: Path, command: Command, fault: str) -> None:
    """What a killed process leaves beside the journal, damaged in turn."""
    path, left = tmp_path / "live" / "journal.sqlite", tmp_path / "left" / "journal.sqlite"
    left.parent.mkdir()
    with Journal(path) as journal:
        journal.begin("s", "s", {})
        journal.record("k", Record("done", {"energy_pj": 1.0}), {}, "v", [Member("s", 0, {}, True)])
        for file in path.parent.iterdir():
            shutil.copy(file, left.parent / file.name)
    log = left.with_name("journal.sqlite-wal")
    content = log.read_bytes()
    assert len(content) > 4096
    rng = random.Random(0)
    log.write_bytes({"zeros": bytes(len(content)), "cut": content[: len(content) // 2],
                     "noise": rng.randbytes(len(content)), "elsewhere": content[::-1]}[fault])  # fmt: skip
    list(outcome(whole, left, command))


FOREIGN = {
    "another SQLite file": ("CREATE TABLE moz_places (id, url)", "an SQLite file of something else"),
    "tables of ours by chance": ("CREATE TABLE points (a, b)", "an SQLite file of something else"),
    "another application": ("PRAGMA application_id = 7", "an SQLite file of something else"),
    "another version alone": ("PRAGMA user_version = 2", "an SQLite file of something else"),
    "format 3": (
        "CREATE TABLE points (key, version); CREATE TABLE sweeps (a); CREATE TABLE members (a); "
        "INSERT INTO points VALUES ('k', '0.3.1+abc'); PRAGMA user_version = 3",
        "a journal of format 3, written by accelsim 0.3.1; this one reads format 4",
    ),
    "format 3 without points": (
        "CREATE TABLE points (a); CREATE TABLE sweeps (a); CREATE TABLE members (a); PRAGMA user_version = 3",
        "a journal of format 3; this one reads format 4",
    ),
    "format 5": (
        f"PRAGMA application_id = {int.from_bytes(b'acsj', 'big')}; PRAGMA user_version = 5; CREATE TABLE points (a)",
        "a journal of format 5; this one reads format 4",
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_files_of_others_are_left_alone(
    whole: tuple[Path, Path, str], tmp_path: Path, command: Command, case: str
) -> None:
    script, message = FOREIGN[case]
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript(script)
    db.close()
    before = path.read_bytes()
    for words in (["show", str(path)], [str(whole[0]), "--out", str(tmp_path)]):
        found = command("sweep", *words)
        assert (found.code, len(found.err.splitlines())) == (2, 1)
        assert f"{path}: {message}" in found.err
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["journal.sqlite"]


def test_places_that_are_no_journal(whole: tuple[Path, Path, str], tmp_path: Path, command: Command) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("pipe", "directory", "n" * 300, "file/below"):
        found = command("sweep", str(whole[0]), "--out", str(tmp_path / "out"), "--journal", str(tmp_path / name))
        assert (found.code, len(found.err.splitlines())) == (2, 1), found.err
        assert "Traceback" not in found.err


def test_an_error_that_is_no_text(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.record("key", Record("failed", {}, "no file 'a\udcff'"), {}, "v", [])
        found = journal.find("key")
    assert found is not None
    assert found.error == "no file 'a\\udcff'"


def test_damage_of_a_file_that_cannot_be_written(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(damaged, "points", "figures", random.Random(1))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with Journal(damaged, must_exist=True) as journal:
        places = journal.places(journal.sweeps()[0].sweep)
        assert (len(places.rows), len(places.damaged)) == (5, 1)
        with pytest.raises(InputError, match="readonly database"):
            journal.begin("s", "s", {})
