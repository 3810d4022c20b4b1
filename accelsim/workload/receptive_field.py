"""Which inputs an output position sees: the one statement of windows, of which all others are made.

Along one axis, output position o sees through tap k what lies at o * stride - padding + k * dilation of the padded
input (PyTorch's rule), where there is anything. An input may also be spread: `spread` - 1 zeros after each element,
as a transposed convolution does; what an output sees through a tap that falls on one of these, or outside of the
input, is zero and no work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from accelsim.core.types import Array, IntArray


@dataclass(frozen=True)
class Axis:
    """A window that slides along one axis of a map."""

    size: int
    """Elements of the input."""
    out: int
    """Output positions."""
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    """Zeros before the first element; negative: elements (of the spread input) that are left out."""
    dilation: int = 1
    spread: int = 1
    """Distance of neighbouring inputs before the window slides over them."""

    @property
    def reach(self) -> int:
        """Extent of the padded and spread input that all windows together cover."""
        return (self.out - 1) * self.stride + self.dilation * (self.kernel - 1) + 1

    @cached_property
    def seen(self) -> IntArray:
        """[out, kernel] the input that each output position sees through each tap; -1 where there is none."""
        place = np.arange(self.out)[:, None] * self.stride - self.padding + np.arange(self.kernel) * self.dilation
        there = (place >= 0) & (place < self.size * self.spread) & (place % self.spread == 0)
        return np.where(there, place // self.spread, -1)

    @cached_property
    def reached(self) -> IntArray:
        """[size] for each input, the output positions that see it."""
        seen = self.seen
        return np.bincount(seen[seen >= 0], minlength=self.size).astype(np.int64)

    @property
    def share(self) -> float:
        """Share of the taps that fall on an input and not on a zero between two of them; away from the ends."""
        return math.gcd(self.spread, self.dilation) / self.spread

    @property
    def most_taps(self) -> int:
        """Taps of one output position that fall on inputs, at the most."""
        return -(-self.kernel * math.gcd(self.spread, self.dilation) // self.spread)

    def inputs_of(self, outputs: int) -> int:
        """Most inputs behind `outputs` neighbouring output positions, those between them included."""
        extent = (outputs - 1) * self.stride + self.dilation * (self.kernel - 1) + 1
        return min(self.size, -(-extent // self.spread))

    def padded(self, maps: Array, at: int) -> Array:
        """The maps with `reach` elements along axis `at`: padded, spread, and cut behind the last window."""
        first = max(0, -(self.padding // self.spread))
        last = min(self.size, -(-(self.reach - self.padding) // self.spread))
        kept = maps[(*(slice(None),) * at, slice(first, last))]
        if kept.shape[at] == self.reach:
            return kept
        shape = (*maps.shape[:at], self.reach, *maps.shape[at + 1 :])
        result = np.zeros(shape, dtype=maps.dtype)  # numpy.pad does the same in ten times the time of a small map
        start = self.padding + first * self.spread
        where = slice(start, start + (last - first) * self.spread, self.spread)
        result[(*(slice(None),) * at, where)] = kept
        return result


@dataclass(frozen=True)
class ReceptiveField:
    """The windows of a weighted operation over the plane of its input: all axes but the channels."""

    axes: tuple[Axis, ...]

    @property
    def kernel(self) -> tuple[int, ...]:
        """Taps along each axis."""
        return tuple(axis.kernel for axis in self.axes)

    @property
    def out(self) -> tuple[int, ...]:
        """Output positions along each axis."""
        return tuple(axis.out for axis in self.axes)

    @cached_property
    def taps(self) -> int:
        """Inputs of one channel that an output position sees, those in the padding included."""
        return math.prod(self.kernel)

    @cached_property
    def share(self) -> float:
        """Share of the taps that fall on an input and not on a zero between two of them; away from the ends."""
        return math.prod(axis.share for axis in self.axes)

    @cached_property
    def slides(self) -> bool:
        """Whether windows are more than their own position: False of a fully-connected layer, a 1 x 1 kernel."""
        return any(axis != Axis(axis.size, axis.size) for axis in self.axes)

    @cached_property
    def reached(self) -> IntArray:
        """[*plane] for each input, the output positions that see it."""
        reached: IntArray = np.ones((), dtype=np.int64)
        for axis in self.axes:
            reached = reached[..., None] * axis.reached
        return reached

    @property
    def rows(self) -> Axis:
        """The outermost axis of a plane of several; a plane of one axis is one row."""
        return self.axes[0] if len(self.axes) > 1 else Axis(1, 1)

    @cached_property
    def width(self) -> int:
        """Output positions of one output row."""
        return math.prod(self.out) // max(self.rows.out, 1)

    def windows(self, maps: Array, at: int) -> Array:
        """View [..., *out, *kernel, ...] of maps whose plane begins at axis `at`."""
        maps, _ = self.plain(maps, at)
        end = at + len(self.axes)
        steps = maps.strides[at:end]
        return np.lib.stride_tricks.as_strided(
            maps,
            (*maps.shape[:at], *self.out, *self.kernel, *maps.shape[end:]),
            (
                *maps.strides[:at],
                *(step * axis.stride for step, axis in zip(steps, self.axes, strict=True)),
                *(step * axis.dilation for step, axis in zip(steps, self.axes, strict=True)),
                *maps.strides[end:],
            ),
            writeable=False,
        )

    def plain(self, maps: Array, at: int) -> tuple[Array, ReceptiveField]:
        """Maps whose plane begins at axis `at`, padded and spread, and the same windows over these."""
        for number, axis in enumerate(self.axes):
            maps = axis.padded(maps, at + number)
        axes = (Axis(axis.reach, axis.out, axis.kernel, axis.stride, 0, axis.dilation) for axis in self.axes)
        return maps, ReceptiveField(tuple(axes))

    def taps_of(self, maps: Array) -> Iterator[Array]:
        """Tap by tap, what all output positions see there: views [..., *out] of maps [..., *plane]."""
        windows = self.windows(maps, maps.ndim - len(self.axes))
        for tap in np.ndindex(self.kernel):
            yield windows[(..., *tap)]
