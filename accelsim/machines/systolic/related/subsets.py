# Numba infers the types of compiled functions.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg,assignment,unreachable"
"""Product sparsity: for every row of a tile the largest other row whose spikes are all its own.

Spikes and windows as in `related.kernels`; the tests have the loops in plain numpy (`tests/oracles/related.py`).
"""

from __future__ import annotations

import numpy as np

from accelsim.core.compiled import njit
from accelsim.crossbar.kernels.bits import population

TILE = ("spikes", "residual", "matched", "searched", "live", "prefixed")
"""What product sparsity makes of one tile."""


@njit()
def product_rows(codes, prefix, residual):
    """Prefix and residual of every row of a tile, written to the arrays given.

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
    """Rows of the window matrix as words, uint64 [column tiles, rows].

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


@njit()
def product_tiles(spikes, window, tile_rows, tile_columns):
    """Counts of every tile, int64 [row tiles, column tiles, 6]."""
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
