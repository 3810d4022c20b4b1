"""Transposed convolutions over one, two and three axes.

As a matrix product a transposed convolution is a convolution of stride 1 over its input with `stride` - 1 zeros
between neighbouring elements, the kernel turned round. Machines work on it that way, output position by output
position, as the papers' convolutions: a tap that falls on an inserted zero is like one in the padding, never an
accumulation, and inserted zeros are stored and moved nowhere. So a spike causes exactly the additions that it causes
where each input is scattered over the outputs that it reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from accelsim.workload.kinds.base import Complain, Gemm, Shape
from accelsim.workload.kinds.convolution import (
    ConvFields,
    Padding,
    PaddingPair,
    PaddingTriple,
    Size,
    SizePair,
    SizeTriple,
)
from accelsim.workload.receptive_field import Axis


class TransposedFields(ConvFields):
    """What transposed convolutions of every number of axes have in common; shapes by PyTorch's rules.

    The weights of a bundle are those of the convolution over the spread input: [outputs, inputs of a group, *kernel]
    with the kernel turned round.
    """

    output_padding: tuple[int, ...]

    def infer(self, shapes: Sequence[Shape], complain: Complain) -> tuple[Shape, Gemm]:
        """See `WeightedSpec.infer`."""
        for extra, stride, dilation in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if extra >= max(stride, dilation):
                complain(
                    f"output_padding: {list(self.output_padding)} must be smaller than the stride {list(self.stride)} "
                    f"or the dilation {list(self.dilation)}"
                )
        return super().infer(shapes, complain)

    def out_size(self, size: int, axis: int) -> int:
        """Output positions along one axis of the plane, for `size` inputs (PyTorch's rule)."""
        reach = self.dilation[axis] * (self.kernel[axis] - 1)
        return (size - 1) * self.stride[axis] - 2 * self.padding[axis] + reach + self.output_padding[axis] + 1

    def axis(self, size: int, axis: int) -> Axis:
        """The window along one axis of the plane, over `size` inputs that are `stride` apart."""
        dilation, kernel = self.dilation[axis], self.kernel[axis]
        before = dilation * (kernel - 1) - self.padding[axis]
        return Axis(size, self.out_size(size, axis), kernel, 1, before, dilation, self.stride[axis])


class ConvTranspose1dSpec(TransposedFields):
    """Transposed one-dimensional convolution of [channels, length], shapes by PyTorch's rules."""

    rank: ClassVar[int] = 1
    op: Literal["conv_transpose1d"]
    kernel: Size
    """Length of the window."""
    stride: Size = (1,)
    """Distance of neighbouring inputs in the output."""
    padding: Padding = (0,)
    """Outputs left out at both ends."""
    dilation: Size = (1,)
    """Distance of neighbouring taps."""
    output_padding: Padding = (0,)
    """Further outputs at the end."""


class ConvTranspose2dSpec(TransposedFields):
    """Transposed two-dimensional convolution, shapes by PyTorch's rules."""

    rank: ClassVar[int] = 2
    op: Literal["conv_transpose2d"]
    kernel: SizePair
    """Side of the window, or [height, width]."""
    stride: SizePair = (1, 1)
    """Distance of neighbouring inputs in the output, or [vertical, horizontal]."""
    padding: PaddingPair = (0, 0)
    """Outputs left out around the map, or [above and below, left and right]."""
    dilation: SizePair = (1, 1)
    """Distance of neighbouring taps, or [vertical, horizontal]."""
    output_padding: PaddingPair = (0, 0)
    """Further outputs below and to the right, or [below, to the right]."""


class ConvTranspose3dSpec(TransposedFields):
    """Transposed three-dimensional convolution of [channels, depth, height, width], shapes by PyTorch's rules."""

    rank: ClassVar[int] = 3
    op: Literal["conv_transpose3d"]
    kernel: SizeTriple
    """Side of the window, or [depth, height, width]."""
    stride: SizeTriple = (1, 1, 1)
    """Distance of neighbouring inputs in the output, or one along each of [depth, height, width]."""
    padding: PaddingTriple = (0, 0, 0)
    """Outputs left out around the map, or those at both ends of each of [depth, height, width]."""
    dilation: SizeTriple = (1, 1, 1)
    """Distance of neighbouring taps, or one along each of [depth, height, width]."""
    output_padding: PaddingTriple = (0, 0, 0)
    """Further outputs at the ends, or one number for each of [depth, height, width]."""
