"""A layer against the clock: its segments, what they move, and where the time goes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from accelsim.core.types import FloatArray
from accelsim.machines.systolic.cycle.memory import COLUMNS, Room, TransferTimeline, occupancy, run
from accelsim.machines.systolic.cycle.plan import BUFFERS, LOADS, WRITES, ArrayWork, SegmentPlan, evenly, spread
from accelsim.machines.systolic.description import SPADS, SystolicFile
from accelsim.machines.systolic.layer import SystolicLayer

_SLACK = 1e-6
"""Cycles by which sums of many fractions may be off."""
SHARES = {
    "weight": "weights",
    "ifmap": "inputs",
    "psum": "resumed",
    "membrane": "outputs",
    "map": "outputs",
    "psum_write": "parked",
    "membrane_write": "outputs",
    "map_write": "outputs",
}
"""Which share of an `ArrayWork` says when each kind of transfer happens."""


@dataclass(frozen=True)
class Stretch:
    """One uninterrupted stretch: a layer, or one timestep of it (`schedule: step-by-step`)."""

    timestep: int
    plan: SegmentPlan
    timeline: TransferTimeline
    lif: FloatArray
    """[S]: cycles that the LIF units need for what each segment hands over."""
    work: float
    """Cycles without stalls."""
    length: float
    """Cycles with stalls."""


@dataclass
class Clocked:
    """A layer's time: `runs` of its first image, figures of the mean image."""

    layer: SystolicLayer
    runs: list[Stretch]
    cycles: float


def room_of(hardware: SystolicFile) -> Room:
    """Working and waiting halves of the global buffers."""
    specs = {name: getattr(hardware.memories, name) for name in dict.fromkeys(BUFFERS.values())}
    return Room(
        {name: spec.working_bits for name, spec in specs.items()},
        {name: spec.size_bytes * 8 - spec.working_bits for name, spec in specs.items()},
    )


def bits_per_cycle(hardware: SystolicFile) -> float:
    """Bits that the DRAM channel moves in one cycle of the array."""
    return hardware.memories.dram.bandwidth_gbps * 1e3 / hardware.clock_mhz


def clock(layer: SystolicLayer) -> Clocked:
    """Run the layer and fill in times and details of its ledger."""
    ledger = layer.ledger
    work = layer.work()
    images = [list(_runs(layer, work, image)) for image in range(len(work.cycles))]
    array = float(work.cycles.sum(axis=1).mean())
    works = [sum(one.work for one in runs) for runs in images]
    busy = float(np.mean(works))
    needed = float(np.mean([max(one, layer.epilogue_cycles) for one in works]))
    stall = float(np.mean([_waits(layer, runs) for runs in images]))
    total = needed + stall
    ledger.cycles = _per_step(layer, work) + evenly(total - array, layer.steps)
    ledger.busy_cycles = needed
    ledger.stall_cycles = stall
    ledger.utilization = layer.useful_cycles / total if total else 0.0
    ideal, fill = float(work.ideal.sum(axis=1).mean()), float(work.overhead.sum(axis=1).mean())
    ledger.details |= {
        "loop_order": layer.order,
        "segments": work.segments,
        "cycles": {
            "ideal": ideal,
            "fill_drain": fill,
            "imbalance": round(array - ideal - fill, 6) + 0.0,  # no negative zero
            "lif": busy - array,
            "pool": needed - busy,
            "stall": stall,
        },
        "unmapped_cycles": max(0.0, round(ideal - layer.useful_cycles, 6)),
        "stall_cycles": _stalls(images, layer, stall),
        "lif_busy_cycles": layer.lif_cycles,
        "pool_busy_cycles": layer.epilogue_cycles,
        "dram_bits": {name: float(bits.sum()) for name, bits in layer.moved.items()},
        "traffic_bits": _traffic(layer),
        "buffer_peak_bits": _peaks(layer, images[0]),
    }
    return Clocked(layer, images[0], total)


def _waits(layer: SystolicLayer, runs: list[Stretch]) -> float:
    """Stalls of one image, whole cycles: rounded down, but never below what the bandwidth demands."""
    needed = max(sum(one.work for one in runs), layer.epilogue_cycles)
    length = max(sum(one.length for one in runs), layer.epilogue_cycles)
    transfer = math.ceil(layer.dram_bits / bits_per_cycle(layer.hardware) - _SLACK)
    return max(math.floor(length - needed + _SLACK), transfer - needed, 0.0)


def _per_step(layer: SystolicLayer, work: ArrayWork) -> FloatArray:
    """[T]: cycles of the array; the timesteps of a pass share its stream, the first of them pays fill and drain."""
    stream, overhead = (
        np.bincount(work.pass_of, weights=table.mean(axis=0), minlength=len(work.passes))
        for table in (work.stream, work.overhead)
    )
    cycles = np.concatenate([evenly(total, ticks) for total, ticks in zip(stream, work.passes, strict=True)])
    cycles[list(layer.pass_starts)] += overhead
    return cycles


