"""When every row of every feature map exists: timesteps and layers overlap, a row waits for what its windows need."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.spikeflow.kernels import serve_rows
from accelsim.spikeflow.windows import Windows, windows_of
from accelsim.workload import Graph, Operation
from accelsim.workload.graph import VIEWS
from accelsim.workload.schema import PoolFields

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Service:
    """What a weighted operation asks of its unit and of the network, in cycles. Arrays are [T, windows] but `runs`."""

    runs: FloatArray
    """[T] 1 where it computes, 0 where it repeats the sums of the timestep before."""
    interval: FloatArray
    """From one window to the next."""
    depth: FloatArray
    """Of one window through all stages of a tile."""
    neurons: float
    """Of one window in the neuronal module."""
    copies: int = 1
    capacity: int = 1 << 30
    """Input rows that a tile buffer holds."""
    streams: bool = False
    """The tile buffer is too small for the rows of a window."""

    def busy(self, width: int) -> float:
        """Cycles per image in which the operation's own unit works: the longest of its copies."""
        part = -(-width // self.copies)
        steps = self.interval.reshape(len(self.runs), -1, width) * self.runs[:, None, None]
        parts = [steps[:, :, start : start + part].sum() for start in range(0, width, part)]
        return float(max(parts))


@dataclass(frozen=True)
class Times:
    """When things happen in one layer (cycles); see `kernels.serve_rows`."""

    inject: FloatArray
    """[T, messages]"""
    start: FloatArray
    """[T, output rows]"""
    leave: FloatArray
    """[T, windows]"""
    arrive: FloatArray
    """[T, windows]"""
    done: FloatArray
    """[T, output rows]"""


@dataclass(frozen=True)
class Schedule:
    """All times of a run."""

    times: dict[str, Times]
    """Of each weighted operation."""
    ready: dict[str, FloatArray]
    """[T, rows] when each row of each operation's output exists at the neuronal module."""
    end: float
    """Cycle at which everything is done."""

    @property
    def finished(self) -> dict[str, float]:
        """Cycle at which each weighted operation has done its last timestep."""
        return {name: float(times.done.max()) for name, times in self.times.items()}


def schedule(
    graph: Graph,
    services: Mapping[str, Service],
    timesteps: int,
    pipeline: str,
    *,
    send: Mapping[str, FloatArray] | None = None,
    fetch: Mapping[str, FloatArray] | None = None,
    back: Mapping[str, FloatArray] | None = None,
    drain: Mapping[str, float] | None = None,
    extra: Mapping[str, FloatArray] | None = None,
    input_rows: FloatArray | None = None,
) -> Schedule:
    """Compute all times.

    Each weighted operation serves its rows in order, all of a timestep before the next. With
    ``pipeline: none`` an operation waits until all before it are done.

    Args:
        graph: the network.
        services: of each weighted operation.
        timesteps: T.
        pipeline: "rows" or "none".
        send, fetch, back, drain: network delays by operation (see `network.Delays`); none by default.
        extra: [T, rows] further wait in the neuronal module by operation.
        input_rows: [T, rows] when the rows of the network's input exist; at the start by default.
    """
    rows_in = graph.input_shape[1] if len(graph.input_shape) == 3 else 1
    ready = {"input": np.zeros((timesteps, rows_in)) if input_rows is None else input_rows}
    times: dict[str, Times] = {}
    for op in graph.operations:
        inputs = [ready[name] for name in op.inputs] or [np.zeros((timesteps, 1))]
        if op.gemm is None:
            ready[op.name] = _passed_on(op, inputs)
            continue
        windows = windows_of(op)
        need = _rows_of(op, windows, inputs)
        if pipeline == "none" and times:
            need = np.maximum(need, max(float(before.done.max()) for before in times.values()))
        times[op.name] = _serve(
            op.name, need, windows, services[op.name], send or {}, fetch or {}, back or {}, drain or {}, extra or {}
        )
        ready[op.name] = times[op.name].done
    return Schedule(times, ready, max(float(array.max()) for array in ready.values()))


def _serve(
    name: str,
    need: FloatArray,
    windows: Windows,
    service: Service,
    send: Mapping[str, FloatArray],
    fetch: Mapping[str, FloatArray],
    back: Mapping[str, FloatArray],
    drain: Mapping[str, float],
    extra: Mapping[str, FloatArray],
) -> Times:
    steps, rows = len(service.runs), windows.rows
    messages = rows if service.streams else len(windows.needed)
    total = service.interval.shape[1]
    found = Times(
        np.zeros((steps, messages)),
        np.zeros((steps, rows)),
        np.zeros((steps, total)),
        np.zeros((steps, total)),
        np.zeros((steps, rows)),
    )
    serve_rows(
        np.ascontiguousarray(need),
        service.runs > 0,
        windows.first,
        windows.last,
        windows.width if service.interval.shape[1] > 1 else 1,
        service.copies,
        service.capacity,
        service.streams,
        send.get(name, np.zeros((steps, messages))),
        fetch.get(name, np.zeros((steps, messages))),
        service.interval,
        service.depth,
        back.get(name, np.zeros((steps, total))),
        drain.get(name, 0.0),
        service.neurons,
        extra.get(name, np.zeros((steps, rows))),
        found.inject,
        found.start,
        found.leave,
        found.arrive,
        found.done,
    )
    return found


def _rows_of(op: Operation, windows: Windows, inputs: list[FloatArray]) -> FloatArray:
    """[T, needed rows] when each input row exists (the last of several inputs; all rows before it, too)."""
    if op.kind == "conv2d":  # of what has no rows of its own (`opaque`), all exist at once
        rows = np.broadcast_to(inputs[0], (len(inputs[0]), max(inputs[0].shape[1], op.in_shapes[0][1])))
        return np.maximum.accumulate(rows, axis=1)[:, windows.needed]
    return np.asarray(np.max([array.max(axis=1, keepdims=True) for array in inputs], axis=0))


def _passed_on(op: Operation, inputs: list[FloatArray]) -> FloatArray:
    """Operations in the data path without a unit of their own that could hold anything up."""
    if isinstance(op.spec, PoolFields):
        stride = (op.spec.stride or op.spec.kernel)[0]
        last = np.arange(op.out_shape[1]) * stride - op.spec.padding[0] + op.spec.kernel[0] - 1
        return np.maximum.accumulate(inputs[0], axis=1)[:, np.clip(last, 0, inputs[0].shape[1] - 1)]
    if op.kind in (*VIEWS, "opaque"):  # axes change: rows are rows no longer
        inputs = [array.max(axis=1, keepdims=True) for array in inputs]
    return functools.reduce(np.maximum, inputs)
