"""What was busy when, as a `Timeline`: folds, transfers, stalls, LIF units, by layer and timestep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from accelsim.core.types import FloatArray, IntArray
from accelsim.ledger.timeline import Sample, Span, Timeline
from accelsim.machines.systolic.cycle.clock import Clocked, Stretch
from accelsim.machines.systolic.cycle.memory import COLUMNS
from accelsim.machines.systolic.description import SystolicFile

MOST_PIECES = 4000
"""Pieces of a whole run that are drawn one by one; beyond, neighbouring folds of a layer are drawn as one."""


class LazyTimeline(Timeline):
    """A timeline that is drawn when somebody looks at it: most runs are never looked at."""

    def __init__(self, draw: Callable[[], Timeline]) -> None:
        self._draw = draw

    @cached_property
    def _drawn(self) -> Timeline:
        return self._draw()

    @property
    def spans(self) -> list[Span]:  # type: ignore[override]
        """Spans, in the order in which they were added."""
        return self._drawn.spans

    @property
    def samples(self) -> list[Sample]:  # type: ignore[override]
        """Counter samples likewise."""
        return self._drawn.samples


def timeline_of(layers: Sequence[Clocked], hardware: SystolicFile) -> Timeline:
    """All layers one after another (or timestep after timestep), in nanoseconds; drawn on demand."""
    return LazyTimeline(lambda: _timeline(layers, hardware))


def _timeline(layers: Sequence[Clocked], hardware: SystolicFile) -> Timeline:
    timeline = Timeline()
    ns = 1e3 / hardware.clock_mhz
    ordered = [(run, one) for one in layers for run in one.runs]
    if hardware.schedule == "step-by-step":
        ordered.sort(key=lambda pair: pair[0].timestep)
    segments = sum(len(run.plan.cycles) for run, _ in ordered)
    per_piece = max(1, -(-segments // MOST_PIECES))
    clock = 0.0
    for run, one in ordered:
        # A layer's waits are rounded to whole cycles; what is rounded up comes at the end of its runs.
        drawn = sum(other.length for other in one.runs)
        length = run.length * (max(1.0, one.cycles / drawn) if drawn else 1.0)
        _draw(timeline, run, one.layer.stage.name, clock, ns, per_piece, hardware.memories.dram.bandwidth_gbps)
        clock += length
    timeline.count("array busy [%]", clock * ns, 0.0)
    timeline.count("DRAM [Gbit/s]", clock * ns, 0.0)
    return timeline


def _pieces(run: Stretch, per_piece: int) -> IntArray:
    """[S]: which piece each segment belongs to; a piece lies within one timestep."""
    number = np.arange(len(run.plan.cycles))
    _, first = np.unique(run.plan.timestep, return_index=True)
    within = number - np.repeat(first, np.diff(np.append(first, len(number))))
    new = (within % per_piece) == 0
    return np.cumsum(new) - 1


def _draw(
    timeline: Timeline, run: Stretch, layer: str, clock: float, ns: float, per_piece: int, most_gbps: float
) -> None:
    if not len(run.plan.cycles):
        return
    piece = _pieces(run, per_piece)
    number = int(piece[-1]) + 1
    first = np.searchsorted(piece, np.arange(number))
    last = np.append(first[1:], len(piece)) - 1
    times, plan = run.timeline, run.plan
    begin, end = times.start[first], times.finish[last]
    busy = np.bincount(piece, weights=plan.cycles, minlength=number)
    waited = times.start - np.concatenate([[0.0], times.finish[:-1]])
    stalled = np.bincount(piece, weights=waited, minlength=number)
    left = np.bincount(piece, weights=run.lif, minlength=number)
    lif_end = 0.0
    arrived = _bits_per_piece(run, piece, number)
    for index in range(number):
        steps = {"layer": layer, "timestep": int(plan.timestep[first[index]])}
        at, span = float(begin[index]), float(end[index] - begin[index])
        before = float(times.finish[first[index] - 1]) if first[index] else 0.0
        if at - before > 0:
            timeline.add("stalls", f"{layer} waits", (clock + before) * ns, (at - before) * ns, **steps)
        if busy[index]:
            folds = {"folds": int(last[index] - first[index] + 1), "busy_cycles": float(busy[index])}
            folds["stall_cycles"] = float(stalled[index])
            timeline.add("array", layer, (clock + at) * ns, span * ns, **steps, **folds)
        if left[index]:
            start = max(lif_end, at)
            lif_end = start + float(left[index])
            timeline.add("LIF units", layer, (clock + start) * ns, float(left[index]) * ns, **steps)
        whole = float(end[index]) - before
        if whole > 0:
            timeline.count("array busy [%]", (clock + before) * ns, 100.0 * float(busy[index]) / whole)
    for column, index, start, stop, bits in arrived:
        steps = {"layer": layer, "timestep": int(plan.timestep[first[index]]), "bits": bits}
        timeline.add(f"DRAM {COLUMNS[column]}", layer, (clock + start) * ns, (stop - start) * ns, **steps)
    _count_bandwidth(timeline, run, clock, ns, end, most_gbps)


def _bits_per_piece(run: Stretch, piece: IntArray, number: int) -> list[tuple[int, int, float, float, float]]:
    """Transfers of one kind and piece as one: (kind, piece, begin, end, bits)."""
    times = run.timeline
    if not len(times.end):
        return []
    group = times.column * number + piece[times.segment]
    names, index = np.unique(group, return_inverse=True)
    begin = np.full(len(names), np.inf)
    end = np.zeros(len(names))
    np.minimum.at(begin, index, times.begin)
    np.maximum.at(end, index, times.end)
    bits = np.bincount(index, weights=times.bits)
    return [
        (int(name) // number, int(name) % number, float(start), float(stop), float(moved))
        for name, start, stop, moved in zip(names, begin, end, bits, strict=True)
    ]


def _count_bandwidth(timeline: Timeline, run: Stretch, clock: float, ns: float, edges: FloatArray, most: float) -> None:
    """Bandwidth in use between the ends of pieces."""
    times = run.timeline
    stops = np.unique(np.concatenate([[0.0], edges, [times.total]]))
    if len(stops) < 2:
        return
    moments = np.stack([times.begin, times.end], axis=1).reshape(-1)
    busy = times.end - times.begin
    served = np.stack([np.cumsum(busy) - busy, np.cumsum(busy)], axis=1).reshape(-1)
    by_stop = np.interp(stops, moments, served) if len(moments) else np.zeros(len(stops))
    used = np.diff(by_stop) / np.diff(stops) * most
    for at, value in zip(stops, used, strict=False):
        timeline.count("DRAM [Gbit/s]", (clock + float(at)) * ns, float(value))
