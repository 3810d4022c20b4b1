"""kill -9, Ctrl-C, dead workers, full disks: nothing finished is lost, nothing is done twice."""

from __future__ import annotations

import errno
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import accelsim
from accelsim.core.errors import InputError
from accelsim.sweeps.evaluate import Task
from accelsim.sweeps.journal import Journal, Member, Record
from accelsim.sweeps.pools import AdaptivePool, LocalPool
from accelsim.sweeps.run import run_sweep
from tests.conftest import Outcome

Start = Callable[..., subprocess.Popen[str]]
SLOW = {"x": {"range": [0, 9, 1]}, "y": {"range": [0, 5, 1]}}


def _finished(journal: Path) -> int:
    try:
        with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as db:
            return int(db.execute("select count(*) from points").fetchone()[0])
    except sqlite3.Error:
        return 0


def _wait_for(process: subprocess.Popen[str], journal: Path, points: int) -> None:
    while process.poll() is None and _finished(journal) < points:
        time.sleep(0.002)


@pytest.mark.parametrize("jobs", [1, 2])
def test_kill_and_resume(moody: Path, write: Callable[..., Path], start: Start, tmp_path: Path, jobs: int) -> None:
    log = tmp_path / "log"
    path = write(
        hardware=[str(moody)], parameters=SLOW, settings={"seconds": 0.004, "log": str(log)}, objectives=["energy_pj"]
    )
    journal = tmp_path / "out" / "journal.sqlite"
    rng = random.Random(jobs)
    for _ in range(3 - jobs):
        process = start("sweep", path, "-j", jobs, "--out", tmp_path / "out", "--resume")
        _wait_for(process, journal, _finished(journal) + rng.randrange(1, 15))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    before = _finished(journal)
    assert 0 < before < 60
    process = start("sweep", path, "-j", jobs, "--out", tmp_path / "out", "--resume")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert f"{before} of 60 points were in the journal already" in err
    # Only what was in hand when the process died may have been begun twice.
    assert len(log.read_text().splitlines()) <= 60 + 2 * 2 * (1 if jobs == 1 else 2 * 50)
    uninterrupted = accelsim.sweep(path, jobs=1, out=tmp_path / "whole")
    assert (tmp_path / "out" / "results.csv").read_text() == (tmp_path / "whole" / "results.csv").read_text()
    assert len(uninterrupted) == 60


