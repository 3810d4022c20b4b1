"""When every row of every feature map exists: timesteps and layers overlap, a row waits for what its windows need."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from accelsim.core.types import FloatArray, IntArray
from accelsim.ledger.timeline import Timeline
from accelsim.machines.spikeflow.kernels.rows import serve_rows
from accelsim.machines.spikeflow.timing import StageTiming
from accelsim.machines.spikeflow.windows import windows_of
from accelsim.workload import Graph, Operation
from accelsim.workload.graph import VIEWS
from accelsim.workload.schema import PoolFields


@dataclass(frozen=True)
class NetworkDelays:
    """Network delays of one layer in cycles; what does not differ in time or between windows is there once."""

    fetch: FloatArray
    """[T or 1, messages or 1] from sending rows until they are in all tiles."""
    send: FloatArray
    """[T or 1, messages or 1] cycles for which sending rows occupies the busiest of the module's ports."""
    back: FloatArray
    """[T or 1, windows or 1] from the leaving of a window's sums until all are at the neuronal module."""
    drain: float = 0.0
    """Cycles for which the sums of one window occupy the busiest of the module's ports."""


@dataclass(frozen=True)
class Times:
    """When things happen in one layer (cycles); see `kernels.serve_rows`."""

    inject: FloatArray
    """[T, messages]"""
    start: FloatArray
    """[T, output rows]"""
    leave: FloatArray
    """[T, windows], or empty where nobody asked"""
    arrive: FloatArray
    """likewise"""
    done: FloatArray
    """[T, output rows]"""


@dataclass(frozen=True)
class Schedule:
    """All times of a run."""

    times: dict[str, Times]
    """Of each weighted operation."""
    ready: dict[str, FloatArray]
    """[T, rows] when each row of each operation's output exists at the neuronal module."""
    finished: dict[str, float]
    """Cycle at which each weighted operation has done its last timestep."""
    end: float
    """Cycle at which everything is done."""


_NOTHING = np.zeros((1, 1))
_NO_WINDOWS = np.zeros((0, 0))
_NO_DELAYS = NetworkDelays(_NOTHING, _NOTHING, _NOTHING)


def schedule(
    graph: Graph,
    timings: Mapping[str, StageTiming],
    timesteps: int,
    pipeline: str,
    *,
    delays: Mapping[str, NetworkDelays] | None = None,
    extra: Mapping[str, FloatArray] | None = None,
    input_rows: FloatArray | None = None,
    each_window: bool = True,
) -> Schedule:
    """Compute all times.

    Each weighted operation serves its rows in order, all of a timestep before the next. With
    ``pipeline: none`` an operation waits until all before it are done.

    Args:
        graph: the network.
        timings: of each weighted operation.
        timesteps: T.
        pipeline: "rows" or "none".
        delays: of the network by operation; none by default.
        extra: [T, rows] further wait in the neuronal module by operation.
        input_rows: [T, rows] when the rows of the network's input exist; at the start by default.
        each_window: tell the times of each window, too.
    """
    rows_in = graph.input_shape[1] if len(graph.input_shape) == 3 else 1
    ready = {"input": np.zeros((timesteps, rows_in)) if input_rows is None else input_rows}
    times: dict[str, Times] = {}
    finished: dict[str, float] = {}
    for op in graph.operations:
        inputs = [ready[name] for name in op.inputs] or [np.zeros((timesteps, 1))]
        if op.gemm is None:
            ready[op.name] = _passed_on(op, inputs)
            continue
        before = max(finished.values(), default=0.0) if pipeline == "none" else 0.0
        wait = (extra or {}).get(op.name, _NOTHING)
        found, finished[op.name] = _serve(
            op, inputs, before, timings[op.name], (delays or {}).get(op.name, _NO_DELAYS), wait, each_window
        )
        times[op.name], ready[op.name] = found, found.done
    # What has no unit of its own is ready when the last of its inputs is.
    end = max(float(ready["input"].max()), *finished.values(), 0.0)
    return Schedule(times, ready, finished, end)


