"""What points of a sweep share: ledgers where nothing that the model read has changed, and what lies on the shelf."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelsim
from accelsim.core import cache as shelf
from accelsim.core.settings import Section
from accelsim.ledger.counts import Ledger
from accelsim.sweeps.evaluate import Evaluator, Point, Task
from accelsim.sweeps.reads import Ledgers, packed_ledger, unpacked_ledger
from tests.networks import simulate

INFER = {
    "data": "digits",
    "images": 2,
    "noise": "statistical",
    "remedies": ["adc_range"],
    "early_exit": None,
    "seed": 0,
}


@pytest.mark.parametrize(
    ("hardware", "settings", "shares"),
    [
        ("sata", {"costs.components.dram.leakage_mw": 1.0}, True),
        ("sata", {"costs.components.lif.area_um2": 5.0}, True),
        ("sata", {"array.rows": 8}, False),
        ("sata", {"lif.membrane_sharing": 2}, False),
        ("spikeflow", {"crossbar.wordline_ohm": 9.0}, True),
        ("spikeflow", {"adc.bits": 6}, True),
        ("spikeflow", {"crossbar.rows": 32}, False),
    ],
)
def test_only_what_changes_counts_is_simulated(hardware: str, settings: dict[str, Any], shares: bool) -> None:
    evaluator = Evaluator(Task(["vgg9_cifar10"], [hardware], "analytical"))
    evaluator.figures(Point(0, 0))
    found = evaluator.figures(Point(0, 0, for_hardware=settings))
    assert found["energy_pj"] == accelsim.run("vgg9_cifar10", hardware, settings=settings).energy_pj
    assert evaluator.ledgers.reused == shares


def test_reads_depend_on_what_was_read() -> None:
    """`tick-batch` reads scratchpads that `os` does not: each keeps its own set of keys."""
    evaluator = Evaluator(Task(["vgg9_cifar10"], ["sata"], "analytical"))
    spads = [{"memories.spad_psum.size_bytes": size} for size in (8, 4)]
    for dataflow in ("os", "tick-batch"):
        for spad in spads:
            settings = {"dataflow": dataflow, **spad}
            found = evaluator.figures(Point(0, 0, for_hardware=settings))
            assert found["cycles"] == accelsim.run("vgg9_cifar10", "sata", settings=settings).cycles


def test_related_machines_read_sections_that_others_lack(write: Callable[..., Path]) -> None:
    """`ptb` and `mint` each have a section that the plain array has not."""
    names = ["ptb", "sata_os", "mint", "ptb"]
    evaluator = Evaluator(Task(["vgg9_cifar10"], names, "analytical"))
    for index, name in enumerate(names):
        assert evaluator.figures(Point(0, index))["cycles"] == accelsim.run("vgg9_cifar10", name).cycles
    assert (evaluator.ledgers.simulated, evaluator.ledgers.reused) == (3, 1)
    assert (accelsim.sweep(write(hardware=names[:3]), jobs=1)["status"] == "done").sum() >= 2


class Inner(Section):
    a: int = 1
    b: int = 2

    @property
    def twice(self) -> int:
        return 2 * self.a

    def plus(self, number: int) -> int:
        return self.b + number


class Outer(Section):
    x: int = 1
    y: int = 2
    numbers: tuple[int, ...] = (1, 2)
    inner: Inner = Inner()
    other: Inner | None = None

    @cached_property
    def total(self) -> int:
        return self.x + self.y


@pytest.mark.parametrize(
    ("look", "alike", "unlike"),
    [
        (lambda file: file.x, {"y": 5}, {"x": 5}),
        (lambda file: file.numbers, {"x": 5}, {"numbers": (1, 3)}),
        (lambda file: file.inner.twice, {"inner": Inner(b=5)}, {"inner": Inner(a=5)}),
        (lambda file: file.inner.plus(1), {"inner": Inner(a=5)}, {"inner": Inner(b=5)}),
        (lambda file: file.other is None, {"x": 5}, {"other": Inner()}),
        (lambda file: file.other and file.other.a, {"inner": Inner(b=5)}, {"other": Inner()}),
        (lambda file: file.inner == Inner(), {"x": 5}, {"inner": Inner(b=5)}),
        (lambda file: file.inner.model_dump(), {"x": 5}, {"inner": Inner(b=5)}),
        (lambda file: [value for _, value in file.inner], {"x": 5}, {"inner": Inner(b=5)}),
        (lambda file: isinstance(file, Outer), {"x": 5}, None),
        (lambda file: file.total, None, {"y": 5}),
        (lambda file: None, {"x": 5}, None),
    ],
)
def test_what_was_read_decides(
    look: Callable[[Any], Any], alike: dict[str, Any] | None, unlike: dict[str, Any] | None
) -> None:
    """A ledger serves a description that is alike in everything that was read, and no other."""
    ledgers, seen = Ledgers(), []

    def simulate(file: Any) -> Ledger:
        seen.append(look(file))
        return Ledger([], 1.0, {})

    plain = Outer()
    first = ledgers.get("group", plain, simulate)
    assert seen == [look(plain)]
    for change, served in ((alike, True), (unlike, False)):
        if change is not None:
            assert (ledgers.get("group", Outer(**change), simulate) is first) == served
    assert ledgers.get("another group", plain, simulate) is not first


def test_a_section_that_is_looked_at_may_be_missing_in_the_next_machine() -> None:
    ledgers = Ledgers()
    found = [
        ledgers.get("group", file, lambda file: Ledger([], 1.0 if file.other is None else 2.0, {})).clock_mhz
        for file in (Outer(other=Inner()), Outer(), Outer(other=Inner()))
    ]
    assert found == [2.0, 1.0, 2.0]


def test_ledgers_survive_the_shelf(tmp_path: Path) -> None:
    workload, machine = accelsim.load_workload("digits_snn"), accelsim.load_hardware("spikeflow")
    ledger = simulate(workload, machine)
    packed = packed_ledger(ledger)
    assert packed is not None
    again = unpacked_ledger(packed)
    for old, new in zip(ledger.layers, again.layers, strict=True):
        assert list(old.counts) == list(new.counts)
        assert all(np.array_equal(old.counts[name], new.counts[name]) for name in old.counts)
        assert np.array_equal(old.cycles, new.cycles)
        assert (old.accumulations, old.utilization, old.busy_cycles) == (
            new.accumulations,
            new.utilization,
            new.busy_cycles,
        )
    assert (again.instances, again.notes) == (ledger.instances, ledger.notes)
    assert again.totals() == ledger.totals()  # also after somebody looked at the counts of each timestep
    shelf.use(tmp_path)
    try:
        first, second = Ledgers(), Ledgers()
        first.get("group", machine.file, lambda file: simulate(workload, machine))
        first.store("group", machine.file, first.get("group", machine.file, lambda file: ledger))
        second.get("group", machine.file, lambda file: pytest.fail("it lies on the shelf"))
        for path in tmp_path.glob("ledgers/*"):
            path.write_bytes(path.read_bytes()[:100])  # a half-written disk
        third = Ledgers()
        third.get("group", machine.file, lambda file: ledger)
        assert third.simulated == 1
    finally:
        shelf.use(None)


def test_expensive_parts_come_from_the_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace statistics and programmed crossbars, made by one process, serve another."""
    from accelsim.inference import kept
    from accelsim.workload import load

    monkeypatch.setattr(shelf, "WORTH_KEEPING_S", 0.0)
    task = Task(["digits_snn"], ["spikeflow"], "analytical", infer=INFER, cache=str(tmp_path))
    point = Point(0, 0)
    kept.forget()
    made = Evaluator(task).figures(point)
    kept.forget()
    try:
        assert list(tmp_path.glob("*/activity/*"))
        assert list(tmp_path.glob("*/layers/*"))
        monkeypatch.setattr(load, "from_trace", lambda *_: pytest.fail("it lies on the shelf"))
        Evaluator(task).build(point)
        monkeypatch.undo()
        assert Evaluator(task).figures(point) == made
    finally:
        shelf.use(None)
