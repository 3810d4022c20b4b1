"""The spikes of a trace as the receptive fields of a weighted operation see them.

A receptive field runs over kernel row, kernel column, channel, the channel innermost: the order in which
feature maps lie in the buffers. Output positions run along rows of the output map.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from accelsim.core.types import IntArray
from accelsim.workload import Operation, Workload
from accelsim.workload.activity import held
from accelsim.workload.trace import Record

Levels = npt.NDArray[np.uint8]


def record_of(workload: Workload, op: Operation, operand: int = 0) -> Record | None:
    """The trace's input of an operation as the bit-planes that the machine gets, or None without a trace."""
    if workload.trace is None or workload.is_ann:
        return None
    record = workload.trace[op.name if operand == 0 else f"{op.name}.rhs"].first(workload.timesteps)
    kind = op.in_types[operand]
    return record if kind.is_spiking else held(record, kind)


def elements(record: Record, step: int, image: int, what: str) -> Levels:
    """One input, in its shape: its set bits (`what`: "bits"), or 1 where an element is not zero ("nonzero")."""
    assert record.bits is not None
    packed = record.bits[:, min(step, record.steps - 1), image]
    if what == "nonzero":
        packed = np.bitwise_or.reduce(packed, axis=0, keepdims=True)
    unpacked = np.unpackbits(packed, axis=-1, count=record.elements, bitorder="little")
    found: Levels = unpacked.sum(axis=0, dtype=np.uint8) if len(unpacked) > 1 else unpacked[0]
    return found.reshape(record.shape)


def planes(record: Record, step: int, image: int) -> Iterator[Levels]:
    """One input bit-plane by bit-plane."""
    for plane in range(record.planes):
        yield elements(Record("binary", record.shape, 1.0, _plane(record, plane)), step, image, "bits")


def _plane(record: Record, plane: int) -> Levels:
    assert record.bits is not None
    return record.bits[plane : plane + 1]


def window_sums(op: Operation, values: Levels) -> IntArray:
    """[groups, m]: sum of `values` (of the input's shape) over the receptive field of each output position.

    Channels are summed first, so that a window is a sum over its taps only.
    """
    gemm = op.products()
    plane = op.by_group(values).sum(axis=1, dtype=np.int64)
    total = np.zeros((gemm.groups, *op.field.out), dtype=np.int64)
    for view in op.field.taps_of(plane):
        total += view
    return total.reshape(gemm.groups, gemm.m)


def unrolled(op: Operation, values: Levels) -> Levels:
    """[groups, m, k]: `values` of each receptive field, one below the other."""
    gemm = op.products()
    windows = op.field.windows(op.by_group(values), 2)  # [groups, channels, *out, *kernel]
    return np.ascontiguousarray(np.moveaxis(windows, 1, -1)).reshape(gemm.groups, gemm.m, gemm.k)