def _runs(layer: SystolicLayer, work: ArrayWork, image: int) -> Iterator[Stretch]:
    passes = len(work.passes)
    cycles, outputs = work.cycles[image], work.outputs
    handed = outputs.sum()
    lif = outputs * (layer.lif_cycles / handed) if handed else np.zeros(work.segments)
    columns = []
    for name in COLUMNS:
        when = layer.moved.get(name)
        if when is None:
            columns.append(np.zeros(work.segments))
            continue
        bits = np.add.reduceat(when, layer.pass_starts)
        columns.append(spread(bits, getattr(work, SHARES[name]), work.pass_of, passes))
    moves = np.stack(columns, axis=1)
    first = np.array(layer.pass_starts)[work.pass_of]
    hardware = layer.hardware
    cuts = [0, work.segments]
    if hardware.schedule == "step-by-step":
        cuts = [*np.searchsorted(work.pass_of, np.arange(passes)).tolist(), work.segments]
    latency = hardware.memories.dram.latency_ns * hardware.clock_mhz / 1e3
    for begin, end in pairwise(cuts):
        part = slice(begin, end)
        plan = SegmentPlan(first[part], cycles[part], moves[part, : len(LOADS)], moves[part, len(LOADS) :])
        timeline = run(plan, room_of(hardware), bits_per_cycle(hardware), latency)
        unstalled = np.cumsum(plan.cycles) - plan.cycles
        needed = max(float(plan.cycles.sum()), float(math.ceil(_lif_end(unstalled, lif[part]) - _SLACK)))
        length = max(timeline.total, needed, _lif_end(timeline.start, lif[part]))
        yield Stretch(int(first[begin]), plan, timeline, lif[part], needed, length)


def _lif_end(start: FloatArray, lif: FloatArray) -> float:
    """When the LIF units are through: from some segment on they never ran dry.

    What a segment hands over leaves it one by one, so the units may begin with it.
    """
    busy = np.flatnonzero(lif)
    if not len(busy):
        return 0.0
    left = lif[::-1].cumsum()[::-1]
    return float((start[busy] + left[busy]).max())


def _stalls(images: list[list[Stretch]], layer: SystolicLayer, stall: float) -> dict[str, float]:
    """The layer's stalls by the transfer waited for; they sum to `stall`."""
    if not stall:
        return {}
    found: dict[str, float] = {}
    for runs in images:
        for one in runs:
            for name, waited in one.timeline.stalls().items():
                found[name] = found.get(name, 0.0) + waited
    found = {name: waited for name, waited in found.items() if waited > _SLACK}
    if not found:  # less than a cycle, or hidden behind the LIF units: whoever moves most
        found = {max(layer.moved, key=lambda name: float(layer.moved[name].sum())): 1.0}
    whole = sum(found.values())
    return {name: waited * stall / whole for name, waited in found.items()}


def _traffic(layer: SystolicLayer) -> dict[str, dict[str, float]]:
    """Bits read and written at every level of the memory below DRAM."""
    counts, memories = layer.ledger.counts, layer.memories
    traffic: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(BUFFERS.values()):
        line = getattr(memories, name).line_bits
        for action in ("read", "write"):
            if f"{name}.{action}" in counts:
                traffic.setdefault(name, {})[action] = float(counts[f"{name}.{action}"].sum()) * line
    for name in SPADS:
        for action in ("read", "write"):
            if f"{name}.{action}_bits" in counts:
                traffic.setdefault(name, {})[action] = float(counts[f"{name}.{action}_bits"].sum())
    if "pe.forward_bits" in counts:
        traffic["pe"] = {"forward": float(counts["pe.forward_bits"].sum())}
    return traffic


def _peaks(layer: SystolicLayer, runs: list[Stretch]) -> dict[str, float]:
    """Most bits that lay in each global buffer at any time of the layer."""
    room, resident = room_of(layer.hardware), layer.resident()
    peaks: dict[str, float] = {}
    for one in runs:
        for name, bits in occupancy(one.plan, one.timeline, resident, room).items():
            peaks[name] = max(peaks.get(name, 0.0), bits)
    return peaks


def summary(layers: list[Clocked]) -> dict[str, Any]:
    """Where the time of the whole run goes."""
    cycles: dict[str, float] = {}
    stalls: dict[str, float] = {}
    for one in layers:
        for name, value in one.layer.ledger.details["cycles"].items():
            cycles[name] = cycles.get(name, 0.0) + value
        for name, value in one.layer.ledger.details["stall_cycles"].items():
            stalls[name] = stalls.get(name, 0.0) + value
    unmapped = sum(one.layer.ledger.details["unmapped_cycles"] for one in layers)
    return {"cycles": cycles, "unmapped_cycles": unmapped, "stall_cycles": stalls}


__all__ = ["WRITES", "Clocked", "Stretch", "clock", "summary"]
