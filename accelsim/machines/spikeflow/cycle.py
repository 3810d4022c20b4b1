"""The crossbar machine at event level: every window, every packet in every cycle, the spikes of the trace.

Layers, network and neuronal module depend on one another's times. They are brought into agreement by passes:
a schedule with the present delays says when each packet is sent, the network simulation says when it
arrives, and the queue of the neuronal module how long each window's outputs wait there. The passes stop when the
end of the run has moved by no more than `TOLERANCE` twice in succession, at the latest after `PASSES`. Without
contention the first pass is the last, and equals the closed form.

Each pass moves the delays by half of what it found. On an overloaded mesh that swings to and fro: layers that send at
full pace find long queues, layers that believe in long queues send late and find none. Such a mesh is known by a step
that would make the run longer than `OVERSHOOT` times what the network has just taken; from there on steps shrink as in
the method of successive averages (1/3, 1/4, 1/5 ...) and are halved until they do not overshoot, and there are up to
`OVERLOADED_PASSES`. Where the passes have not settled the result says so, and by how much its length still moved.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from accelsim.core.effort import Work, announce
from accelsim.core.types import BoolArray, FloatArray, IntArray
from accelsim.ledger.counts import Ledger
from accelsim.ledger.floorplan import Floorplan
from accelsim.machines.spikeflow.array_energy import array_energy_pj, array_work, stored_weights
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.spikeflow.mapping import is_on_crossbars
from accelsim.machines.spikeflow.model import Model
from accelsim.machines.spikeflow.pipeline import NetworkDelays, Schedule, timeline
from accelsim.noc.work import replay_work
from accelsim.workload import Workload

PASSES = 6
OVERLOADED_PASSES = 8
TOLERANCE = 5e-3
DAMPING = 0.5
OVERSHOOT = 1.25
SMALLEST_STEP = 1 / 64
LONG_PASS = 2_000_000  # flits x links in one pass beyond which a terminal gets a progress bar


def simulate(workload: Workload, hardware: SpikeflowFile) -> Ledger:
    """Counts and times of one inference; see the module."""
    model = Model.build(workload, hardware, from_trace=True, array_pj=_array_energies(workload, hardware))
    passing = replay_work(PASSES * float(model.network.link_flits.sum()))
    announce(f"'{workload.name}' through the network on chip, at most {PASSES} times over,", passing)
    with _progress(model.network.link_flits) as report:
        plan, delays, links, passes = settle(model, report)
    matmuls = model.loads(links).get("digital unit", 0.0)
    model.attribute_time(plan, matmuls)
    details = {
        "network": model.network_details(links, plan.end),
        "passes": passes.details(),
        "spikes": "trace" if workload.trace is not None and not workload.is_ann else "densities",
    }
    ledger = model.ledger(plan, model.loads(links), details)
    ledger.notes += passes.notes()
    _waits(model, plan, delays)
    ledger.timeline = timeline(model.timings, plan, hardware.clock_mhz)
    ledger.pictures["chip"] = _floorplan(model, links)
    return ledger


@dataclass
class Passes:
    """How the passes went."""

    number: int = 0
    ends: list[float] = field(default_factory=list)
    """Length of the run in cycles: before the first pass, after each."""
    settled: bool = False
    overloaded: bool = False

    @property
    def most(self) -> int:
        """Passes that are made at most."""
        return OVERLOADED_PASSES if self.overloaded else PASSES

    @property
    def moved(self) -> float:
        """Cycles by which the last pass moved the end of the run."""
        return self.ends[-1] - self.ends[-2] if len(self.ends) > 1 else 0.0

    @property
    def spread(self) -> float:
        """(longest - shortest) / last length of the run in the last three passes."""
        last = self.ends[-3:]
        return (max(last) - min(last)) / max(last[-1], 1.0)

    def details(self) -> dict[str, Any]:
        """For the result."""
        return {
            "number": self.number,
            "last_change_cycles": self.moved,
            "settled": self.settled,
            "spread": 0.0 if self.number < 2 else self.spread,
            "overloaded": self.overloaded,
        }

    def notes(self) -> list[str]:
        """What a reader of the latency must know."""
        if self.settled:
            return []
        cause = "the mesh is overloaded: " if self.overloaded else ""
        return [
            f"{cause}layers and network did not settle in {self.number} passes; over the last three the length of the "
            f"run spread by {100 * self.spread:.1f} %"
        ]


def settle(
    model: Model, report: Callable[[str, int, int], None]
) -> tuple[Schedule, dict[str, NetworkDelays], FloatArray, Passes]:
    """Bring schedule and network into agreement.

    Returns:
        The schedule, its delays, flits of each link [nodes, 5], and how it went.
    """
    delays = model.network.unloaded
    extra: dict[str, FloatArray] = {}
    plan, links, passes = model.schedule(delays), model.network.link_flits, Passes()
    passes.ends.append(plan.end)
    quiet = 0
    while passes.number < passes.most and not passes.settled:
        report("packets through the mesh, pass", passes.number, passes.most)
        passes.number += 1
        found, links, finish = model.network.simulated(plan.times)
        waits = module_waits(model, plan, extra)
        if _same(found, delays) and all(not wait.any() for wait in waits.values()) and not extra:
            passes.settled = True
            break
        step = min(DAMPING, 1 / (passes.number + 1)) if passes.overloaded else DAMPING
        moved = _towards(delays, found, step)
        before, plan = plan.end, model.schedule(moved, waits)
        taken = max(finish, before)
        while plan.end > OVERSHOOT * taken and step > SMALLEST_STEP:
            passes.overloaded = True
            step /= 2
            moved = _towards(delays, found, step)
            plan = model.schedule(moved, waits)
        delays, extra = moved, waits
        passes.ends.append(plan.end)
        quiet = quiet + 1 if abs(passes.moved) <= TOLERANCE * plan.end else 0
        passes.settled = quiet == 2  # one small half step may be a turning point
    return plan, delays, links, passes


def module_waits(model: Model, plan: Schedule, known: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """[T, rows] by layer: what each row waits in the neuronal module for windows of other layers.

    The module takes windows in the order in which they come, whichever layer they belong to.
    """
    arrive: list[FloatArray] = []
    work: list[FloatArray] = []
    rows: list[IntArray] = []
    first = 0
    firing = [(name, timing) for name, timing in model.timings.items() if timing.neurons]
    for name, timing in firing:
        times = plan.times[name]
        steps, n_rows = times.done.shape
        width = timing.windows // n_rows
        for t in range(steps):
            at = first + t * n_rows + np.arange(n_rows)
            if timing.runs[t]:
                arrive.append(times.arrive[t])
                work.append(np.full(n_rows * width, timing.neurons))
                rows.append(np.repeat(at, width))
            else:  # sums of the timestep before, row by row
                arrive.append(times.start[t])
                work.append(np.full(n_rows, timing.neurons * width))
                rows.append(at)
        first += steps * n_rows
    if not firing:
        return {}
    came, cycles, row = np.concatenate(arrive), np.concatenate(work), np.concatenate(rows)
    order = np.argsort(came, kind="stable")
    total = np.cumsum(cycles[order])
    ends = total + np.maximum.accumulate(came[order] - (total - cycles[order]))
    done = np.zeros(first)
    np.maximum.at(done, row[order], ends)
    waits, start = {}, 0
    for name, _ in firing:
        own = plan.times[name].done - known.get(name, 0.0)
        wait = done[start : start + own.size].reshape(own.shape) - own
        start += own.size
        waits[name] = np.where(wait > 1e-6, wait, 0.0)
    return waits


def _towards(old: dict[str, NetworkDelays], new: dict[str, NetworkDelays], step: float) -> dict[str, NetworkDelays]:
    return {
        name: NetworkDelays(
            old[name].fetch + step * (new[name].fetch - old[name].fetch),
            new[name].send,
            old[name].back + step * (new[name].back - old[name].back),
        )
        for name in new
    }


@contextmanager
def _progress(links: FloatArray) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for long runs, not for those that a sweep sends to other processes."""
    if float(links[:, :4].sum()) < LONG_PASS or multiprocessing.parent_process() is not None:
        yield lambda what, done, of: None
        return
    from accelsim.core.progress import progress_bar

    with progress_bar() as report:
        yield report


