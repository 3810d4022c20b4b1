"""A weighted operation's input spikes as the matrices that its receptive fields cut out of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from accelsim.machines.systolic.related import kernels
from accelsim.machines.systolic.related.kernels import IntArray, Spikes
from accelsim.workload import Operation
from accelsim.workload.schema import Conv2dSpec, MatmulSpec


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


def conv_window(spec: Conv2dSpec, out_height: int, out_width: int) -> IntArray:
    """The window of a convolution."""
    sizes = (*spec.kernel, *spec.stride, *spec.padding, *spec.dilation, out_height, out_width)
    return np.array(sizes, dtype=np.int64)


def token_window(tokens: int) -> IntArray:
    """The window of a matrix product of `tokens` rows: one position per token, its features as channels."""
    return np.array([1, 1, 1, 1, 0, 0, 1, 1, tokens, 1], dtype=np.int64)


def windows_of(op: Operation, values: npt.NDArray[np.uint8]) -> list[Windows]:
    """The groups of an operation.

    Args:
        op: a weighted operation; of a `matmul` the first operand counts as the spikes.
        values: 0 or 1, [timesteps, *shape of the first input].
    """
    gemm, steps = op.products(), len(values)
    if isinstance(op.spec, Conv2dSpec):
        window = conv_window(op.spec, *op.out_shape[1:])
        groups = np.split(values, gemm.groups, axis=1)
    else:
        window = token_window(gemm.m)
        if isinstance(op.spec, MatmulSpec) and len(op.in_shapes[0]) == 3:  # [heads, tokens, features]
            heads = list(np.moveaxis(values, 1, 0))
        else:  # heads side by side along the features
            heads = np.split(values.reshape(steps, gemm.m, -1), gemm.groups, axis=2)
        groups = [np.swapaxes(head, 1, 2)[..., None] for head in heads]
    return [Windows(np.ascontiguousarray(group), window, gemm.n) for group in groups]
