"""What points of a sweep share: ledgers of machines that differ in prices only, and what lies on the shelf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import accelsim
from accelsim.core import cache as shelf
from accelsim.core.settings import Section
from accelsim.ledger.counts import Ledger
from accelsim.machines.description import Hardware, bundled_hardware, load_hardware
from accelsim.machines.machine import MachineFile
from accelsim.sweeps.evaluate import Evaluator, Point, Task

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
        ("sata", {"memories.glb_weight.banks": 2}, True),
        ("sata", {"array.rows": 8}, False),
        ("sata", {"lif.membrane_sharing": 2}, False),
        ("spikeflow", {"adc.bits": 6}, True),
        ("spikeflow", {"crossbar.rows": 32}, False),
    ],
)
def test_only_what_changes_counts_is_simulated(hardware: str, settings: dict[str, Any], shares: bool) -> None:
    evaluator = Evaluator(Task(["vgg9_cifar10"], [hardware], "analytical"))
    evaluator.figures(Point(0, 0))
    found = evaluator.figures(Point(0, 0, for_hardware=settings))
    assert found["energy_pj"] == accelsim.run("vgg9_cifar10", hardware, settings=settings).energy_pj
    assert evaluator.simulated == (1 if shares else 2)


def test_a_machine_that_declares_nothing_is_always_simulated(moody: Path) -> None:
    evaluator = Evaluator(Task(["vgg9_cifar10"], [str(moody)], "analytical"))
    found = [evaluator.figures(Point(0, 0, for_hardware={"x": x}))["energy_pj"] for x in (1, 2, 1)]
    assert found[0] == found[2] != found[1]
    assert evaluator.simulated == 3


def test_other_workloads_and_machines_have_other_ledgers() -> None:
    names = ["ptb", "sata_os", "mint", "ptb"]
    evaluator = Evaluator(Task(["vgg9_cifar10"], names, "analytical"))
    for index, name in enumerate(names):
        assert evaluator.figures(Point(0, index))["cycles"] == accelsim.run("vgg9_cifar10", name).cycles
    settings = {"timesteps": 2}
    found = evaluator.figures(Point(0, 0, for_workload=settings))
    assert found["cycles"] == accelsim.run("vgg9_cifar10", "ptb", settings=settings).cycles
    assert evaluator.simulated == 4


# --- what machines declare ----------------------------------------------------------------------------


def keys_of(section: Section, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of a description that are no sections, and their values."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section) and path + name != "costs":
            yield from keys_of(value, f"{path}{name}.")
        else:
            yield path + name, value


def changed(file: MachineFile, key: str, value: Any) -> MachineFile:
    """A description with one key changed, checked as if it had been read."""
    data = file.model_dump(mode="json", exclude_unset=True)
    *sections, last = key.split(".")
    place = data
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
    return type(file).model_validate(data)


def others(value: Any) -> list[Any]:
    """Values that a key might have instead."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [2 * value, value + 1, value // 2]
    if isinstance(value, float):
        return [0.5 * value + 0.125, 1.5 * value]
    return [1, 0.25]


def variants(hardware: Hardware, key: str, value: Any) -> Iterator[Hardware]:
    """The machine with another value of a key, the first that its schema allows."""
    if key == "costs":
        priced = {"table": hardware.file.costs.table, "components": {"dram": {"leakage_mw": 77.0}}}
        yield replace(hardware, file=changed(hardware.file, key, priced))
        return
    for other in others(value):
        if other == value:
            continue
        try:
            yield replace(hardware, file=changed(hardware.file, key, other))
        except ValueError:
            continue
        return


def told(ledger: Ledger) -> list[Any]:
    """All that a ledger says, pictures aside."""
    layers = [
        [layer.name, layer.kind, *((name, layer.counts[name].tolist()) for name in layer.counts), layer.cycles.tolist(),
         layer.details, layer.accumulations, layer.utilization, layer.busy_cycles]
        for layer in ledger.layers
    ]  # fmt: skip
    return [layers, ledger.clock_mhz, ledger.instances, ledger.notes, ledger.details]


def is_declared(key: str, declared: Sequence[str]) -> bool:
    """Whether a key, or a section that it is in, is declared to change prices only."""
    return any(f"{key}.".startswith(f"{name}.") for name in declared)


@pytest.mark.parametrize("name", bundled_hardware())
def test_what_is_declared_changes_no_count(name: str) -> None:
    """Each key of each bundled machine is changed: it shares a ledger where its kind declares the key, the same one."""
    workload, hardware = accelsim.load_workload("digits_snn"), load_hardware(name)
    machine = hardware.machine
    before, tried = told(hardware.simulate(workload)), set()
    for key, value in keys_of(hardware.file):
        for variant in variants(hardware, key, value):
            shares = variant.machine.counting_keys() == machine.counting_keys()
            assert shares == is_declared(key, machine.price_only), key
            if shares:
                assert told(variant.simulate(workload)) == before, key
                tried.add(key)
    assert tried == set(machine.price_only)


@pytest.mark.parametrize("name", ["sata", "spikeflow"])
def test_what_is_declared_changes_no_count_at_cycle_fidelity(name: str) -> None:
    workload, hardware = accelsim.load_workload("digits_c2"), load_hardware(name)
    before = told(hardware.simulate(workload, "cycle"))
    for key, value in keys_of(hardware.file):
        if is_declared(key, hardware.machine.price_only):
            (variant,) = variants(hardware, key, value)
            assert told(variant.simulate(workload, "cycle")) == before, key


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
