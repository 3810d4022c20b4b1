"""Windows, rows and product sparsity of the related machines in plain numpy."""

from __future__ import annotations

import numpy as np

from accelsim.core.types import IntArray, Words
from accelsim.machines.systolic.related.kernels import Spikes


def unfold(spikes: Spikes, window: IntArray) -> Spikes:
    """The window matrix itself, uint8 [timesteps, positions, receptive field]."""
    kernel_y, kernel_x, stride_y, stride_x, pad_y, pad_x, step_y, step_x, out_y, out_x = (int(v) for v in window)
    steps, channels, _, _ = spikes.shape
    reach_y, reach_x = (kernel_y - 1) * step_y, (kernel_x - 1) * step_x
    height = max(spikes.shape[2] + 2 * pad_y, (out_y - 1) * stride_y + reach_y + 1)
    width = max(spikes.shape[3] + 2 * pad_x, (out_x - 1) * stride_x + reach_x + 1)
    padded = np.zeros((steps, channels, height, width), dtype=np.uint8)
    padded[:, :, pad_y : pad_y + spikes.shape[2], pad_x : pad_x + spikes.shape[3]] = spikes
    taps = [
        padded[
            :,
            :,
            y * step_y : y * step_y + (out_y - 1) * stride_y + 1 : stride_y,
            x * step_x : x * step_x + (out_x - 1) * stride_x + 1 : stride_x,
        ]
        for y in range(kernel_y)
        for x in range(kernel_x)
    ]
    stacked = np.stack(taps, axis=2)  # [T, C, taps, OH, OW]
    return np.ascontiguousarray(np.moveaxis(stacked.reshape(steps, -1, out_y * out_x), 1, 2))


def window_counts(spikes: Spikes, window: IntArray) -> IntArray:
    """Spikes in each output position's receptive field, int64 [timesteps, positions]."""
    counts: IntArray = unfold(spikes, window).sum(axis=2, dtype=np.int64)
    return counts


def deal_rows(work: IntArray, units: int) -> IntArray:
    """Work of each unit when rows go, in order, to the unit with the least so far (the first of equals)."""
    loads = np.zeros(units, dtype=np.int64)
    for row in work:
        loads[np.argmin(loads)] += row
    return loads


def column_masks(spikes: Spikes, window: IntArray, batch: int, columns: int, group: int) -> Words:
    """Live columns of every row of one pass over the array, uint64 [receptive field].

    A slot is a time window of `batch` timesteps at an output position, windows outside. Column c of the
    array takes the slots c*S, c*S + 1, ... of its stretch of S = ceil(slots / columns), one per pass
    (`group`); its bit of row k is set where input k spikes within the slot.
    """
    steps = spikes.shape[0]
    windows = -(-steps // batch)
    padded = np.concatenate([spikes, np.zeros((windows * batch - steps, *spikes.shape[1:]), np.uint8)])
    live = padded.reshape(windows, batch, *spikes.shape[1:]).max(axis=1)
    rows = unfold(live, window).reshape(-1, spikes.shape[1] * int(window[0] * window[1]))
    stretch = -(-len(rows) // columns)
    masks = np.zeros(rows.shape[1], dtype=np.uint64)
    for column, slot in enumerate(range(group, len(rows), stretch)):
        masks |= rows[slot].astype(np.uint64) << np.uint64(column)
    return masks


def pack_rows(masks: Words) -> int:
    """Rows left after dropping silent ones and packing pairs.

    Every row takes in the first later one, not yet taken, that has no live column in common with it:
    both pass through the array at the same time.
    """
    rows = [int(mask) for mask in masks if mask]
    left = 0
    while rows:
        mask = rows.pop(0)
        left += 1
        for index, other in enumerate(rows):
            if not mask & other:
                del rows[index]
                break
    return left


def packed_rows(spikes: Spikes, window: IntArray, batch: int, columns: int) -> IntArray:
    """Live and packed rows of each pass over the array, int64 [passes, 2]: `column_masks` and `pack_rows`."""
    slots = -(-spikes.shape[0] // batch) * int(window[8] * window[9])
    passes = [column_masks(spikes, window, batch, columns, group) for group in range(-(-slots // columns))]
    return np.array([[np.count_nonzero(masks), pack_rows(masks)] for masks in passes], dtype=np.int64)


def product_rows(codes: Words) -> tuple[IntArray, Words]:
    """Prefix and residual of every row of a tile; `codes` holds one row per 64-bit word.

    A row with two spikes or more takes as prefix the row with most spikes (the first of them) whose
    spikes are all its own, silent rows excepted, of equal rows only an earlier one. The residual is what
    the prefix lacks; -1 says that there is no prefix.
    """
    prefix = np.full(len(codes), -1, dtype=np.int64)
    residual = codes.copy()
    ones = np.bitwise_count(codes).astype(np.int64)
    index = np.arange(len(codes))
    for i in np.flatnonzero(ones > 1):
        subset = ((codes & codes[i]) == codes) & ((codes != codes[i]) | (index < i)) & (ones > 0)
        if subset.any():
            prefix[i] = int(np.argmax(np.where(subset, ones, 0)))
            residual[i] ^= codes[prefix[i]]
    return prefix, residual


def window_codes(spikes: Spikes, window: IntArray, first_row: int, rows: int, width: int) -> Words:
    """Rows of the window matrix as words, uint64 [column tiles, rows].

    Row r is output position r // timesteps at timestep r % timesteps; tile j holds columns j*width
    onward, column k at bit k % width.
    """
    matrix = np.swapaxes(unfold(spikes, window), 0, 1)
    matrix = matrix.reshape(-1, matrix.shape[2])[first_row : first_row + rows].astype(np.uint64)
    tiles = -(-matrix.shape[1] // width)
    codes = np.zeros((tiles, rows), dtype=np.uint64)
    for k in range(matrix.shape[1]):
        codes[k // width] |= matrix[:, k] << np.uint64(k % width)
    return codes


def product_tiles(spikes: Spikes, window: IntArray, tile_rows: int, tile_columns: int) -> IntArray:
    """Counts of every tile, int64 [row tiles, column tiles, 6].

    They are those of `TILE`: spikes, spikes left by product sparsity, rows emptied because an earlier
    one equals them, rows that searched for a prefix, rows with a spike, rows that found a prefix.
    """
    total = spikes.shape[0] * int(window[8] * window[9])
    tiles = []
    for first in range(0, total, tile_rows):
        codes = window_codes(spikes, window, first, min(tile_rows, total - first), tile_columns)
        row = []
        for words in codes:
            prefix, residual = product_rows(words)
            own, left = np.bitwise_count(words), np.bitwise_count(residual)
            emptied = ((own > 0) & (left == 0)).sum()
            row.append([own.sum(), left.sum(), emptied, (own > 1).sum(), (own > 0).sum(), (prefix >= 0).sum()])
        tiles.append(row)
    return np.array(tiles, dtype=np.int64)
