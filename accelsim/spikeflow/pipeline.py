"""When every row of every feature map exists: layers overlap, a row waits for the rows its window needs."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.workload import Graph, Operation
from accelsim.workload.graph import VIEWS
from accelsim.workload.schema import Conv2dSpec, PoolFields

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Service:
    """How long a weighted operation takes for one row of its output, per timestep (cycles)."""

    row_cycles: FloatArray


@dataclass(frozen=True)
class Schedule:
    """Finishing times of a run."""

    finished: dict[str, float]
    """Cycle at which each weighted operation has done its last timestep."""
    end: float
    """Cycle at which everything is done."""


def schedule(graph: Graph, services: dict[str, Service], timesteps: int, pipeline: str) -> Schedule:
    """Compute all finishing times.

    Each weighted operation serves its rows in order, all of a timestep before the next; row i is done
    at f_i = d_i + max(f_(i-1), ready_i), which is D_i + max_{j<=i}(ready_j - D_(j-1)) with D the running
    sum of the service times d. With ``pipeline: none`` an operation waits until all before it are done.
    """
    rows_in = graph.input_shape[1] if len(graph.input_shape) == 3 else 1
    ready: dict[str, FloatArray] = {"input": np.zeros((timesteps, rows_in))}
    finished: dict[str, float] = {}
    for op in graph.operations:
        inputs = [ready[name] for name in op.inputs] or [np.zeros((timesteps, 1))]
        if op.gemm is None:
            ready[op.name] = _passed_on(op, inputs)
            continue
        rows = op.out_shape[1] if op.kind == "conv2d" else 1
        if pipeline == "none":
            start = max(finished.values(), default=0.0)
            need = np.full((timesteps, rows), start)
        else:
            need = np.max([_window_ready(op, array, axis_rows=rows) for array in inputs], axis=0)
        service = np.repeat(services[op.name].row_cycles, rows)
        total = np.cumsum(service)
        done = total + np.maximum.accumulate(need.reshape(-1) - (total - service))
        ready[op.name] = done.reshape(timesteps, rows)
        finished[op.name] = float(done[-1])
    end = max(float(array.max()) for array in ready.values())
    return Schedule(finished, end)


def _passed_on(op: Operation, inputs: list[FloatArray]) -> FloatArray:
    """Operations in the data path without a unit of their own that could hold anything up."""
    if isinstance(op.spec, PoolFields):
        stride = op.spec.stride or op.spec.kernel
        return _last_rows(inputs[0], op.out_shape[1], op.spec.kernel[0], stride[0], op.spec.padding[0], 1)
    if op.kind in (*VIEWS, "opaque"):  # axes change: rows are rows no longer
        inputs = [array.max(axis=1, keepdims=True) for array in inputs]
    return functools.reduce(np.maximum, inputs)


def _window_ready(op: Operation, array: FloatArray, axis_rows: int) -> FloatArray:
    """When the last input row that each output row needs exists."""
    if isinstance(op.spec, Conv2dSpec):
        spec = op.spec
        return _last_rows(array, axis_rows, spec.kernel[0], spec.stride[0], spec.padding[0], spec.dilation[0])
    return np.broadcast_to(array.max(axis=1, keepdims=True), (array.shape[0], axis_rows))


def _last_rows(array: FloatArray, rows: int, kernel: int, stride: int, padding: int, dilation: int) -> FloatArray:
    last = np.clip(np.arange(rows) * stride - padding + (kernel - 1) * dilation, 0, array.shape[1] - 1)
    return np.maximum.accumulate(array, axis=1)[:, last]
