"""How much the overlap of layers asks of the buffers: computed from a schedule, beside what is there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.hardware.parts import Demand
from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.spikeflow.kernels import peak
from accelsim.spikeflow.layer import LayerModel
from accelsim.spikeflow.pipeline import Schedule
from accelsim.spikeflow.windows import windows_of
from accelsim.workload import Operation, Workload
from accelsim.workload.outputs import source

FloatArray = npt.NDArray[np.float64]


def required(workload: Workload, hardware: SpikeflowFile, layers: list[LayerModel], plan: Schedule) -> dict[str, Any]:
    """Bits that feature maps occupy in the global buffer at the worst moment, and what tile buffers must hold."""
    tile = hardware.memories.tile_buffer
    tiles = {}
    for model in layers:
        if model.placed is not None:
            buffer = model.placed.traffic.buffer
            tiles[model.stage.name] = {
                "rows_of_window_bits": buffer.windows.reach * buffer.row_bits,
                # One more row, so that it can come while the others are in use.
                "for_overlap_bits": (buffer.windows.reach + 1) * buffer.row_bits,
                "provided_bits": tile.working_bits,
            }
    macros = hardware.global_macros(Demand.of(workload))
    peak = peak_bits(workload, plan)
    # Sized for one timestep of every map; layers that run ahead of one another may need more.
    number = max(macros.number, math.ceil(peak / (macros.size_bytes * 8)))
    fixed = hardware.memories.global_buffer.size_bytes is not None
    return {
        "global_buffer": {
            "peak_bits": peak,
            "macro_bits": macros.size_bytes * 8,
            "macros": macros.number if fixed else number,
            "short_by_bits": max(0.0, peak - macros.number * macros.size_bytes * 8) if fixed else 0.0,
        },
        "tile_buffer": tiles,
    }


def peak_bits(workload: Workload, plan: Schedule) -> float:
    """Most bits of feature maps alive at once: from when a row exists until nobody needs it any more."""
    comes, goes, bits = [], [], []
    for name, free in _released(workload, plan).items():
        written = plan.ready[name]
        op = workload.graph.by_name.get(name)
        shape, kind = (op.out_shape, op.out_type) if op else (workload.graph.input_shape, workload.graph.input_type)
        bits.append(math.prod(shape) * kind.planes / written.shape[1])
        if kind.static:  # held once for all timesteps
            written, free = written[:1], free.max(axis=0, keepdims=True)
        comes.append(written.reshape(-1))
        goes.append(free.reshape(-1))
    if not bits:
        return 0.0
    written, owner = np.concatenate(comes), np.repeat(np.arange(len(bits)), [len(rows) for rows in comes])
    freed = np.maximum(np.concatenate(goes), written + 1.0)  # sending takes a cycle or more
    orders = np.argsort(written, kind="stable"), np.argsort(freed, kind="stable")  # fast where nearly sorted
    return float(peak(written, freed, *orders, np.array(bits), owner))


def _released(workload: Workload, plan: Schedule) -> dict[str, FloatArray]:
    """[T, rows] of each feature map that something reads: when its last reader has taken each row."""
    released: dict[str, FloatArray] = {}
    graph = workload.graph
    for op in graph.operations:
        if op.gemm is None and op.kind != "add":
            continue
        for given in op.inputs:
            name = source(graph, given)
            written = plan.ready[name]
            if op.gemm is None:
                taken = plan.ready[op.name]
                free = taken if taken.shape == written.shape else _all_rows(taken, written)
            else:
                free = _sent(op, plan.times[op.name].inject, written)
            known = released.get(name)
            released[name] = free if known is None else np.maximum(known, free)
    return released


def _sent(op: Operation, inject: FloatArray, written: FloatArray) -> FloatArray:
    """When each row of an operation's input has left for the tiles for the last time."""
    windows = windows_of(op)
    if op.kind != "conv2d" or written.shape[1] != windows.rows_in:
        return _all_rows(inject, written)
    free = written.copy()
    if inject.shape[1] == len(windows.needed):  # every row once
        free[:, windows.needed] = inject
        return free
    for row, (first, last) in enumerate(zip(windows.first, windows.last, strict=True)):
        rows = windows.needed[first : last + 1]
        free[:, rows] = np.maximum(free[:, rows], inject[:, row : row + 1])
    return free


def _all_rows(moments: FloatArray, written: FloatArray) -> FloatArray:
    return np.broadcast_to(moments.max(axis=1, keepdims=True), written.shape)