def _serve(
    op: Operation,
    inputs: list[FloatArray],
    not_before: float,
    timing: StageTiming,
    delays: NetworkDelays,
    extra: FloatArray,
    each_window: bool,
) -> tuple[Times, float]:
    """The operation's times, and the last of them."""
    windows, steps = windows_of(op), len(timing.runs)
    rows, total = windows.rows, timing.windows
    # The last of several inputs; of what has no rows of its own, all rows exist at once.
    ready = inputs[0] if windows.rows_in > 1 else functools.reduce(np.maximum, map(_at_once, inputs))
    found = Times(
        np.zeros((steps, rows if timing.streams else len(windows.needed))),
        np.empty((steps, rows)),
        np.zeros((steps, total)) if each_window else _NO_WINDOWS,
        np.zeros((steps, total)) if each_window else _NO_WINDOWS,
        np.empty((steps, rows)),
    )
    latest = serve_rows(
        ready,
        windows.needed,
        not_before,
        timing.runs,
        windows.first,
        windows.last,
        windows.width if total > 1 else 1,
        timing.copies,
        timing.capacity,
        timing.streams,
        delays.send,
        delays.fetch,
        timing.interval,
        timing.depth,
        delays.back,
        delays.drain,
        timing.neurons,
        extra,
        found.inject,
        found.start,
        found.leave,
        found.arrive,
        found.done,
    )
    return found, latest


def _at_once(rows: FloatArray) -> FloatArray:
    """[T, 1] when all rows exist."""
    return rows if rows.shape[1] == 1 else np.maximum.reduce(rows, axis=1, keepdims=True)


@lru_cache(maxsize=1024)
def _last_rows(rows: int, kernel: int, stride: int, padding: int, rows_in: int) -> IntArray:
    """[rows] the last input row behind each row of pooled output."""
    last = np.arange(rows) * stride - padding + kernel - 1
    return np.clip(last, 0, rows_in - 1)


def _passed_on(op: Operation, inputs: list[FloatArray]) -> FloatArray:
    """Operations in the data path without a unit of their own that could hold anything up."""
    if isinstance(op.spec, PoolFields):
        stride, rows_in = (op.spec.stride or op.spec.kernel)[0], inputs[0].shape[1]
        last = _last_rows(op.out_shape[1], op.spec.kernel[0], stride, op.spec.padding[0], rows_in)
        return np.maximum.accumulate(inputs[0], axis=1)[:, last]
    if op.kind in (*VIEWS, "opaque"):  # axes change: rows are rows no longer
        inputs = [_at_once(array) for array in inputs]
    return inputs[0] if len(inputs) == 1 else functools.reduce(np.maximum, inputs)


def timeline(timings: Mapping[str, StageTiming], plan: Schedule, clock_mhz: float) -> Timeline:
    """One track per layer's PEs (a span per output row), one for the neuronal module, a counter of busy layers."""
    ns = 1e3 / clock_mhz
    found = Timeline()
    edges: list[tuple[float, int]] = []
    for name, timing in timings.items():
        times = plan.times[name]
        rows = times.start.shape[1]
        per_row = np.broadcast_to(timing.interval, (len(timing.runs), timing.windows))
        per_row = per_row.reshape(len(timing.runs), rows, -1)
        part = -(-per_row.shape[2] // timing.copies)
        busy = np.max([per_row[:, :, at : at + part].sum(axis=2) for at in range(0, per_row.shape[2], part)], axis=0)
        for t in np.flatnonzero(timing.runs):
            for row in range(rows):
                start, length = float(times.start[t, row]), float(busy[t, row])
                found.add(name, name, start * ns, length * ns, timestep=int(t), row=row)
                edges += [(start, 1), (start + length, -1)]
    for name, timing in timings.items():
        if not timing.neurons:
            continue
        times = plan.times[name]
        work = timing.neurons * timing.windows / times.done.shape[1]
        for step in range(times.done.shape[0]):
            for row in range(times.done.shape[1]):
                end = float(times.done[step, row])
                found.add("neuronal module", name, (end - work) * ns, work * ns, timestep=step, row=row)
    active = 0
    for moment, change in sorted(edges):
        active += change
        found.count("layers at work", moment * ns, active)
    return found
