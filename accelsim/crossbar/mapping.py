"""A convolution or linear layer cut into row blocks of crossbars, and its inputs cut the same way.

``kernel_position``  SpikeFlow's way (spikesim NICE_Evaluation/section_ip_wts.py): a block holds up to X
                     input channels of one kernel position; blocks are ordered by kernel row, kernel
                     column, channel block, the last fastest.
``im2col``           the receptive field flattened (channel, kernel row, kernel column, the last fastest) and
                     cut every X rows: fewest blocks.

Blocks are as long as an array; rows without a weight are empty (index -1) and never active. The output
of the layer is the sum over its blocks, exactly, whichever way it was cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.types import IntArray
from accelsim.crossbar import checks
from accelsim.workload.receptive_field import Axis, ReceptiveField

LAYOUTS = ("kernel_position", "im2col")


@dataclass(frozen=True)
class RowBlocks:
    """Which input feature feeds which row of which block."""

    features: IntArray
    """[blocks, rows]: index into the flattened receptive field (channel, row, column), or -1."""
    n_features: int

    @property
    def n_blocks(self) -> int:
        """Number of row blocks (arrays one above the other)."""
        return int(self.features.shape[0])

    def cut_weights(self, weights: npt.ArrayLike) -> IntArray:
        """[blocks, rows, M] from weights [features, M]; empty rows hold zero."""
        w = np.asarray(weights)
        if w.ndim != 2 or w.shape[0] != self.n_features:
            raise checks.refuse(f"shape {w.shape}; need [{self.n_features}, M]", "mapping.weights")
        padded = np.vstack([w, np.zeros((1, w.shape[1]), dtype=w.dtype)])
        return np.asarray(padded[self.features])

    def cut_inputs(self, inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """[..., blocks, rows] from inputs [..., features]; empty rows hold zero."""
        if inputs.shape[-1] != self.n_features:
            raise checks.refuse(f"shape {inputs.shape}; need [..., {self.n_features}]", "mapping.inputs")
        padded = np.concatenate([inputs, np.zeros((*inputs.shape[:-1], 1), dtype=inputs.dtype)], axis=-1)
        return np.asarray(padded[..., self.features])


def linear_blocks(n_features: int, rows: int) -> RowBlocks:
    """Row blocks of a linear layer of `n_features` inputs on arrays of `rows` rows."""
    checks.whole(n_features, 1, 2**31, "mapping.features")
    checks.whole(rows, 1, 2**20, "mapping.rows")
    blocks = -(-n_features // rows)
    features = np.arange(blocks * rows, dtype=np.int64)
    features[n_features:] = -1
    return RowBlocks(features.reshape(blocks, rows), n_features)


def conv_blocks(in_channels: int, kernel: tuple[int, ...], rows: int, layout: str = "kernel_position") -> RowBlocks:
    """Row blocks of a convolution (weights flattened to [channels * taps, M], channel slowest)."""
    checks.choice(layout, LAYOUTS, "mapping.layout")
    taps = math.prod(kernel)
    if layout == "im2col":
        return linear_blocks(in_channels * taps, rows)
    checks.whole(in_channels, 1, 2**31, "mapping.in_channels")
    checks.whole(rows, 1, 2**20, "mapping.rows")
    channel_blocks = -(-in_channels // rows)
    channel = np.arange(channel_blocks * rows, dtype=np.int64)
    position = np.arange(taps, dtype=np.int64)
    # [kernel position, channel]; flattened receptive field is channel-major.
    features = channel[None, :] * taps + position[:, None]
    features[:, in_channels:] = -1
    return RowBlocks(features.reshape(-1, rows), in_channels * taps)


def patches(
    maps: npt.NDArray[Any],
    kernel: tuple[int, int],
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
) -> npt.NDArray[Any]:
    """Receptive fields [B, out rows, out columns, C * kh * kw] of maps [B, C, H, W], channel slowest."""
    if maps.ndim != 4:
        raise checks.refuse(f"shape {maps.shape}; need [B, C, H, W]", "mapping.maps")
    for name, value, low in (("stride", stride, 1), ("padding", padding, 0), ("dilation", dilation, 1)):
        checks.whole(value, low, 2**20, f"mapping.{name}")
    axes = []
    for size, taps in zip(maps.shape[2:], kernel, strict=True):
        out = (size + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
        axes.append(Axis(size, out, taps, stride, padding, dilation))
    if min(axis.out for axis in axes) < 1:
        raise checks.refuse(f"maps {maps.shape[2:]} are smaller than the kernel {kernel}", "mapping.kernel")
    windows = np.moveaxis(ReceptiveField(tuple(axes)).windows(maps, 2), 1, 3)
    return np.ascontiguousarray(windows).reshape(*windows.shape[:3], -1)
