"""PTB, SATO, MINT, Prosperity, SpinalFlow, Eyeriss and SATA on one and the same spikes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from accelsim.core.errors import InputError, Problem
from accelsim.core.files import is_file, read_yaml
from accelsim.core.settings import Section, validate
from accelsim.ledger.result import CATEGORIES
from accelsim.machines.description import bundled_hardware
from accelsim.report.plots import COLOURS, new_figure, save
from accelsim.report.tables import CATEGORY_NAMES
from accelsim.studies.reproduce.experiment import Bench, Outcome, Row
from accelsim.studies.reproduce.published import Published
from accelsim.studies.reproduce.sata_sim import DATA
from accelsim.workload import SpikeTrace
from accelsim.workload.load import attach_trace
from accelsim.workload.npz import read_npz

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from accelsim.ledger.result import Result
    from accelsim.workload import Workload

FIGURE = Published("accelerators")
MACHINES = ("eyeriss", "spinalflow", "ptb", "sato", "mint", "prosperity", "sata")
NETWORK = "vgg9_cifar10"
BUNDLED = "digits_snn"
SEED = 0
FIDELITY = "cycle"


class Records(Section):
    """``data/accelerators.yaml``."""

    layers: dict[str, str]
    """Names of the trace's layers, and of the same in the bundled workload."""
    cycles: dict[str, float]
    energy_mj: dict[str, float]


@cache
def published() -> Records:
    """What the public simulator gives."""
    return validate(Records, read_yaml(DATA / "accelerators.yaml"))


@dataclass(frozen=True)
class Spikes:
    """The network with the spikes that all machines get."""

    workload: Workload
    about: str
    is_published: bool
    """The very trace that the published cycles are of."""


def spikes(bench: Bench) -> list[Spikes]:
    """The trace that was given; otherwise spikes drawn at the densities of the real one, and a bundled real trace.

    Raises:
        InputError: a trace that cannot be read, or that does not fit the network.
    """
    base = bench.workload(NETWORK)
    if bench.trace is None:
        drawn = attach_trace(base, SpikeTrace.from_arrays(_drawn(base)))
        about = (
            f"drawn at the densities measured on the real trace, layer by layer and timestep by timestep, seed {SEED}"
        )
        bundled = bench.workload(BUNDLED)
        return [Spikes(drawn, about, False), Spikes(bundled, f"the real spikes of the bundle {BUNDLED}", False)]
    if is_file(bench.trace) and bench.trace.suffix == ".npz":
        real = attach_trace(base, _read(bench.trace, base))
        return [Spikes(real, f"the real trace {bench.trace.name}", True)]
    given = bench.workload(bench.trace)
    return [Spikes(given, f"the spikes of {given.name}", False)]


def _drawn(workload: Workload) -> dict[str, npt.NDArray[Any]]:
    """Inputs of every weighted operation, drawn at the workload's densities."""
    generator = np.random.default_rng(SEED)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for op in workload.graph.weighted:
        spiking = op.in_types[0].is_spiking
        values = generator.random((workload.timesteps if spiking else 1, 1, *op.in_shapes[0]))
        if spiking:
            density = workload.activity[op.name].density
            arrays[op.name] = (values < density.reshape(-1, *[1] * (values.ndim - 1))).astype(np.uint8)
        else:
            arrays[op.name] = values.astype(np.float32)
    return arrays


def _read(path: Path, workload: Workload) -> SpikeTrace:
    """A trace of the Prosperity artefact: ``<layer>.bits`` (big-endian packing) and ``<layer>.shape``."""
    names = published().layers
    stored = read_npz(path)
    arrays = _drawn(workload)  # what the file lacks: the image, and layers after the last spikes
    for theirs, ours in {**names, "fc_1": "fc2"}.items():
        try:
            shape = tuple(int(size) for size in stored[f"{theirs}.shape"])
            wanted = (workload.timesteps, *workload.graph.by_name[ours].in_shapes[0])
            if math.prod(shape) != math.prod(wanted):
                raise ValueError(f"{theirs} is {list(shape)}, the network needs {list(wanted)}")
            bits = np.unpackbits(stored[f"{theirs}.bits"], count=math.prod(wanted))
        except (KeyError, ValueError, TypeError) as error:
            said = f"no '{error.args[0]}' in it" if isinstance(error, KeyError) else str(error)
            message = f"no spike trace of the Prosperity artefact: {said}"
            raise InputError(Problem(message, str(path), where="--trace")) from None
        arrays[ours] = bits.reshape(wanted)[:, None]
    return SpikeTrace.from_arrays(arrays)


