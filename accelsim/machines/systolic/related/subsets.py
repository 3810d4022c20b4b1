# Numba infers the types of compiled functions; only their numpy siblings are annotated.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg,assignment,unreachable"
"""Product sparsity: for every row of a tile the largest other row whose spikes are all its own.

Compiled loops beside their plain-numpy siblings (``*_numpy``); spikes and windows as in `related.kernels`.
"""

from __future__ import annotations

import numpy as np

from accelsim.core.compiled import njit
from accelsim.core.types import IntArray, Words
from accelsim.crossbar.kernels.bits import population
from accelsim.machines.systolic.related.kernels import Spikes, unfold_numpy

TILE = ("spikes", "residual", "matched", "searched", "live", "prefixed")
"""What product sparsity makes of one tile, see `product_tiles_numpy`."""


@njit()
def product_rows(codes, prefix, residual):
    """Prefix and residual of every row of a tile, written to the arrays given; see `product_rows_numpy`.

    Equal rows are found by hashing; the others are sorted by their number of spikes, so that the first
    subset found among the smaller ones, largest first, is the prefix.
    """
    rows = codes.size
    size = 4
    while size < 2 * rows:
        size *= 2
    table = np.full(size, -1, dtype=np.int64)
    distinct = np.empty(rows, dtype=np.int64)  # index of the first row of each kind
    amount = np.zeros(66, dtype=np.int64)
    number = 0
    for i in range(rows):
        prefix[i] = -1
        residual[i] = codes[i]
        code = codes[i]
        if code == np.uint64(0):
            continue
        slot = np.int64((code * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & (size - 1)
        while table[slot] >= 0 and codes[table[slot]] != code:
            slot = (slot + 1) & (size - 1)
        if table[slot] < 0:
            table[slot] = i
            distinct[number] = i
            number += 1
            amount[64 - np.int64(population(code)) + 1] += 1
        elif population(code) > np.uint64(1):
            prefix[i] = table[slot]
            residual[i] = np.uint64(0)
    for ones in range(1, 66):  # from here on: where the rows of each number of spikes begin, the largest first
        amount[ones] += amount[ones - 1]
    place = amount.copy()
    order = np.empty(number, dtype=np.int64)
    for d in range(number):
        bucket = 64 - np.int64(population(codes[distinct[d]]))
        order[place[bucket]] = distinct[d]
        place[bucket] += 1
    sorted_codes = codes[order]
    for d in range(number):
        code = sorted_codes[d]
        ones = np.int64(population(code))
        if ones < 2:
            break
        for e in range(amount[64 - ones + 1], number):
            if sorted_codes[e] & code == sorted_codes[e]:
                prefix[order[d]] = order[e]
                residual[order[d]] = code ^ sorted_codes[e]
                break


def product_rows_numpy(codes: Words) -> tuple[IntArray, Words]:
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


@njit()
def spike_lists(spikes):
    """Channels that spike at each pixel (timestep, row, column): pixel p has channels[starts[p] : starts[p + 1]]."""
    steps, depth, height, width = spikes.shape
    starts = np.zeros(steps * height * width + 1, dtype=np.int64)
    for t in range(steps):
        for c in range(depth):
            for y in range(height):
                pixel = (t * height + y) * width
                for x in range(width):
                    starts[pixel + x + 1] += spikes[t, c, y, x]
    for pixel in range(1, starts.size):
        starts[pixel] += starts[pixel - 1]
    channels = np.empty(starts[-1], dtype=np.int32)
    place = starts[:-1].copy()
    for t in range(steps):
        for c in range(depth):
            for y in range(height):
                pixel = (t * height + y) * width
                for x in range(width):
                    if spikes[t, c, y, x]:
                        channels[place[pixel + x]] = c
                        place[pixel + x] += 1
    return starts, channels


@njit()
def window_codes(starts, channels, shape, window, first_row, rows, width):
    """Rows of the window matrix as words, uint64 [column tiles, rows]; see `window_codes_numpy`.

    `starts` and `channels` are the `spike_lists` of spikes of `shape`.
    """
    kernel_y, kernel_x, stride_y, stride_x, pad_y, pad_x, step_y, step_x, _, out_x = window
    steps, depth, height, breadth = shape
    taps = kernel_y * kernel_x
    codes = np.zeros((-(-(depth * taps) // width), rows), dtype=np.uint64)
    for row in range(rows):
        position, t = (first_row + row) // steps, (first_row + row) % steps
        top, left = position // out_x * stride_y - pad_y, position % out_x * stride_x - pad_x
        for tap in range(taps):
            y, x = top + tap // kernel_x * step_y, left + tap % kernel_x * step_x
            if 0 <= y < height and 0 <= x < breadth:
                pixel = (t * height + y) * breadth + x
                for spike in range(starts[pixel], starts[pixel + 1]):
                    k = channels[spike] * taps + tap
                    codes[k // width, row] |= np.uint64(1) << np.uint64(k % width)
    return codes


def window_codes_numpy(spikes: Spikes, window: IntArray, first_row: int, rows: int, width: int) -> Words:
    """Rows of the window matrix as words, uint64 [column tiles, rows].

    Row r is output position r // timesteps at timestep r % timesteps; tile j holds columns j*width
    onward, column k at bit k % width.
    """
    matrix = np.swapaxes(unfold_numpy(spikes, window), 0, 1)
    matrix = matrix.reshape(-1, matrix.shape[2])[first_row : first_row + rows].astype(np.uint64)
    tiles = -(-matrix.shape[1] // width)
    codes = np.zeros((tiles, rows), dtype=np.uint64)
    for k in range(matrix.shape[1]):
        codes[k // width] |= matrix[:, k] << np.uint64(k % width)
    return codes


@njit()
def product_tiles(spikes, window, tile_rows, tile_columns):
    """Counts of every tile, int64 [row tiles, column tiles, 6]; see `product_tiles_numpy`."""
    total = spikes.shape[0] * window[8] * window[9]
    row_tiles = -(-total // tile_rows)
    column_tiles = -(-(spikes.shape[1] * window[0] * window[1]) // tile_columns)
    counts = np.zeros((row_tiles, column_tiles, 6), dtype=np.int64)
    starts, channels = spike_lists(spikes)
    prefix = np.empty(tile_rows, dtype=np.int64)
    residual = np.empty(tile_rows, dtype=np.uint64)
    for tile in range(row_tiles):
        first = tile * tile_rows
        rows = min(tile_rows, total - first)
        codes = window_codes(starts, channels, spikes.shape, window, first, rows, tile_columns)
        for column in range(column_tiles):
            product_rows(codes[column], prefix, residual)
            for row in range(rows):
                own = np.int64(population(codes[column, row]))
                left = np.int64(population(residual[row]))
                counts[tile, column, 0] += own
                counts[tile, column, 1] += left
                counts[tile, column, 2] += own > 0 and left == 0
                counts[tile, column, 3] += own > 1
                counts[tile, column, 4] += own > 0
                counts[tile, column, 5] += prefix[row] >= 0
    return counts


def product_tiles_numpy(spikes: Spikes, window: IntArray, tile_rows: int, tile_columns: int) -> IntArray:
    """Counts of every tile, int64 [row tiles, column tiles, 6].

    They are those of `TILE`: spikes, spikes left by product sparsity, rows emptied because an earlier
    one equals them, rows that searched for a prefix, rows with a spike, rows that found a prefix.
    """
    total = spikes.shape[0] * int(window[8] * window[9])
    tiles = []
    for first in range(0, total, tile_rows):
        codes = window_codes_numpy(spikes, window, first, min(tile_rows, total - first), tile_columns)
        row = []
        for words in codes:
            prefix, residual = product_rows_numpy(words)
            own, left = np.bitwise_count(words), np.bitwise_count(residual)
            emptied = ((own > 0) & (left == 0)).sum()
            row.append([own.sum(), left.sum(), emptied, (own > 1).sum(), (own > 0).sum(), (prefix >= 0).sum()])
        tiles.append(row)
    return np.array(tiles, dtype=np.int64)