def test_ctrl_c_keeps_everything_finished(
    moody: Path, write: Callable[..., Path], start: Start, tmp_path: Path
) -> None:
    path = write(hardware=[str(moody)], parameters=SLOW, settings={"seconds": 0.02}, objectives=["energy_pj"])
    journal = tmp_path / "out" / "journal.sqlite"
    process = start("sweep", path, "-j", 2, "--out", tmp_path / "out")
    _wait_for(process, journal, 5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; everything finished is in" in err
    assert "Traceback" not in err
    rows, table = _finished(journal), tmp_path / "out" / "results.csv"
    assert 5 <= rows < 60
    # On a machine too busy to draw its pictures in the time left after Ctrl-C, the journal alone has them.
    assert not table.exists() or len(table.read_text().splitlines()) - 1 == rows
    answers, progress = run_sweep(path, out=tmp_path / "out", jobs=1, resume=True)
    assert progress.served == rows
    assert answers.record.state == "finished"


def test_a_dead_worker_is_replaced(moody: Path) -> None:
    task = Task(["vgg9_cifar10"], [str(moody)], "analytical")
    points = [(n, {"workload": 0, "hardware": 0, "for_hardware": {"x": n, "seconds": 0.005}}) for n in range(40)]
    pool = LocalPool(task, 2)
    seen = []
    for number, found in pool.run(iter(points)):
        if len(seen) == 10:
            pool._workers[0].process.kill()
        assert found["status"] == "done"
        seen.append(number)
    pool.close()
    assert sorted(seen) == list(range(40))


def test_a_point_that_kills_its_worker_is_given_up(moody: Path) -> None:
    task = Task(["vgg9_cifar10"], [str(moody)], "analytical")
    points = [(n, {"workload": 0, "hardware": 0, "for_hardware": {"x": n, "die": 3}}) for n in range(8)]
    pool = LocalPool(task, 1)
    found = dict(pool.run(iter(points)))
    pool.close()
    assert {number for number, answer in found.items() if answer["status"] == "crashed"} == {3}
    assert "died 2 times (exit code 7)" in found[3]["error"]
    assert len(found) == 8


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "Resource temporarily unavailable"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Cannot allocate memory"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (OSError("no more"), "no more"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, OSError) else value,
)
@pytest.mark.parametrize("which", [1, 2])
def test_workers_that_cannot_be_started(
    write: Callable[..., Path],
    command: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: OSError,
    words: str,
    which: int,
) -> None:
    """One line for who asks for workers; without them for who does not."""
    started = []

    def refuse(*given: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(given)
        if len(started) == which:
            raise error
        return subprocess.Popen(*given, **options)

    monkeypatch.setattr("accelsim.sweeps.pools.subprocess", SimpleNamespace(PIPE=subprocess.PIPE, Popen=refuse))
    path = write(parameters={"array.rows": [2, 4, 8, 16]})
    done = command("sweep", str(path), "-j", "2", "--out", str(tmp_path / "out"))
    assert (done.code, done.out) == (2, "")
    (line,) = (line for line in done.err.splitlines() if line.startswith("accelsim:"))
    assert line == f"accelsim: worker process {which} of 2 cannot be started: {words}; jobs: 1 needs none"
    started.clear()
    monkeypatch.setattr(AdaptivePool, "STARTING_S", -1e9)
    monkeypatch.setattr("accelsim.sweeps.run.available_cores", lambda: 2)
    monkeypatch.setattr("accelsim.sweeps.pools.AdaptivePool.EARLIEST_S", 0.0)
    assert list(accelsim.sweep(path)["status"]) == ["done"] * 4
    assert len(started) == which


@pytest.mark.parametrize("mode", [None, 0o644], ids=["missing", "not executable"])
def test_a_python_that_does_not_run(
    write: Callable[..., Path],
    command: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    mode: int | None,
) -> None:
    python = tmp_path / "python"
    if mode is not None:
        python.touch(mode)
    monkeypatch.setattr("sys.executable", str(python))
    done = command("sweep", str(write()), "-j", "2", "--out", str(tmp_path / "out"))
    assert (done.code, done.out) == (2, "")
    assert "accelsim: worker process 1 of 2 cannot be started: " in done.err


def test_workers_give_what_this_process_gives(write: Callable[..., Path]) -> None:
    path = write(parameters={"array.rows": {"range": [1, 12, 1]}, "array.cols": [3, 7]})
    assert accelsim.sweep(path, jobs=2).equals(accelsim.sweep(path, jobs=1))


def test_full_disk(tmp_path: Path) -> None:
    """SQLite's own limit on pages stands for a disk without room."""
    member = Member("s", 0, {"a": 1}, True)
    record = Record("done", {"energy_pj": 1.0})
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.begin("s", "s", {})
        journal.record("first", record, {}, "v", [member])
        journal._db.execute("PRAGMA max_page_count = 1")

        def fill() -> None:
            for number in range(1000):
                journal.record(f"{number}" * 50, record, {}, "v", [Member("s", number, {"a": "x" * 200}, True)])

        with pytest.raises(InputError, match="full; everything finished is kept"):
            fill()
    with Journal(tmp_path / "j.sqlite") as journal:
        assert journal.find("first") == record
        kept = journal.count()
        journal.record("last", record, {}, "v", [member])  # there is room again
        assert journal.count() == kept + 1


def test_two_sweeps_write_one_journal_at_once(
    moody: Path, write: Callable[..., Path], start: Start, tmp_path: Path
) -> None:
    journal = tmp_path / "shared.sqlite"
    keys = {"hardware": [str(moody)], "settings": {"seconds": 0.002}, "objectives": ["energy_pj"]}
    one = write("a.yaml", name="a", parameters={"x": {"range": [0, 39, 1]}}, **keys)
    two = write("b.yaml", name="b", parameters={"x": {"range": [20, 59, 1]}}, **keys)
    running = [
        start("sweep", path, "-j", 1, "--out", tmp_path / path.stem, "--journal", journal) for path in (one, two)
    ]
    for process in running:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert _finished(journal) == 60
    for name in ("a", "b"):
        assert len((tmp_path / name / "results.csv").read_text().splitlines()) == 41


def test_figures_that_a_point_does_not_have_are_remembered(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        for asked in ("a", "b"):
            record = Record("done", {"energy_pj": 1.0}, absent=frozenset({asked}))
            journal.record("key", record, {}, "v", [])
        found = journal.find("key")
    assert found is not None
    assert found.figures == {"energy_pj": 1.0}
    assert found.absent == {"a", "b"}


@pytest.mark.parametrize("log", [False, True])
def test_a_journal_of_somebody_else_can_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: bool
) -> None:
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        journal.begin("s", "s", {})
        if not log:
            journal.close()
        monkeypatch.setattr(os, "access", lambda *_: False)
        with Journal(path, must_exist=True) as seen:
            assert [record.name for record in seen.sweeps()] == ["s"]
            with pytest.raises(InputError, match="readonly database"):
                seen.end("s", "finished")


def test_not_a_journal(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_text("something else entirely, long enough to be looked at as a header" * 20)
    with pytest.raises(InputError, match="the journal cannot be used: file is not a database"):
        Journal(tmp_path / "journal.sqlite")
