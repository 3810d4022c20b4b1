"""Exact products: floating point for the ideal network, whole numbers for a digital machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from accelsim.core.exact import HALF_BITS, halves, on_grid
from accelsim.core.types import Array
from accelsim.inference.values import Value
from accelsim.inference.weights import Layer
from accelsim.workload import Operation
from accelsim.workload.kinds import MatmulSpec

# Receptive fields of this many bytes at once: they stay in the cache of one core or near it.
_FIELD_BYTES = 8_000_000


class Product(Protocol):
    """A weighted layer as some arithmetic computes it."""

    def __call__(self, value: Value, step: int, first_image: int) -> Value:
        """Currents [images, ..., M] of inputs at timestep `step`; image `first_image` of the run comes first."""
        ...


def chunks(images: int, bytes_per_image: int) -> list[slice]:
    """Images in runs whose receptive fields fit `_FIELD_BYTES`."""
    size = max(1, _FIELD_BYTES // max(bytes_per_image, 1))
    return [slice(start, min(start + size, images)) for start in range(0, images, size)]


def dense(inputs: Array, layer: Layer, dtype: Any) -> Array:
    """codes . x for inputs [N, (*plane,) C] in one floating-point type, [N, ..., groups x M]."""
    field, gemm = layer.op.field, layer.op.products()
    codes = layer.codes.astype(dtype, copy=False)
    if not field.slides and gemm.groups == 1:
        return np.asarray(inputs.astype(dtype) @ codes[0])
    result = np.empty((len(inputs), *field.out, gemm.groups * gemm.n), dtype=dtype)
    width = inputs.shape[-1] // gemm.groups
    for part in chunks(len(inputs), gemm.m * gemm.k * gemm.groups * np.dtype(dtype).itemsize):
        view = field.windows(inputs[part].astype(dtype), 1)
        for group in range(gemm.groups):
            rows = np.ascontiguousarray(view[..., group * width : (group + 1) * width]).reshape(-1, gemm.k)
            found = (rows @ codes[group]).reshape(-1, *field.out, gemm.n)
            result[part, ..., group * gemm.n : (group + 1) * gemm.n] = found
    return result


class IdealProduct:
    """Single precision, as the network was trained, but that a sum is exact and rounded once.

    So the currents, and with them every spike, are the same on any processor and any number of threads
    (`accelsim.core.exact`).
    """

    def __init__(self, layer: Layer, largest_input: int) -> None:
        self._spiking = replace(layer, codes=on_grid(layer.codes, largest_input))
        self._real = replace(layer, codes=on_grid(layer.codes, 2**HALF_BITS))
        self._bias = None if layer.bias is None else layer.bias.astype(np.float32)

    def __call__(self, value: Value, step: int, first_image: int) -> Value:
        """See `Product`."""
        if value.codes.dtype.kind in "iu":
            exact = dense(value.codes, self._spiking, np.float64)
        else:
            upper, lower, steps = halves(value.codes)
            exact = np.ldexp(dense(upper, self._real, np.float64), HALF_BITS) + dense(lower, self._real, np.float64)
            exact *= steps.reshape(-1, *[1] * (exact.ndim - 1))
        found = (exact * value.unit).astype(np.float32)
        if self._bias is not None:
            found += self._bias
        return Value(found)


class QuantisedProduct:
    """Whole numbers, exact: in single precision where no sum can exceed 2^24, else in double precision."""

    def __init__(self, layer: Layer, largest_input: int) -> None:
        self._layer = layer
        bound = np.abs(layer.codes).sum(axis=1).max(initial=0) * max(largest_input, 1)
        self._type = np.float32 if bound < 2**24 else np.float64

    def __call__(self, value: Value, step: int, first_image: int) -> Value:
        """See `Product`."""
        found = dense(value.codes, self._layer, self._type).astype(np.float64)
        return with_bias(found, self._layer, value.unit)


def with_bias(sums: Array, layer: Layer, input_unit: float) -> Value:
    """Sums of codes in weight step x input step, plus the bias as a whole number of them."""
    unit = layer.unit * input_unit
    if layer.bias is not None:
        sums += np.rint(layer.bias / unit)
    return Value(sums, unit)


def shifted(currents: Value, bias: Array | None, place: float) -> Value:
    """Currents [images, ..., channels] whose part from spikes is multiplied by `place`, a power of two."""
    if place == 1.0:
        return currents
    constant = 0.0 if bias is None else np.rint(np.asarray(bias, dtype=np.float64) / currents.unit)
    return Value((currents.codes - constant) * place + constant, currents.unit)


def attention(op: Operation, a: Value, b: Value) -> Value:
    """Product of two activations, per head; digital on every machine. Both in the order of `values`."""
    spec = op.spec
    assert isinstance(spec, MatmulSpec)
    left, right = (_heads(value.codes, spec.heads) for value in (a, b))
    if spec.transpose_b:
        right = right.swapaxes(-1, -2)
    found = left.astype(np.float64) @ right.astype(np.float64)  # [N, heads, rows, columns]; exact for spikes
    if len(op.out_shape) == 3:
        found = np.moveaxis(found, 1, -1)
    else:
        found = found.transpose(0, 2, 1, 3).reshape(len(found), *op.out_shape)
    whole = left.dtype.kind in "iu" and right.dtype.kind in "iu"
    return Value(
        np.ascontiguousarray(found.astype(np.int64 if whole else np.result_type(left, right))), a.unit * b.unit
    )


def _heads(codes: Array, heads: int) -> Array:
    """[N, heads, rows, columns] of [N, tokens, features] or of per-head maps."""
    if codes.ndim == 4:
        return np.moveaxis(codes, -1, 1)
    images, tokens, features = codes.shape
    return codes.reshape(images, tokens, heads, features // heads).transpose(0, 2, 1, 3)
