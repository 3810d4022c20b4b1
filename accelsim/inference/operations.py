"""Operations without weights: pooling, residual sums, gains over time, views. They keep whole numbers whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from accelsim.inference.values import Value, inward, outward
from accelsim.inference.windows import pooled
from accelsim.workload import Operation
from accelsim.workload.affine import TimeAffine
from accelsim.workload.schema import PoolFields


def pooling(op: Operation, value: Value) -> Value:
    """Maximum; or the sum over each window with the division in the unit, so that spikes become counts."""
    spec: Any = op.spec
    assert isinstance(spec, PoolFields)
    if op.kind == "maxpool2d":
        return Value(pooled(value.codes, spec, op.out_shape, average=False), value.unit)
    total = pooled(value.codes, spec, op.out_shape, average=True)
    return Value(total, value.unit / (spec.kernel[0] * spec.kernel[1]))


def summed(op: Operation, values: Sequence[Value], whole: bool) -> Value:
    """Residual sum: of spikes and their averages exact, in parts of a spike that hold all of them.

    On a machine's arithmetic (`whole`) the sum of currents is in the finest of the units; coarser ones are rounded
    to it, as adders of one scale do.
    """
    units, parts = {value.unit for value in values}, op.out_type.parts
    one = [value.unit * kind.parts for value, kind in zip(values, op.in_types, strict=True)]  # a neuron's spike
    codes = [value.codes if value.codes.dtype.kind == "f" else value.codes.astype(np.int64) for value in values]
    if len(units) == 1:
        return Value(sum(codes[1:], start=codes[0]), values[0].unit)
    if op.out_type.is_spiking and np.allclose(one, one[0], rtol=1e-12, atol=0.0):
        codes = [code * (parts // kind.parts) for code, kind in zip(codes, op.in_types, strict=True)]
        return Value(sum(codes[1:], start=codes[0]), one[0] / parts)
    if not (whole or op.out_type.is_spiking):
        real = [value.codes.astype(np.float32) * np.float32(value.unit) for value in values]
        return Value(sum(real[1:], start=real[0]))
    unit = min(units)
    rounded = [np.rint(value.codes * (value.unit / unit)) if value.unit != unit else value.codes for value in values]
    spiking = all(value.codes.dtype.kind in "iu" for value in values)
    total = sum(rounded[1:], start=rounded[0].astype(np.float64))
    return Value(total.astype(np.int64) if spiking else total, unit)


def scaled(affine: TimeAffine, value: Value, step: int, whole: bool) -> Value:
    """Currents [images, ..., channels] with the gain and the offset of a timestep.

    On a machine's arithmetic (`whole`) the gain is a word of 16 bits, the result a whole number of the sums' unit.
    """
    held = affine.in_words() if whole else affine
    gain, offset = held.gain[step], held.offset[step]
    if whole:
        return Value(np.rint(value.codes * gain + offset / value.unit), value.unit)
    real = value.codes if value.unit == 1 else value.codes * np.float32(value.unit)
    return Value(real * gain.astype(np.float32) + offset.astype(np.float32))


def viewed(op: Operation, value: Value) -> Value:
    """`flatten` and `view` (in the order of files) and `tokens` ([positions, channels])."""
    if op.kind == "view":
        return Value(inward(outward(value.codes).reshape(value.images, *op.out_shape)), value.unit)
    if op.kind == "flatten":
        return Value(np.ascontiguousarray(outward(value.codes)).reshape(value.images, -1), value.unit)
    codes = value.codes if len(op.in_shapes[0]) > 2 else inward(value.codes, channels_first=True)
    return Value(codes.reshape(value.images, -1, codes.shape[-1]), value.unit)
