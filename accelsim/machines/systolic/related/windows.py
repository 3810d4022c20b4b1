"""A weighted operation's input spikes as the matrices that its receptive fields cut out of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from accelsim.core.types import IntArray
from accelsim.machines.systolic.related import kernels
from accelsim.machines.systolic.related.kernels import Spikes
from accelsim.workload import Operation
from accelsim.workload.receptive_field import Axis, ReceptiveField


@dataclass(frozen=True)
class Windows:
    """One group of a weighted operation in one image: (timesteps x m) x k spikes against k x n weights."""

    spikes: Spikes
    """uint8 [timesteps, channels, height, width]."""
    window: IntArray
    """The numbers of `kernels.WINDOW`."""
    n: int
    """Output channels."""

    @property
    def timesteps(self) -> int:
        """Timesteps T (bit-planes of a multi-bit input count as timesteps of their own)."""
        return int(self.spikes.shape[0])

    @property
    def m(self) -> int:
        """Output positions."""
        return int(self.window[8] * self.window[9])

    @property
    def k(self) -> int:
        """Receptive field."""
        return int(self.spikes.shape[1] * self.window[0] * self.window[1])

    @cached_property
    def counts(self) -> IntArray:
        """Spikes in each receptive field, [timesteps, m]."""
        counts: IntArray = kernels.window_counts(self.spikes, self.window)
        return counts

    @property
    def additions(self) -> float:
        """Each spike once for each output that it reaches."""
        return float(self.counts.sum() * self.n)

    def steps(self, first: int, last: int) -> Windows:
        """Some of the timesteps alone."""
        return Windows(self.spikes[first:last], self.window, self.n)


def token_window(tokens: int) -> IntArray:
    """The window of a matrix product of `tokens` rows: one position per token, its features as channels."""
    return np.array([1, 1, 1, 1, 0, 0, 1, 1, tokens, 1], dtype=np.int64)


def windows_of(op: Operation, values: npt.NDArray[np.uint8]) -> list[Windows]:
    """The groups of an operation.

    Args:
        op: a weighted operation; of a `matmul` the first operand counts as the spikes.
        values: 0 or 1, [timesteps, *shape of the first input].
    """
    maps, field = _over_two_axes(op, op.by_group(values))
    y, x = field.axes
    sizes = ("kernel", "stride", "padding", "dilation", "out")
    window = np.array([getattr(axis, size) for size in sizes for axis in (y, x)], dtype=np.int64)
    n = op.products().n
    return [Windows(np.ascontiguousarray(maps[:, group]), window, n) for group in range(maps.shape[1])]


def _over_two_axes(op: Operation, maps: Spikes) -> tuple[Spikes, ReceptiveField]:
    """Maps [timesteps, groups, channels, *plane] and windows of any number of axes as those of two.

    A plane of one axis becomes one row, tokens one column. Of three axes, what the windows see along the first two is
    written out: their taps become channels, their positions rows. Zeros between inputs are written out, too.
    """
    field = op.field
    if field.share < 1:
        maps, field = field.plain(maps, 3)
    axes = field.axes
    if not op.channels_first:
        return maps[..., None], ReceptiveField((*axes, Axis(1, 1)))
    if len(axes) == 1:
        return maps[..., None, :], ReceptiveField((Axis(1, 1), *axes))
    if len(axes) > 2:
        outer = ReceptiveField(axes[:-1])
        seen = np.moveaxis(outer.windows(maps, 3), range(3, 3 + len(outer.axes)), range(-1 - len(outer.axes), -1))
        rows = math.prod(outer.out)
        written = seen.reshape(*maps.shape[:2], maps.shape[2] * outer.taps, rows, axes[-1].size)
        return written, ReceptiveField((Axis(rows, rows), axes[-1]))
    return maps, field
