"""Work that takes long is announced, and what no memory holds is refused, before it starts."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from accelsim.cli import app
from accelsim.core import effort
from accelsim.core.effort import LongWork, Work, announce, duration, memory_bytes
from accelsim.core.errors import InputError
from accelsim.crossbar import Wires
from accelsim.crossbar.work import solving
from accelsim.noc import Mesh, NocSpec, load_model, pattern
from accelsim.noc.work import load_work


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "memory_bytes", lambda: 24e9)


def told(work: Work) -> str | None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        announce("this", work)
    assert len(caught) <= 1
    return str(caught[0].message) if caught else None


@pytest.mark.parametrize(
    ("work", "line"),
    [
        (Work(59, 11e9), None),
        (Work(61, 11e9), "this will take about 61 seconds"),
        (Work(600), "this will take about 10 minutes"),
        (Work(7 * 3600, 13e9), "this will take about 7 hours and about 13 GB of the 24 GB of memory"),
        (Work(1, 12.5e9), "this will take about 12 GB of the 24 GB of memory"),
        (Work(3e6), "this will take about 35 days"),
    ],
)
def test_what_is_told(work: Work, line: str | None) -> None:
    assert told(work) == line


def test_what_no_memory_holds_is_refused() -> None:
    with pytest.raises(InputError, match="this would need about 25 GB of memory; there are 24 GB"):
        announce("this", Work(1, 25e9))


@pytest.mark.parametrize(("limit", "expected"), [("1000000", 1e6), ("max", None), (None, None), ("nonsense", None)])
def test_the_limit_of_a_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str | None, expected: float | None
) -> None:
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit + "\n")
    monkeypatch.setattr(effort, "CGROUP_LIMITS", (str(tmp_path / "memory.max"),))
    found = memory_bytes()
    assert found == (expected or found)
    assert found >= 1e6


def test_durations_can_be_read_back() -> None:
    """Whatever is printed stands for the time within a twentieth."""
    units = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "years": 365 * 86400}
    for seconds in np.geomspace(1, 1e9, 200):
        number, unit = duration(float(seconds)).split()
        assert float(number.replace(",", "")) * units[unit] == pytest.approx(seconds, rel=0.06, abs=0.5)


def test_more_work_is_estimated_longer() -> None:
    """In the measure in which it is: an elimination is cubic, arrays add up, ideal wires need none."""
    wires = Wires(1.0, 1.0)
    one, double = solving(256, 256, 1, wires), solving(512, 512, 1, wires)
    assert double.seconds == pytest.approx(8 * one.seconds)
    assert double.held_bytes == pytest.approx(4 * one.held_bytes)
    assert solving(256, 256, 8, wires).held_bytes > one.held_bytes
    assert solving(256, 256, 1, Wires(0.0, 1.0)).seconds == 0


def test_a_full_network_carries_no_more() -> None:
    mesh = Mesh(4, 4)
    model = load_model(mesh, NocSpec(), pattern("uniform", mesh))
    half, full, above = (load_work(model, [share * model.saturation_rate], 1000) for share in (0.5, 1.0, 3.0))
    assert half.seconds < full.seconds == above.seconds
    assert load_work(model, [model.saturation_rate] * 3, 1000).seconds == pytest.approx(3 * full.seconds)


@pytest.mark.parametrize(
    "words",
    [
        "crossbar --rows 4096 --cols 4096",
        "crossbar --rows 128 --cols 128 --reads 10000000",
        "crossbar --rows 16 --cols 16 --sizes 1024,1024",
        "noc --rows 16 --cols 16 --injection-rate 0.01 --warm-up 1000000 --measure 10000000",
        "noc --rows 4 --cols 4 --injection-rate 0.1 --measure 100000000",
        "infer digits_snn --hw spikeflow --set crossbar.rows=4096 --set crossbar.cols=4096",
        "run digits_snn --hw spikeflow --fidelity cycle --set crossbar.rows=8192 --set crossbar.cols=8192",
    ],
)
def test_commands_tell_before_they_start(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Each of these would run for minutes; the announcement ends it here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", LongWork)
        outcome = CliRunner().invoke(app, words.split())
    assert isinstance(outcome.exception, LongWork | InputError), outcome.output
    assert "memory" in str(outcome.exception) or "will take" in str(outcome.exception)


@pytest.mark.parametrize(
    "words", ["crossbar --rows 16 --cols 16 --sizes 8", "noc --injection-rate 0.05 --warm-up 100 --measure 100"]
)
def test_short_work_says_nothing(words: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", LongWork)
        outcome = CliRunner().invoke(app, words.split())
    assert outcome.exit_code == 0
