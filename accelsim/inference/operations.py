"""Operations without weights: pooling, residual sums, views. They keep whole numbers whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from accelsim.inference.values import Value, outward
from accelsim.inference.windows import pooled
from accelsim.workload import Operation
from accelsim.workload.schema import PoolFields


def pooling(op: Operation, value: Value) -> Value:
    """Maximum; or the sum over each window with the division in the unit, so that spikes become counts."""
    spec: Any = op.spec
    assert isinstance(spec, PoolFields)
    if op.kind == "maxpool2d":
        return Value(pooled(value.codes, spec, op.out_shape, average=False), value.unit)
    total = pooled(value.codes, spec, op.out_shape, average=True)
    return Value(total, value.unit / (spec.kernel[0] * spec.kernel[1]))


def summed(values: Sequence[Value]) -> Value:
    """Sum in the finest of the units; coarser ones are rounded to it, as adders of one scale do."""
    units = {value.unit for value in values}
    if len(units) == 1:
        codes = [value.codes if value.codes.dtype.kind == "f" else value.codes.astype(np.int64) for value in values]
        return Value(sum(codes[1:], start=codes[0]), values[0].unit)
    unit = min(units)
    whole = [np.rint(value.codes * (value.unit / unit)) if value.unit != unit else value.codes for value in values]
    spiking = all(value.codes.dtype.kind in "iu" for value in values)
    total = sum(whole[1:], start=whole[0].astype(np.float64))
    return Value(total.astype(np.int64) if spiking else total, unit)


def viewed(op: Operation, value: Value) -> Value:
    """`flatten` (in the order of files) and `tokens` ([height * width, channels])."""
    if op.kind == "flatten":
        return Value(np.ascontiguousarray(outward(value.codes)).reshape(value.images, -1), value.unit)
    images, channels = value.images, value.codes.shape[-1]
    return Value(value.codes.reshape(images, -1, channels), value.unit)
