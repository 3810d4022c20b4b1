"""The spikes of a trace as the receptive fields of a weighted operation see them.

A receptive field runs over kernel row, kernel column, channel, the channel innermost: the order in which
feature maps lie in the buffers. Output positions run along rows of the output map.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.workload import Operation, Workload
from accelsim.workload.activity import held
from accelsim.workload.schema import Conv2dSpec, MatmulSpec
from accelsim.workload.trace import Record

IntArray = npt.NDArray[np.int64]
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

    Channels are summed first, so that a window is a sum over its kernel positions only; each of these is
    one shifted and strided view of the padded map.
    """
    gemm = op.products()
    if not isinstance(op.spec, Conv2dSpec):
        rows: IntArray = _rows(op, values).sum(axis=2, dtype=np.int64)
        return rows
    plane = values.reshape(gemm.groups, -1, *values.shape[1:]).sum(axis=1, dtype=np.int64)
    total = np.zeros((gemm.groups, *op.out_shape[1:]), dtype=np.int64)
    for view in _shifted(op, plane):
        total += view
    return total.reshape(gemm.groups, gemm.m)


def unrolled(op: Operation, values: Levels) -> Levels:
    """[groups, m, k]: `values` of each receptive field, one below the other."""
    gemm = op.products()
    if not isinstance(op.spec, Conv2dSpec):
        return _rows(op, values)
    by_group = values.reshape(gemm.groups, -1, *values.shape[1:])
    views = [np.moveaxis(view, 1, -1) for view in _shifted(op, by_group)]
    stacked = np.stack(views, axis=-2)  # [groups, height, width, taps, channels]
    return np.ascontiguousarray(stacked).reshape(gemm.groups, gemm.m, gemm.k)


def _shifted(op: Operation, maps: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """For each kernel position, what all output positions see there: [..., height, width]."""
    spec = op.spec
    assert isinstance(spec, Conv2dSpec)
    (top, left), (down, right) = spec.padding, spec.stride
    height, width = op.out_shape[1:]
    padded = np.pad(maps, [(0, 0)] * (maps.ndim - 2) + [(top, top), (left, left)])
    for row in range(spec.kernel[0]):
        for column in range(spec.kernel[1]):
            y, x = row * spec.dilation[0], column * spec.dilation[1]
            yield padded[..., y : y + down * (height - 1) + 1 : down, x : x + right * (width - 1) + 1 : right]


def _rows(op: Operation, values: Levels) -> Levels:
    """[groups, m, k] of an operation without a window: features, tokens, heads of tokens."""
    gemm = op.products()
    if isinstance(op.spec, MatmulSpec) and values.ndim == 2:
        return np.ascontiguousarray(np.moveaxis(values.reshape(gemm.m, gemm.groups, gemm.k), 1, 0))
    return values.reshape(gemm.groups, gemm.m, gemm.k)
