"""The resolved workload: operations at call sites with their shapes, products and activation types.

Operations, stages and graphs are equal to themselves only, so that whatever follows from one can be kept by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from accelsim.core.timesteps import first_and_later
from accelsim.core.types import Array, FloatArray
from accelsim.workload import schema
from accelsim.workload.kinds import Gemm, OpSpec, Shape, WeightedSpec
from accelsim.workload.receptive_field import ReceptiveField

VIEWS = ("flatten", "tokens", "view")
"""Operations that only rename axes."""


def ceil_div(a: int, b: int) -> int:
    """Smallest whole number not below a / b."""
    return -(-a // b)


@dataclass(frozen=True)
class ActivationType:
    """What a value of a feature map can be.

    ``planes`` bit-planes hold it; a machine without multipliers works through them one by one.
    ``static`` values are the same at every timestep (a direct-encoded image); those with ``spikes_later`` are of
    this type at the first timestep only, and binary spikes at all others (a hybrid-encoded image).
    """

    kind: Literal["binary", "ternary", "uint", "real", "current"]
    max_value: int
    planes: int
    static: bool = False
    spikes_later: bool = False
    parts: int = 1
    """Spikes: the code that stands for one spike of a neuron; averages over n are held in n-ths of it."""

    def planes_in_time(self, timesteps: int) -> FloatArray:
        """[timesteps] bit-planes that a value takes at each of them."""
        return first_and_later(timesteps, float(self.planes), 1.0 if self.spikes_later else float(self.planes))

    @property
    def is_spiking(self) -> bool:
        """Binary, ternary and small-integer spikes; not pixels, not currents."""
        return self.kind in ("binary", "ternary", "uint")


def spikes(max_value: int, parts: int = 1) -> ActivationType:
    """Binary spikes, or unsigned integers up to `max_value`, of which `parts` stand for one spike of a neuron."""
    if max_value == 1:
        return ActivationType("binary", 1, 1, parts=parts)
    return ActivationType("uint", max_value, max_value.bit_length(), parts=parts)


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation at one call site."""

    name: str
    kind: str
    index: int
    inputs: tuple[str, ...]
    in_shapes: tuple[Shape, ...]
    out_shape: Shape
    in_types: tuple[ActivationType, ...]
    out_type: ActivationType
    spec: OpSpec
    gemm: Gemm | None = None
    neuron: schema.NeuronFields | None = None
    channels_first: bool = False
    """Whether the first of two axes has the channels ([channels, length]) and not the last ([tokens, features])."""

    @property
    def channel_axis(self) -> int:
        """Which axis of the output has the channels: the first, but of [tokens, features] the last."""
        return 1 if len(self.out_shape) == 2 and not self.channels_first else 0

    @cached_property
    def out_elements(self) -> int:
        """Output elements of one timestep."""
        return math.prod(self.out_shape)

    @cached_property
    def in_elements(self) -> int:
        """Elements of the first input."""
        return math.prod(self.in_shapes[0])

    @property
    def has_weights(self) -> bool:
        """Whether it is a layer with weights of its own (a `matmul` has none: both operands are activations)."""
        return isinstance(self.spec, WeightedSpec) and self.spec.has_weights

    @property
    def weights(self) -> int:
        """Stored weights."""
        return self.products().groups * self.products().k * self.products().n if self.has_weights else 0

    def products(self) -> Gemm:
        """The matrix product of a weighted operation."""
        if self.gemm is None:
            raise TypeError(f"{self.name} ({self.kind}) is no matrix product")
        return self.gemm

    @property
    def layer(self) -> WeightedSpec:
        """The section of a weighted operation, which answers what depends on its kind."""
        if not isinstance(self.spec, WeightedSpec):
            raise TypeError(f"{self.name} ({self.kind}) is no matrix product")
        return self.spec

    @cached_property
    def field(self) -> ReceptiveField:
        """The windows of a weighted operation over its (first) input."""
        return self.layer.receptive_field(self.in_shapes[0], self.products())

    def by_group(self, values: Array) -> Array:
        """[..., groups, channels, *plane] of values [..., *in_shape]: the maps over which `field` slides."""
        return self.layer.by_group(values, self.in_shapes[0], self.products())


@dataclass(frozen=True, eq=False)
class Stage:
    """A weighted operation and what follows it before the next one: what one layer of hardware does.

    ``core`` is None only for operations that stand before the first weighted one.
    """

    name: str
    core: Operation | None
    epilogue: tuple[Operation, ...]

    @property
    def kind(self) -> str:
        """Kind of the weighted operation (of the first operation where there is none)."""
        return self.core.kind if self.core else self.epilogue[0].kind

    @cached_property
    def members(self) -> tuple[Operation, ...]:
        """All operations of the stage in order."""
        return ((self.core,) if self.core else ()) + self.epilogue

    def of_kind(self, *kinds: str) -> tuple[Operation, ...]:
        """Epilogue operations of the given kinds."""
        return tuple(op for op in self.epilogue if op.kind in kinds)


@dataclass(frozen=True, eq=False)
class Graph:
    """All operations in order, and the stages they form."""

    operations: tuple[Operation, ...]
    input_shape: Shape
    input_type: ActivationType
    by_name: Mapping[str, Operation] = field(repr=False)

    @property
    def weighted(self) -> tuple[Operation, ...]:
        """Convolutions, fully-connected layers and attention products, in order."""
        return tuple(op for op in self.operations if op.gemm is not None)

    def stages(self) -> tuple[Stage, ...]:
        """Group the operations: each belongs to the stage of the last weighted operation before it."""
        owner: dict[str, int] = {"input": -1}
        cores: list[Operation | None] = []
        members: list[list[Operation]] = []
        for op in self.operations:
            if op.gemm is not None:
                cores.append(op)
                members.append([])
                owner[op.name] = len(cores) - 1
                continue
            stage = max((owner[name] for name in op.inputs), default=-1)
            if stage < 0:
                if not cores or cores[0] is not None:
                    cores.insert(0, None)
                    members.insert(0, [])
                    owner = {name: at + (at >= 0) for name, at in owner.items()}
                stage = 0
            owner[op.name] = stage
            members[stage].append(op)
        return tuple(
            Stage(core.name if core else below[0].name, core, tuple(below))
            for core, below in zip(cores, members, strict=True)
        )
