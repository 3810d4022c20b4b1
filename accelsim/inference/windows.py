"""Windows of feature maps kept with channels last: pooling, packed row words."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.types import Array
from accelsim.inference.kernels import pack_channels
from accelsim.workload.schema import PoolFields


def pooled(maps: Array, spec: PoolFields, out_shape: tuple[int, ...], average: bool) -> Array:
    """Sum (`average`) or maximum over the windows of a pooling, [N, out rows, out columns, C].

    PyTorch's rules: maximum pooling ignores padding, average pooling counts it as zeros and divides by the
    whole window (by the caller), except by what lies inside the padded map where `ceil_mode` lets a window
    stick out (done here, so that the caller's division is right).
    """
    (kh, kw), (top, left) = spec.kernel, spec.padding
    sy, sx = spec.stride or spec.kernel
    _, out_h, out_w = out_shape
    height, width = maps.shape[1], maps.shape[2]
    bottom = max((out_h - 1) * sy + kh - height - top, top)
    right = max((out_w - 1) * sx + kw - width - left, left)
    lowest: Any = 0
    if not average and (bottom or right or top or left):
        lowest = np.iinfo(maps.dtype).min if maps.dtype.kind in "iu" else -np.inf
    if top or left or bottom or right:
        around = ((0, 0), (top, bottom), (left, right), (0, 0))
        maps = np.pad(maps, around, constant_values=lowest)
    windows = np.lib.stride_tricks.sliding_window_view(maps, (kh, kw), axis=(1, 2))[:, ::sy, ::sx][:, :out_h, :out_w]
    if not average:
        return np.ascontiguousarray(windows.max(axis=(-2, -1)))
    wide = np.int64 if maps.dtype.kind in "iu" else maps.dtype
    total = windows.sum(axis=(-2, -1), dtype=wide)
    rows = np.minimum(np.arange(out_h) * sy + kh, height + 2 * top) - np.arange(out_h) * sy
    columns = np.minimum(np.arange(out_w) * sx + kw, width + 2 * left) - np.arange(out_w) * sx
    inside = rows[:, None] * columns
    if (inside != kh * kw).any():
        return np.asarray(total * (kh * kw / inside)[None, :, :, None])
    return np.asarray(total)


def position_words(codes: Array, bit: int, rows: int) -> npt.NDArray[np.uint64]:
    """One bit of codes [..., C] as words [..., ceil(C / rows), ceil(rows / 64)]: what arrays of `rows` rows read."""
    flat = np.ascontiguousarray(codes).reshape(-1, codes.shape[-1])
    words = np.zeros((len(flat), -(-flat.shape[1] // rows), -(-rows // 64)), dtype=np.uint64)
    pack_channels(flat, bit, rows, words)
    return words.reshape(*codes.shape[:-1], *words.shape[1:])
