"""Work that takes long is announced, and what no memory holds is refused, before it starts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import accelsim
from accelsim.cli import app
from accelsim.core import effort
from accelsim.core.effort import LongWork, Rest, Work, announce, duration, memory_bytes
from accelsim.core.errors import InputError
from accelsim.crossbar.solution import Wires
from accelsim.crossbar.work import solving
from accelsim.inference.arithmetic import Arithmetic
from accelsim.inference.work import study_work
from accelsim.machines.description import load_hardware
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.work import cycle_work
from accelsim.noc.closed_form import load_model
from accelsim.noc.patterns import pattern
from accelsim.noc.topology import Mesh
from accelsim.noc.traffic import NocSpec
from accelsim.noc.work import load_work
from accelsim.training.loop import TrainSettings, train
from accelsim.training.models import SpikingNet
from accelsim.training.neuron import LIF
from accelsim.workload import load_workload


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
        "run vgg16_tinyimagenet --hw sata_ws --fidelity cycle --set array.rows=1 --set array.cols=1",
    ],
)
def test_commands_tell_before_they_start(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Each of these would run for minutes; the announcement ends it here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", LongWork)
        outcome = CliRunner().invoke(app, words.split())
    assert isinstance(outcome.exception, LongWork | InputError), outcome.output
    assert "memory" in str(outcome.exception) or "will take" in str(outcome.exception)


def test_folds_add_up_and_spikes_are_looked_at_where_zeros_are_skipped() -> None:
    workload = load_workload("digits_snn")

    def work(name: str, **settings: Any) -> Work:
        file = load_hardware(name, settings or None).file
        assert isinstance(file, SystolicFile)
        return cycle_work(workload, file)

    small, large = {"array.rows": 4, "array.cols": 4}, {"array.rows": 8, "array.cols": 4}
    folds = [work("sata_os", **size, **{"sparsity.spikes": "none"}) for size in (small, large)]
    assert folds[0].seconds == pytest.approx(2 * folds[1].seconds, rel=0.1)  # positions divide by 8, one layer's do not
    assert folds[0].held_bytes > folds[1].held_bytes
    looking, dense = (work("sata_os", **small, **{"sparsity.spikes": kind}) for kind in ("skip", "none"))
    assert looking.seconds > 10 * dense.seconds
    assert work("prosperity").seconds > 10 * work("eyeriss").seconds


def test_images_and_chips_add_up() -> None:
    workload = load_workload("digits_snn")
    noisy = load_hardware("spikeflow").machine.arithmetic(workload.precision)
    ideal = study_work(workload, Arithmetic("ideal", workload.precision), 64, 1).seconds
    one, two = (study_work(workload, noisy, 64, chips).seconds for chips in (1, 2))
    assert study_work(workload, Arithmetic("ideal", workload.precision), 128, 1).seconds == pytest.approx(2 * ideal)
    assert two - ideal == pytest.approx(2 * (one - ideal))
    assert one > 2 * ideal


@pytest.mark.parametrize(
    "words",
    [
        "crossbar --rows 16 --cols 16 --sizes 8",
        "run digits_resnet --hw sata --fidelity cycle",
        "noc --injection-rate 0.05 --warm-up 100 --measure 100",
    ],
)
def test_short_work_says_nothing(words: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", LongWork)
        outcome = CliRunner().invoke(app, words.split())
    assert outcome.exit_code == 0


# --- what is only known when it runs ------------------------------------------------------------------------------


class Clock:
    """Every look at it takes so long."""

    def __init__(self, *ticks: float) -> None:
        self.now, self.ticks = 0.0, [*ticks]

    def __call__(self) -> float:
        self.now += self.ticks.pop(0) if len(self.ticks) > 1 else self.ticks[0]
        return self.now


def warned(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any], *ticks: float) -> list[str]:
    """What `work` tells when its pieces take these seconds; the last goes on."""
    monkeypatch.setattr(effort, "perf_counter", Clock(*ticks))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
    return [str(warning.message) for warning in caught if issubclass(warning.category, LongWork)]


@pytest.mark.parametrize(
    ("pieces", "seconds", "lines"),
    [
        (
            100,
            [0, 5, 1],
            ["96 more pieces of 1 seconds each will take about 1.6 minutes"],
        ),  # the first starts everything
        (100, [0, 0.01], []),
        (60, [0, 1], []),
        (10**6, [0, 2**-10], ["998,976 more pieces of 0.00098 seconds each will take about 16 minutes"]),
        (4, [0, 30], ["3 more pieces of 30 seconds each will take about 1.5 minutes"]),  # long pieces at once
        (4, [0, 11, 40, 40], ["2 more pieces of 40 seconds each will take about 80 seconds"]),
        (1, [0, 1000], []),
    ],
)
def test_the_rest_is_told_once_from_the_first_pieces(
    monkeypatch: pytest.MonkeyPatch, pieces: int, seconds: list[float], lines: list[str]
) -> None:
    def work() -> None:
        rest = Rest("pieces", pieces)
        for _ in range(min(pieces, 2000)):
            rest.done()

    assert warned(monkeypatch, work, *seconds) == lines


def test_training_tells_after_its_first_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    net = SpikingNet({"flatten": torch.nn.Flatten(), "fc": torch.nn.Linear(4, 3), "lif": LIF()}, 2)

    def work() -> None:
        images, labels = torch.rand(6, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1, 2])
        train(net, images, labels, TrainSettings(epochs=10, batch_size=2), torch.Generator().manual_seed(0))

    line = "26 more batches of training of 9 seconds each will take about 3.9 minutes"
    assert warned(monkeypatch, work, 0, 9) == [line]
    assert warned(monkeypatch, work, 0, 0.1) == []


class Neuron(torch.nn.Module):
    """Integrate-and-fire, one timestep per call."""

    def __init__(self) -> None:
        super().__init__()
        self.leak, self.threshold, self.reset_mode = 1.0, 0.1, "hard"
        self.reset_state()

    def reset_state(self) -> None:
        self.mem: torch.Tensor | None = None

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        membrane = current if self.mem is None else self.mem + current
        spikes = (membrane >= self.threshold).to(current.dtype)
        self.mem = membrane * (1 - spikes)
        return spikes


@pytest.mark.parametrize("layout", ["step", "auto"])
def test_tracing_timestep_by_timestep_tells_after_the_first(monkeypatch: pytest.MonkeyPatch, layout: Any) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), Neuron(), torch.nn.Linear(5, 3))

    def work() -> None:
        accelsim.trace(model.eval(), torch.rand(9, 2, 4), timesteps=9, layout=layout)

    assert warned(monkeypatch, work, 0, 20) == [
        "8 more timesteps of tracing of 20 seconds each will take about 2.7 minutes"
    ]
    assert warned(monkeypatch, work, 0, 1) == []
