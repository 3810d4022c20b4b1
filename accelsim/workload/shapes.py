"""From the layers of a workload file to its graph: shapes, products and activation types, inferred in order."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from accelsim.core.errors import did_you_mean
from accelsim.workload import schema
from accelsim.workload.graph import VIEWS, ActivationType, Graph, Operation, spikes
from accelsim.workload.kinds import Gemm, Shape, WeightedSpec
from accelsim.workload.kinds.convolution import conv_size

Complain = Callable[[int, str], NoReturn]
"""Raises the complaint `message` about the layer with index `index`."""


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
        self.channels_first = {"input": False}
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
        if isinstance(spec, WeightedSpec):
            inferred = self._weighted(index, spec, shapes, types)
        else:
            inferred = getattr(self, f"_{spec.op}")(index, spec, shapes, types)
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
        self.channels_first[name] = self._takes_channels_first(spec, inputs)
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
                channels_first=self.channels_first[name],
            )
        )
        if inferred.neuron is not None:
            self._check_sharing(self.operations[-1], inferred.neuron)

    def _takes_channels_first(self, spec: schema.LayerSpec, inputs: Sequence[str]) -> bool:
        """Of [a, b]: as the layer with weights has it; what follows keeps to it, views begin anew."""
        if isinstance(spec, WeightedSpec):
            return spec.channels_first
        if spec.op in (*VIEWS, "opaque"):
            return False
        return self.channels_first[inputs[0]]

    def _automatic_name(self, kind: str) -> str:
        number = 1 + sum(op.kind == kind for op in self.operations)
        while (name := f"{re.sub('[123]d$', '', kind)}{number}") in self.shapes:
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

    def _weighted(
        self, index: int, spec: WeightedSpec, shapes: Sequence[Shape], types: Sequence[ActivationType]
    ) -> _Inferred:
        shape, gemm = spec.infer(shapes, lambda message: self.complain(index, message))
        if spec.has_weights or not all(kind.is_spiking for kind in types):
            return _Inferred(shape, self._current(types), gemm)
        largest = gemm.k * types[0].max_value * types[1].max_value
        return _Inferred(shape, spikes(largest, types[0].parts * types[1].parts), gemm)

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
        if len(shapes[0]) < 2:
            self.complain(index, f"tokens needs an input of [channels, height, width], found {_text(shapes[0])}")
        channels, *plane = shapes[0]
        return _Inferred((math.prod(plane), channels), types[0])

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
        return _Inferred(shapes[0], spikes(record.max_spikes), neuron=record)

    def _check_sharing(self, op: Operation, record: schema.NeuronFields) -> None:
        channels, groups = op.out_shape[op.channel_axis], record.channel_sharing
        if channels % groups:
            self.complain(op.index, f"channel_sharing: {groups} groups of {channels} channels are of different sizes")
        if groups > 1 and (record.fire_once or record.accumulate_then_fire):
            self.complain(op.index, "channel_sharing does not go with fire_once or accumulate_then_fire")


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
