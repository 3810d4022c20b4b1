"""Convolutions over one, two and three axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from accelsim.core.types import Array
from accelsim.workload.kinds.base import Complain, Gemm, Shape, WeightedSpec
from accelsim.workload.receptive_field import Axis, ReceptiveField

AXES = {1: "[length]", 2: "[height, width]", 3: "[depth, height, width]"}
_WORDS = {1: "a whole number", 2: "a whole number or a pair", 3: "a whole number or three of them"}


def _sizes(rank: int, minimum: int) -> BeforeValidator:
    def convert(value: Any) -> Any:
        items = list(value) if isinstance(value, list | tuple) else [value] * rank
        whole = all(isinstance(item, int) and not isinstance(item, bool) for item in items)
        if len(items) != rank or not whole:
            raise ValueError(f"expected {_WORDS[rank]} {AXES[rank]}, found {value!r}")
        if min(items) < minimum:
            raise ValueError(f"found {value!r}, must be at least {minimum}")
        return tuple(items)

    return BeforeValidator(convert)


def _one_or(rank: int) -> WithJsonSchema:
    several = {"type": "array", "items": {"type": "integer"}, "minItems": rank, "maxItems": rank}
    return WithJsonSchema({"anyOf": [{"type": "integer"}, several]})


Size = Annotated[tuple[int], _sizes(1, 1), _one_or(1)]
Padding = Annotated[tuple[int], _sizes(1, 0), _one_or(1)]
SizePair = Annotated[tuple[int, int], _sizes(2, 1), _one_or(2)]
PaddingPair = Annotated[tuple[int, int], _sizes(2, 0), _one_or(2)]
SizeTriple = Annotated[tuple[int, int, int], _sizes(3, 1), _one_or(3)]
PaddingTriple = Annotated[tuple[int, int, int], _sizes(3, 0), _one_or(3)]


def conv_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Output size of a convolution along one axis (PyTorch's rule: floor)."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


class ConvFields(WeightedSpec):
    """What convolutions of every number of axes have in common; shapes by PyTorch's rules."""

    channels_first: ClassVar[bool] = True
    rank: ClassVar[int]
    """Axes of the plane."""

    op: str
    out_channels: int = Field(ge=1)
    """Channels of the output."""
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = Field(1, ge=1)
    """Groups of channels that do not see one another; as many as channels: depthwise."""
    bias: bool = True
    """Whether each output channel has a constant of its own."""

    def out_size(self, size: int, axis: int) -> int:
        """Output positions along one axis of the plane, for `size` inputs."""
        return conv_size(size, self.kernel[axis], self.stride[axis], self.padding[axis], self.dilation[axis])

    def infer(self, shapes: Sequence[Shape], complain: Complain) -> tuple[Shape, Gemm]:
        """See `WeightedSpec.infer`."""
        shape = shapes[0]
        if len(shape) != 1 + self.rank:
            wanted, found = f"[channels, {AXES[self.rank][1:]}", list(shape)
            complain(f"{self.op} needs an input of {wanted}, found {found}")
        channels = shape[0]
        if channels % self.groups or self.out_channels % self.groups:
            both = f"the {channels} input and the {self.out_channels} output channels"
            complain(f"groups: {self.groups} must divide both {both}")
        out = tuple(self.out_size(size, axis) for axis, size in enumerate(shape[1:]))
        gemm = Gemm(
            m=math.prod(max(size, 0) for size in out),
            k=channels // self.groups * math.prod(self.kernel),
            n=self.out_channels // self.groups,
            groups=self.groups,
        )
        return (self.out_channels, *out), gemm

    def axis(self, size: int, axis: int) -> Axis:
        """The window along one axis of the plane, over `size` inputs."""
        out = self.out_size(size, axis)
        return Axis(size, out, self.kernel[axis], self.stride[axis], self.padding[axis], self.dilation[axis])

    def receptive_field(self, shape: Shape, gemm: Gemm) -> ReceptiveField:
        """See `WeightedSpec.receptive_field`."""
        return ReceptiveField(tuple(self.axis(size, axis) for axis, size in enumerate(shape[1:])))

    def by_group(self, values: Array, shape: Shape, gemm: Gemm) -> Array:
        """See `WeightedSpec.by_group`."""
        lead = values.shape[: values.ndim - len(shape)]
        return values.reshape(*lead, gemm.groups, shape[0] // gemm.groups, *shape[1:])


class Conv1dSpec(ConvFields):
    """One-dimensional convolution of [channels, length], shapes by PyTorch's rules."""

    rank: ClassVar[int] = 1
    op: Literal["conv1d"]
    kernel: Size
    """Length of the window."""
    stride: Size = (1,)
    """Step of the window."""
    padding: Padding = (0,)
    """Zeros before and after the input."""
    dilation: Size = (1,)
    """Distance of neighbouring taps."""


class Conv2dSpec(ConvFields):
    """Two-dimensional convolution, shapes by PyTorch's rules."""

    rank: ClassVar[int] = 2
    op: Literal["conv2d"]
    kernel: SizePair
    """Side of the window, or [height, width]."""
    stride: SizePair = (1, 1)
    """Step of the window, or [vertical, horizontal]."""
    padding: PaddingPair = (0, 0)
    """Zeros around the input, or [above and below, left and right]."""
    dilation: SizePair = (1, 1)
    """Distance of neighbouring taps, or [vertical, horizontal]."""


class Conv3dSpec(ConvFields):
    """Three-dimensional convolution of [channels, depth, height, width], shapes by PyTorch's rules."""

    rank: ClassVar[int] = 3
    op: Literal["conv3d"]
    kernel: SizeTriple
    """Side of the window, or [depth, height, width]."""
    stride: SizeTriple = (1, 1, 1)
    """Step of the window, or one along each of [depth, height, width]."""
    padding: PaddingTriple = (0, 0, 0)
    """Zeros around the input, or those at both ends of each of [depth, height, width]."""
    dilation: SizeTriple = (1, 1, 1)
    """Distance of neighbouring taps, or one along each of [depth, height, width]."""