def _same(a: dict[str, NetworkDelays], b: dict[str, NetworkDelays]) -> bool:
    """Whether the network did to every packet what an empty one would do."""
    return all(_equal(a[name].fetch, b[name].fetch) and _equal(a[name].back, b[name].back) for name in a)


def _equal(found: FloatArray, known: FloatArray) -> bool:
    """Whether delays of packets that were sent are as known."""
    sent = found != 0
    return np.array_equal(found[sent], np.broadcast_to(known, found.shape)[sent])


def _array_energies(workload: Workload, hardware: SpikeflowFile) -> dict[str, FloatArray]:
    """[T] exact energy of the arrays of each layer whose weights and spikes are known."""
    weights = stored_weights(workload)
    if weights is None or workload.precision.weight_bits < 2:
        return {}
    analog = [op for op in workload.graph.weighted if is_on_crossbars(op, hardware.first_layer)]
    work = sum((array_work(workload, op, hardware) for op in analog), Work())
    size = f"{hardware.crossbar.rows} x {hardware.crossbar.cols}"
    announce(f"the energy of the {size} crossbars of '{workload.name}'", work)
    return {op.name: array_energy_pj(workload, op, hardware, weights) for op in analog}


def _waits(model: Model, plan: Schedule, delays: dict[str, NetworkDelays]) -> None:
    """Tell each layer how long its packets were on their way, beside an empty network."""
    empty = model.network.unloaded
    for layer in model.ledgers:
        if layer.name in delays:
            on = model.timings[layer.name].runs > 0
            layer.details["network_wait_cycles"] = {
                "fetch": _mean(delays[layer.name].fetch, on) - _mean(empty[layer.name].fetch, on),
                "return": _mean(delays[layer.name].back, on) - _mean(empty[layer.name].back, on),
            }


def _mean(delays: FloatArray, on: BoolArray) -> float:
    """Over some timesteps, and all messages."""
    return float(np.broadcast_to(delays, (len(on), delays.shape[1]))[on].mean())


def _floorplan(model: Model, links: FloatArray) -> Floorplan:
    chip, mesh = model.chip, model.chip.mesh
    tiles = {int(chip.node[tile]): names for tile, names in enumerate(chip.layer_of_tile)}
    title = f"{model.workload.name} on {model.hardware.name}: {chip.tiles} tiles"
    return Floorplan((mesh.rows, mesh.cols), tiles, [int(node) for node in chip.ports], links[:, :4], title)