def _run(bench: Bench) -> Outcome:
    known = bundled_hardware()
    rows: list[Row] = []
    figures, notes = {}, []
    for given in spikes(bench):
        results: dict[str, Result] = {}
        refused = dict.fromkeys(MACHINES, "no machine of this name comes with this version")
        for machine in (name for name in MACHINES if name in known):
            try:
                results[machine] = _result(bench, given, machine)
            except InputError as error:  # not every machine takes every network
                refused[machine] = str(error)
        for machine in MACHINES:
            rows += _rows(machine, given, results.get(machine), results.get("eyeriss"), refused[machine])
        if results:
            figures[f"accelerators_{given.workload.name}"] = partial(_draw, results, given)
        notes.append(f"{given.workload.name}: {given.about}. All machines get the same spikes.")
    return Outcome(rows, [*notes, *FIGURE.notes()], figures)


def _result(bench: Bench, given: Spikes, machine: str) -> Result:
    """By the cycle-level model where the machine has one."""
    from accelsim.api import load_hardware

    offered = load_hardware(machine).machine.fidelities
    return bench.run(given.workload, machine, fidelity=FIDELITY if FIDELITY in offered else "analytical")


def _rows(machine: str, given: Spikes, result: Result | None, reference: Result | None, refused: str) -> list[Row]:
    facts, label = published(), f"{machine} on {given.workload.name}"
    listed = facts.cycles.get(machine) if given.workload.name == NETWORK else None
    text = None if listed is None else f"{listed:.0f}"
    if result is None:
        return [FIGURE.row("refused", printed_as=text, label=label, note=refused)]
    layers = [layer for layer in result.ledger.layers if layer.name in facts.layers.values()]
    cycles, waiting = sum(float(layer.cycles.sum()) for layer in layers), sum(layer.stall_cycles for layer in layers)
    rows = []
    if listed is not None:
        note = f"not compared: spikes are {given.about}; give the trace with --trace"
        if given.is_published:
            note = "the roundings and overlaps of the public simulator are not taken over"
            if waiting > 0.01 * cycles:
                note += f"; {waiting:,.0f} of these cycles wait for DRAM, {cycles - waiting:,.0f} do not"
        own = cycles if given.is_published else None
        names = {"label": label, "note": note}
        rows.append(FIGURE.row("cycles", printed_as=text, reproduced=own, physical=cycles, tolerance=0.02, **names))
    dram = 100 * result.breakdown()["dram"] / result.energy_pj
    rows += [
        FIGURE.row("latency", physical=result.latency_ns * 1e-6, label=label, model=result.fidelity, about=given.about),
        FIGURE.row("energy", physical=result.energy_pj * 1e-6, label=label, dram=dram),
        FIGURE.row("area", physical=sum(result.area.values()) * 1e-6, label=label),
    ]
    if reference is not None and result is not reference:
        rows.append(FIGURE.row("speed", physical=reference.latency_ns / result.latency_ns, label=label))
        rows.append(FIGURE.row("efficiency", physical=reference.energy_pj / result.energy_pj, label=label))
    return rows


def _draw(results: dict[str, Result], given: Spikes, path: Path | None = None) -> Figure:
    figure = new_figure(9.5, 3.6)
    energy, time = figure.subplots(1, 2, width_ratios=(2, 1))
    names = list(results)
    left = [0.0] * len(names)
    for category in CATEGORIES:
        values = [results[name].breakdown()[category] * 1e-6 for name in names]
        if any(values):
            energy.barh(names, values, left=left, color=COLOURS[category], label=CATEGORY_NAMES[category])
        left = [a + b for a, b in zip(left, values, strict=True)]
    energy.set_xlabel("energy per inference (uJ)")
    figure.legend(*energy.get_legend_handles_labels(), loc="outside lower center", ncols=8, fontsize=8, frameon=False)
    time.barh(names, [results[name].latency_ns * 1e-6 for name in names], color="#0072B2")
    time.set_xlabel("latency (ms)")
    time.set_yticklabels([])
    for axes in (energy, time):
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{given.workload.name}, T={given.workload.timesteps}: the same spikes for all")
    return save(figure, path)


EXPERIMENT = FIGURE.experiment(_run, cheap=False)
