"""What a sweep will take is said before it starts, and what cannot be done is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accelsim.core.effort import counted, duration, size
from accelsim.sweeps import forecast
from accelsim.sweeps.forecast import Announcer
from tests.conftest import Outcome

Command = Callable[..., Outcome]
HUGE = {
    "array.rows": {"range": [1, 2000, 1]},
    "array.cols": {"range": [1, 2000, 1]},
    "clock_mhz": {"range": [1, 15000, 1]},
}


@pytest.mark.parametrize(
    ("keys", "listed", "points"),
    [
        ({"parameters": {"array.rows": [4, 8, 16], "array.cols": [4, 8]}}, 6, 6),
        ({"parameters": {"array.rows": [4, 8, 16]}, "budget": 2}, 2, 2),
        ({"parameters": {"array.rows": [4, 8, 16]}, "hardware": ["sata", "spikeflow"]}, 4, 4),
        ({"parameters": {"array.rows": [4, 8], "array.cols": [4, 8]}, "constraints": "array.rows > array.cols"}, 4, 1),
        ({"parameters": {"array.rows": [4, 8], "dataflow": {"values": ["os", "ws"], "when": "array.rows == 4"}}}, 4, 3),
        ({"parameters": {"array.rows": {"range": [1, 9]}}, "search": "random", "budget": 7}, 7, 7),
    ],
)  # fmt: skip
def test_counts(write: Callable[..., Path], command: Command, keys: dict[str, Any], listed: int, points: int) -> None:
    path = write(**keys)
    done = command("sweep", str(path), "--dry-run", "--format", "json", "-j", "2", "--out", str(path.parent / "out"))
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert (document["listed"], document["points"]) == (listed, points)
    assert document["seconds"] == pytest.approx(document["seconds_per_point"] * points / 2)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_points_of_the_journal_are_known(write: Callable[..., Path], command: Command, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out"), "-j", "1"]
    assert command("sweep", str(write(parameters={"array.rows": [4, 8]})), *out).code == 0
    before = (tmp_path / "out" / "journal.sqlite").read_bytes()
    done = command("sweep", str(write(parameters={"array.rows": [4, 8, 16]})), *out, "--dry-run")
    assert "3 points, 2 of them in the journal" in done.out
    assert "(1 tried)" in done.out
    assert (tmp_path / "out" / "journal.sqlite").read_bytes() == before


def test_a_grid_that_no_machine_can_hold(write: Callable[..., Path], command: Command) -> None:
    path = write(parameters=HUGE, constraints="array.rows * array.cols < 1e5")
    done = command("sweep", str(path), "--dry-run", "--out", str(path.parent / "out"))
    assert done.code == 0, done.err
    assert "60,000,000,000 points" in done.out
    refused = command("sweep", str(path), "--out", str(path.parent / "out"))
    assert refused.code == 2
    assert "60,000,000,000 points" in refused.err
    assert "give a budget" in refused.err
    assert not (path.parent / "out").exists()
    assert command("sweep", str(write(parameters=HUGE, budget=2)), "--out", str(path.parent / "o"), "-j", "1").code == 0


def test_sizes_beyond_all_numbers() -> None:
    """More than a float, and more than Python writes out in digits."""
    assert counted(10**640) == "1e640"
    assert counted(3 * 10**5000) == "1e5000"


def test_more_than_half_of_the_memory(
    write: Callable[..., Path], command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(write(parameters={"array.rows": [4, 8, 16]}))
    needed = 3 * forecast.HELD_BYTES
    for room, code in ((needed * 1.5, 0), (needed * 2.5, 0), (needed * 0.9, 2)):
        monkeypatch.setattr(forecast, "memory_bytes", lambda room=room: room)
        done = command("sweep", path, "--out", str(tmp_path / "out"), "-j", "1")
        assert done.code == code
        assert ("memory about 18 kB of" in done.err) == (room < 2 * needed)


def test_a_long_rest_is_announced_once() -> None:
    announcer = Announcer(workers=2)
    announcer.AFTER_S = 0.0
    told = [announcer.learn(seconds, 1200) for seconds in (9.0, 8.0, 0.5, 0.5, 0.5, 0.5)]  # each worker starts once
    assert told == [None] * 4 + ["1,200 points left, 0.5 seconds each: about 5 minutes", None]
    slow = Announcer(workers=1)
    assert slow.learn(40.0, 5) == "5 points left, 40 seconds each: about 3.3 minutes"  # no three of these to wait for
    short = Announcer(workers=1)
    short.AFTER_S = 0.0
    assert [short.learn(0.01, 100) for _ in range(5)] == [None] * 5


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (duration(0.0123), "0.012 seconds"),
        (duration(119), "2 minutes"),
        (duration(600), "10 minutes"),
        (duration(3 * 3600), "3 hours"),
        (duration(5 * 86400), "5 days"),
        (duration(2 * 365 * 86400), "2 years"),
        (size(1500), "2 kB"),
        (size(2.5e6), "2.5 MB"),
        (size(4e13), "40 TB"),
        (counted(999), "999"),
        (counted(60_000_000_000), "60,000,000,000"),
    ],
)
def test_words(found: str, text: str) -> None:
    assert found == text
