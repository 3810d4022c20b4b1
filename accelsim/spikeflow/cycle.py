"""The crossbar machine at event level: every window, every packet in every cycle, the spikes of the trace.

Layers, network and neuronal module depend on one another's times. They are brought into agreement by passes:
a schedule with the present delays says when each packet is sent, the network simulation says when it
arrives, and the queue of the neuronal module how long each window's outputs wait there. The passes stop when the
end of the run has moved by no more than `TOLERANCE` twice in succession, at the latest after `PASSES`. Without
contention the first pass is the last, and equals the closed form.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.results import Ledger
from accelsim.spikeflow.analytical import network_details, run
from accelsim.spikeflow.dissipation import array_energy_pj, stored_weights
from accelsim.spikeflow.first_layer import is_digital
from accelsim.spikeflow.machine import Model
from accelsim.spikeflow.network import Delays
from accelsim.spikeflow.pipeline import Schedule
from accelsim.spikeflow.timelines import timeline
from accelsim.workload import Workload

FloatArray = npt.NDArray[np.float64]

PASSES = 6
TOLERANCE = 5e-3
DAMPING = 0.5  # each pass goes half of the way: where ports are overloaded, whole steps swing to and fro


def simulate(workload: Workload, hardware: SpikeflowFile) -> Ledger:
    """Counts and times of one inference; see the module."""
    model = Model.build(workload, hardware, from_trace=True, array_pj=_array_energies(workload, hardware))
    delays = model.network.unloaded()
    extra: dict[str, FloatArray] = {}
    plan, links, passes, moved = run(model, delays), model.network.link_flits(), 0, 0.0
    settled = 0
    while passes < PASSES:
        passes += 1
        found, links, _ = model.network.simulated(plan.times)
        waits = module_waits(model, plan, extra)
        if _same(found, delays) and all(not wait.any() for wait in waits.values()) and not extra:
            break
        delays, extra = _halfway(delays, found), waits
        before, plan = plan.end, run(model, delays, extra)
        moved = plan.end - before
        settled = settled + 1 if abs(moved) <= TOLERANCE * plan.end else 0
        if settled == 2:  # one small half step may be a turning point
            break
    matmuls = model.loads(links).get("digital unit", 0.0)
    model.attribute_time(plan, matmuls)
    details = {
        "network": network_details(model, links, plan.end),
        "passes": {"number": passes, "last_change_cycles": moved},
        "spikes": "trace" if workload.trace is not None and not workload.is_ann else "densities",
    }
    ledger = model.ledger(plan, links, details)
    _waits(model, plan, delays)
    ledger.timeline = timeline(model, plan)
    ledger.pictures["chip"] = _chip_picture(model, links)
    return ledger


def module_waits(model: Model, plan: Schedule, known: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """[T, rows] by layer: what each row waits in the neuronal module for windows of other layers.

    The module takes windows in the order in which they come, whichever layer they belong to.
    """
    arrive: list[FloatArray] = []
    work: list[FloatArray] = []
    rows: list[npt.NDArray[np.int64]] = []
    first = 0
    firing = [(name, service) for name, service in model.services.items() if service.neurons]
    for name, service in firing:
        times = plan.times[name]
        steps, n_rows = times.done.shape
        width = service.interval.shape[1] // n_rows
        for t in range(steps):
            at = first + t * n_rows + np.arange(n_rows)
            if service.runs[t]:
                arrive.append(times.arrive[t])
                work.append(np.full(n_rows * width, service.neurons))
                rows.append(np.repeat(at, width))
            else:  # sums of the timestep before, row by row
                arrive.append(times.start[t])
                work.append(np.full(n_rows, service.neurons * width))
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


def _halfway(old: dict[str, Delays], new: dict[str, Delays]) -> dict[str, Delays]:
    return {
        name: Delays(
            old[name].fetch + DAMPING * (new[name].fetch - old[name].fetch),
            new[name].send,
            old[name].back + DAMPING * (new[name].back - old[name].back),
        )
        for name in new
    }


def _same(a: dict[str, Delays], b: dict[str, Delays]) -> bool:
    """Whether the network did to every packet what an empty one would do."""
    return all(
        np.array_equal(a[name].fetch[a[name].fetch != 0], b[name].fetch[a[name].fetch != 0])
        and np.array_equal(a[name].back[a[name].back != 0], b[name].back[a[name].back != 0])
        for name in a
    )


def _array_energies(workload: Workload, hardware: SpikeflowFile) -> dict[str, FloatArray]:
    """[T] exact energy of the arrays of each layer whose weights and spikes are known."""
    weights = stored_weights(workload)
    if weights is None or workload.precision.weight_bits < 2:
        return {}
    return {
        op.name: array_energy_pj(workload, op, hardware, weights)
        for op in workload.graph.weighted
        if op.kind != "matmul" and not is_digital(op, hardware)
    }


def _waits(model: Model, plan: Schedule, delays: dict[str, Delays]) -> None:
    """Tell each layer how long its packets were on their way, beside an empty network."""
    empty = model.network.unloaded()
    for layer in model.ledgers:
        if layer.name in delays:
            on = model.services[layer.name].runs > 0
            layer.details["network_wait_cycles"] = {
                "fetch": float((delays[layer.name].fetch[on] - empty[layer.name].fetch[on]).mean()),
                "return": float((delays[layer.name].back[on] - empty[layer.name].back[on]).mean()),
            }


def _chip_picture(model: Model, links: FloatArray):  # type: ignore[no-untyped-def]
    from accelsim.spikeflow.picture import floorplan_of

    return floorplan_of(model, links)
