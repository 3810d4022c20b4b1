"""From the layers of a workload file to its graph: shapes, products and activation types, inferred in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from accelsim.core.errors import did_you_mean
from accelsim.workload import schema
from accelsim.workload.graph import ActivationType, Gemm, Graph, Operation, Shape, spikes

Complain = Callable[[int, str], NoReturn]
"""Raises the complaint `message` about the layer with index `index`."""


def conv_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Output size of a convolution along one axis (PyTorch's rule: floor)."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def pool_size(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """Output size of a pooling along one axis (PyTorch's rule, a window must start inside the input)."""
    if not ceil_mode:
        return conv_size(size, kernel, stride, padding)
    out = -(-(size + 2 * padding - kernel) // stride) + 1
    return out - 1 if (out - 1) * stride >= size + padding else out


def input_type(encoding: str, activation_bits: int) -> ActivationType:
    """The type of what enters the network."""
    if encoding in ("direct", "analog"):
        return ActivationType("real", 2**activation_bits - 1, activation_bits, static=encoding == "direct")
    if encoding == "hybrid":
        return ActivationType("real", 2**activation_bits - 1, activation_bits, spikes_later=True)
    if encoding == "events":
        return ActivationType("ternary", 1, 2)
    return spikes(1)


@dataclass(frozen=True)
class _Inferred:
    out_shape: Shape
    out_type: ActivationType
    gemm: Gemm | None = None
    neuron: schema.NeuronFields | None = None


class _Builder:
    """Walks the layers in order and infers everything that follows from the shapes before."""

    def __init__(self, file: schema.WorkloadFile, complain: Complain) -> None:
        self.file = file
        self.complain = complain
        self.shapes: dict[str, Shape] = {"input": tuple(file.input.shape)}
        self.types = {"input": input_type(file.input.encoding, file.precision.activation_bits)}
        self.operations: list[Operation] = []

    def add(self, index: int, spec: schema.LayerSpec) -> None:
        name = spec.name or self._automatic_name(spec.op)
        if name in self.shapes or name == "default":
            self.complain(index, f"the name '{name}' is taken; names must be unique")
        previous = self.operations[-1].name if self.operations else "input"
        inputs = tuple(spec.inputs) if spec.inputs is not None else (previous,)
        for source in inputs:
            if source not in self.shapes:
                hint = did_you_mean(source, self.shapes)
                self.complain(index, f"'{name}' takes its input from '{source}', not defined before it{hint}")
        self._check_arity(index, spec, inputs)
        shapes = tuple(self.shapes[source] for source in inputs)
        types = tuple(self.types[source] for source in inputs)
        infer = getattr(self, f"_{spec.op}")
        inferred: _Inferred = infer(index, spec, shapes, types)
        if min(inferred.out_shape) < 1:
            self.complain(
                index,
                f"impossible shape: '{name}' ({spec.op}) would turn {_text(shapes[0])} into "
                f"{_text(inferred.out_shape)}; the window does not fit the padded input",
            )
        if spec.out_shape is not None and tuple(spec.out_shape) != inferred.out_shape:
            self.complain(
                index,
                f"'{name}' is said to have out_shape {_text(tuple(spec.out_shape))}, but its input "
                f"{_text(shapes[0])} gives {_text(inferred.out_shape)}",
            )
        self.shapes[name] = inferred.out_shape
        self.types[name] = inferred.out_type
        self.operations.append(
            Operation(
                name=name,
                kind=spec.op,
                index=index,
                inputs=inputs,
                in_shapes=shapes,
                out_shape=inferred.out_shape,
                in_types=types,
                out_type=inferred.out_type,
                spec=spec,
                gemm=inferred.gemm,
                neuron=inferred.neuron,
            )
        )

    def _automatic_name(self, kind: str) -> str:
        number = 1 + sum(op.kind == kind for op in self.operations)
        while (name := f"{kind.removesuffix('2d')}{number}") in self.shapes:
            number += 1
        return name

    def _check_arity(self, index: int, spec: schema.LayerSpec, inputs: Sequence[str]) -> None:
        if spec.op == "matmul" and len(inputs) != 2:
            self.complain(index, f"matmul needs inputs: [a, b], found {len(inputs)}")
        if spec.op == "add" and len(inputs) < 2:
            self.complain(index, f"add needs two or more inputs, found {len(inputs)}")
        if spec.op not in ("matmul", "add", "opaque") and len(inputs) != 1:
            self.complain(index, f"{spec.op} has one input, found {len(inputs)}")

    def _map(self, index: int, spec: schema.LayerSpec, shape: Shape) -> tuple[int, int, int]:
        if len(shape) != 3:
            self.complain(index, f"{spec.op} needs an input of [channels, height, width], found {_text(shape)}")
        return shape[0], shape[1], shape[2]

    def _conv2d(
        self, index: int, spec: schema.Conv2dSpec, shapes: Sequence[Shape], types: Sequence[ActivationType]
    ) -> _Inferred:
        channels, height, width = self._map(index, spec, shapes[0])
        if channels % spec.groups or spec.out_channels % spec.groups:
            self.complain(
                index,
                f"groups: {spec.groups} must divide both the {channels} input and the "
                f"{spec.out_channels} output channels",
            )
        out_h, out_w = (
            conv_size(size, spec.kernel[axis], spec.stride[axis], spec.padding[axis], spec.dilation[axis])
            for axis, size in enumerate((height, width))
        )
        gemm = Gemm(
            m=max(out_h, 0) * max(out_w, 0),
            k=channels // spec.groups * spec.kernel[0] * spec.kernel[1],
            n=spec.out_channels // spec.groups,
            groups=spec.groups,
        )
        return _Inferred((spec.out_channels, out_h, out_w), self._current(types), gemm)

    def _linear(
        self, index: int, spec: schema.LinearSpec, shapes: Sequence[Shape], types: Sequence[ActivationType]
    ) -> _Inferred:
        shape = shapes[0]
        if len(shape) > 2:
            self.complain(
                index,
                f"linear needs [features] or [tokens, features], found {_text(shape)}; put a flatten before it",
            )
        tokens = shape[0] if len(shape) == 2 else 1
        gemm = Gemm(m=tokens, k=shape[-1], n=spec.out_features)
        return _Inferred((*shape[:-1], spec.out_features), self._current(types), gemm)

    def _matmul(
        self, index: int, spec: schema.MatmulSpec, shapes: Sequence[Shape], types: Sequence[ActivationType]
    ) -> _Inferred:
        a = self._per_head(index, spec.heads, shapes[0])
        b = self._per_head(index, spec.heads, shapes[1])
        if spec.transpose_b:
            b = (b[1], b[0])
        if a[1] != b[0]:
            self.complain(
                index,
                f"matmul cannot multiply {_text(shapes[0])} by {_text(shapes[1])} with heads: {spec.heads}, "
                f"transpose_b: {str(spec.transpose_b).lower()} (inner sizes {a[1]} and {b[0]})",
            )
        gemm = Gemm(m=a[0], k=a[1], n=b[1], groups=spec.heads)
        if spec.heads > 1 and spec.transpose_b:  # q @ k.T: one score matrix per head
            out: Shape = (spec.heads, a[0], b[1])
        else:
            out = (a[0], spec.heads * b[1])
        spiking = all(kind.is_spiking for kind in types)
        largest = a[1] * types[0].max_value * types[1].max_value
        parts = types[0].parts * types[1].parts
        return _Inferred(out, spikes(largest, parts) if spiking else self._current(types), gemm)

    def _per_head(self, index: int, heads: int, shape: Shape) -> tuple[int, int]:
        if len(shape) == 3 and shape[0] == heads:
            return shape[1], shape[2]
        if len(shape) == 2 and shape[1] % heads == 0:
            return shape[0], shape[1] // heads
        self.complain(
            index,
            f"matmul with heads: {heads} needs [tokens, features] with features divisible by it, or "
            f"[{heads}, rows, columns]; found {_text(shape)}",
        )

    def _current(self, types: Sequence[ActivationType]) -> ActivationType:
        """A sum of products: used as such (no neurons between two weighted layers) it is analog."""
        bits = self.file.precision.activation_bits
        return ActivationType("current", 2**bits - 1, bits, static=all(kind.static for kind in types))

    def _pool(self, index: int, spec: schema.LayerSpec, shape: Shape) -> tuple[Shape, int]:
        assert isinstance(spec, schema.PoolFields)
        channels, height, width = self._map(index, spec, shape)
        stride = spec.stride or spec.kernel
        if any(2 * spec.padding[axis] > spec.kernel[axis] for axis in (0, 1)):
            self.complain(index, f"padding {list(spec.padding)} is more than half the kernel {list(spec.kernel)}")
        out_h, out_w = (
            pool_size(size, spec.kernel[axis], stride[axis], spec.padding[axis], spec.ceil_mode)
            for axis, size in enumerate((height, width))
        )
        return (channels, out_h, out_w), spec.kernel[0] * spec.kernel[1]

    def _avgpool2d(
        self, index: int, spec: schema.AvgPoolSpec, shapes: Sequence[Shape], types: Sequence[ActivationType]
    ) -> _Inferred:
        shape, window = self._pool(index, spec, shapes[0])
        kind = types[0]
        if kind.kind in ("binary", "uint"):
            kind = spikes(kind.max_value * window, kind.parts * window)
        elif kind.kind == "ternary":
            largest = kind.max_value * window
            kind = ActivationType("ternary", largest, 2 * largest.bit_length(), parts=kind.parts * window)
        elif kind.spikes_later:  # averages of spikes are no single bits
            kind = replace(kind, spikes_later=False)
        return _Inferred(shape, kind)

    def _maxpool2d(
        self, index: int, spec: schema.MaxPoolSpec, shapes: Sequence[Shape], types: Sequence[ActivationType]
    ) -> _Inferred:
        return _Inferred(self._pool(index, spec, shapes[0])[0], types[0])

    def _add(
        self, index: int, spec: schema.AddSpec, shapes: Sequence[Shape], types: Sequence[ActivationType]
    ) -> _Inferred:
        if len(set(shapes)) != 1:
            self.complain(index, f"add needs inputs of one shape, found {', '.join(map(_text, shapes))}")
        if not all(kind.is_spiking for kind in types):
            return _Inferred(shapes[0], self._current(types))
        parts = math.lcm(*(kind.parts for kind in types))  # spikes and averages meet in parts that hold both exactly
        largest = sum(kind.max_value * (parts // kind.parts) for kind in types)
        if any(kind.kind == "ternary" for kind in types):
            return _Inferred(shapes[0], ActivationType("ternary", largest, 2 * largest.bit_length(), parts=parts))
        return _Inferred(shapes[0], spikes(largest, parts))

    def _time_affine(
        self, index: int, spec: schema.TimeAffineSpec, shapes: Sequence[Shape], types: Sequence[ActivationType]
    ) -> _Inferred:
        if types[0].kind != "current":
            message = f"time_affine scales the currents of a weighted operation; its input is {types[0].kind}"
            self.complain(index, message)
        return _Inferred(shapes[0], replace(types[0], static=False))

    def _flatten(
        self, index: int, spec: schema.FlattenSpec, shapes: Sequence[Shape], types: Sequence[ActivationType]
    ) -> _Inferred:
        return _Inferred((math.prod(shapes[0]),), types[0])

    def _tokens(
        self, index: int, spec: schema.TokensSpec, shapes: Sequence[Shape], types: Sequence[ActivationType]
    ) -> _Inferred:
        channels, height, width = self._map(index, spec, shapes[0])
        return _Inferred((height * width, channels), types[0])

    def _view(
        self, index: int, spec: schema.ViewSpec, shapes: Sequence[Shape], types: Sequence[ActivationType]
    ) -> _Inferred:
        if math.prod(spec.out_shape) != math.prod(shapes[0]):
            self.complain(
                index,
                f"view keeps the number of elements, but {_text(shapes[0])} has {math.prod(shapes[0])} and "
                f"out_shape {_text(spec.out_shape)} {math.prod(spec.out_shape)}",
            )
        return _Inferred(tuple(spec.out_shape), types[0])

    def _opaque(
        self, index: int, spec: schema.OpaqueSpec, shapes: Sequence[Shape], types: Sequence[ActivationType]
    ) -> _Inferred:
        if spec.activation == "real":
            bits = self.file.precision.activation_bits
            kind = ActivationType("real", 2**bits - 1, bits, static=spec.static)
        elif spec.activation == "ternary":
            kind = ActivationType("ternary", spec.max_value, 2 * spec.max_value.bit_length(), static=spec.static)
        else:
            kind = replace(spikes(spec.max_value if spec.activation == "uint" else 1), static=spec.static)
        return _Inferred(tuple(spec.out_shape), kind)

    def _neuron(
        self, index: int, spec: schema.NeuronSpec, shapes: Sequence[Shape], types: Sequence[ActivationType]
    ) -> _Inferred:
        own = {name: getattr(spec, name) for name in schema.NeuronFields.model_fields if name in spec.model_fields_set}
        record = self.file.neuron.model_copy(update=own)
        shared = record.shares_state_with
        if shared is not None and shared not in {op.name for op in self.operations if op.kind == "neuron"}:
            names = [op.name for op in self.operations if op.kind == "neuron"]
            self.complain(
                index,
                f"shares_state_with names '{shared}', which is no earlier neuron{did_you_mean(shared, names)}",
            )
        channels, groups = shapes[0][channel_axis(len(shapes[0]))], record.channel_sharing
        if channels % groups:
            self.complain(index, f"channel_sharing: {groups} groups of {channels} channels are of different sizes")
        if groups > 1 and (record.fire_once or record.accumulate_then_fire):
            self.complain(index, "channel_sharing does not go with fire_once or accumulate_then_fire")
        return _Inferred(shapes[0], spikes(record.max_spikes), neuron=record)


def channel_axis(axes: int) -> int:
    """Which axis of a feature map has the channels: the last of [tokens, features], the first of anything else."""
    return 1 if axes == 2 else 0


MOST_VALUES = 2**28
"""Of one feature map of one image at one timestep."""


def build_graph(file: schema.WorkloadFile, complain: Complain) -> Graph:
    """Infer shapes, products and activation types of all layers; `complain` raises about a layer."""
    builder = _Builder(file, complain)
    for index, spec in enumerate(file.layers):
        builder.add(index, spec)
    operations = tuple(builder.operations)
    for op in operations:
        for shape in (*op.in_shapes, op.out_shape):
            if math.prod(shape) > MOST_VALUES:
                complain(op.index, f"a feature map of {_text(shape)}: at most {MOST_VALUES:,} values are supported")
    if all(op.gemm is None for op in operations):
        complain(0, "nothing to compute: a workload needs a conv2d, a linear or a matmul")
    return Graph(operations, builder.shapes["input"], builder.types["input"], {op.name: op for op in operations})


def _text(shape: Sequence[int]) -> str:
    return "[" + ", ".join(str(size) for size in shape) + "]"
