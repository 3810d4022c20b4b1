"""How much the overlap of layers asks of the buffers: computed from a schedule, beside what is there."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from accelsim.core.memo import memo
from accelsim.core.types import FloatArray
from accelsim.costs.parts import Demand
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.spikeflow.kernels.rows import peak
from accelsim.machines.spikeflow.pipeline import Schedule
from accelsim.machines.spikeflow.placement import Placed
from accelsim.machines.spikeflow.windows import windows_of
from accelsim.workload import Graph, Operation, Workload
from accelsim.workload.outputs import source


def required(
    workload: Workload, hardware: SpikeflowFile, placed: Mapping[str, Placed], plan: Schedule
) -> dict[str, Any]:
    """Bits that feature maps occupy in the global buffer at the worst moment, and what tile buffers must hold."""
    tile = hardware.memories.tile_buffer
    tiles = {}
    for name, item in placed.items():
        buffer = item.traffic.buffer
        tiles[name] = {
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
    for held in _held_maps(workload.graph):
        written = plan.ready[held.name]
        free = functools.reduce(np.maximum, [_freed(reader, plan, written) for reader in held.readers])
        bits.append(held.bits / written.shape[1])
        if held.static:
            written, free = written[:1], free.max(axis=0, keepdims=True)
        comes.append(written.reshape(-1))
        goes.append(free.reshape(-1))
    if not bits:
        return 0.0
    written, owner = np.concatenate(comes), np.repeat(np.arange(len(bits)), [len(rows) for rows in comes])
    freed = np.maximum(np.concatenate(goes), written + 1.0)  # sending takes a cycle or more
    orders = np.argsort(written, kind="stable"), np.argsort(freed, kind="stable")  # fast where nearly sorted
    return float(peak(written, freed, *orders, np.array(bits), owner))


@dataclass(frozen=True)
class _Held:
    """A feature map that lies in the global buffer until all have read it."""

    name: str
    bits: int
    static: bool
    """Held once for all timesteps."""
    readers: list[Operation]
    """Weighted operations, and residual sums."""


@memo
def _held_maps(graph: Graph) -> list[_Held]:
    readers: dict[str, list[Operation]] = {}
    for op in graph.operations:
        if op.gemm is not None or op.kind == "add":
            for name in op.inputs:
                readers.setdefault(source(graph, name), []).append(op)
    maps = {"input": (graph.input_shape, graph.input_type)}
    maps |= {op.name: (op.out_shape, op.out_type) for op in graph.operations}
    return [
        _Held(name, math.prod(maps[name][0]) * maps[name][1].planes, maps[name][1].static, found)
        for name, found in readers.items()
    ]


def _freed(reader: Operation, plan: Schedule, written: FloatArray) -> FloatArray:
    """[T, rows] when a reader has taken each row of a map for the last time."""
    if reader.gemm is None:
        taken = plan.ready[reader.name]
        return taken if taken.shape == written.shape else _all_rows(taken, written)
    return _sent(reader, plan.times[reader.name].inject, written)


def _sent(op: Operation, inject: FloatArray, written: FloatArray) -> FloatArray:
    """When each row of an operation's input has left for the tiles for the last time."""
    windows = windows_of(op)
    if written.shape[1] != windows.rows_in:
        return _all_rows(inject, written)
    if inject.shape == written.shape:  # every row once
        return inject
    free = written.copy()
    if inject.shape[1] == len(windows.needed):  # every row that is read
        free[:, windows.needed] = inject
        return free
    for row, (first, last) in enumerate(zip(windows.first, windows.last, strict=True)):
        rows = windows.needed[first : last + 1]
        free[:, rows] = np.maximum(free[:, rows], inject[:, row : row + 1])
    return free


def _all_rows(moments: FloatArray, written: FloatArray) -> FloatArray:
    return np.broadcast_to(moments.max(axis=1, keepdims=True), written.shape)
