# Numba infers the types of compiled functions.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Compiled loops over spike windows: counts, least-loaded rows, packed columns.

Spikes are uint8 [timesteps, channels, height, width]; a window is the ten numbers of `WINDOW`. Row p of
the matrix that a window cuts out is output position p, column k runs over channel, kernel row, kernel
column. The tests have each in plain numpy (`tests/oracles/related.py`).
"""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from accelsim.core.compiled import njit

Spikes = npt.NDArray[np.uint8]

WINDOW = (
    "kernel_height",
    "kernel_width",
    "stride_y",
    "stride_x",
    "padding_y",
    "padding_x",
    "dilation_y",
    "dilation_x",
    "out_height",
    "out_width",
)


# --- rows of the window matrix ------------------------------------------------------------------------


@njit()
def window_counts(spikes, window):
    """Spikes in each output position's receptive field, int64 [timesteps, positions]."""
    kernel_y, kernel_x, stride_y, stride_x, pad_y, pad_x, step_y, step_x, out_y, out_x = window
    steps, channels, height, width = spikes.shape
    counts = np.zeros((steps, out_y * out_x), dtype=np.int64)
    pixel = np.zeros((height, width), dtype=np.int64)
    for t in range(steps):
        pixel[:] = 0
        for c in range(channels):
            for y in range(height):
                for x in range(width):
                    pixel[y, x] += spikes[t, c, y, x]
        for oy in range(out_y):
            for ox in range(out_x):
                total = 0
                for ky in range(kernel_y):
                    y = oy * stride_y - pad_y + ky * step_y
                    if y < 0 or y >= height:
                        continue
                    for kx in range(kernel_x):
                        x = ox * stride_x - pad_x + kx * step_x
                        if 0 <= x < width:
                            total += pixel[y, x]
                counts[t, oy * out_x + ox] = total
    return counts


# --- SATO: rows dealt to the least-loaded unit --------------------------------------------------------


@njit()
def deal_rows(work, units):
    """Work of each unit when rows go, in order, to the unit with the least so far."""
    heap = [(np.int64(0), np.int64(unit)) for unit in range(units)]
    loads = np.zeros(units, dtype=np.int64)
    for row in range(work.size):
        load, unit = heap[0]
        load += work[row]
        loads[unit] = load
        heapq.heapreplace(heap, (load, unit))
    return loads


# --- PTB: columns of the array, rows packed two to one ------------------------------------------------


@njit()
def column_masks(spikes, window, batch, columns, group):
    """Live columns of every row of one pass over the array, uint64 [receptive field]."""
    kernel_y, kernel_x, stride_y, stride_x, pad_y, pad_x, step_y, step_x, out_y, out_x = window
    steps, channels, height, width = spikes.shape
    positions = out_y * out_x
    slots = -(-steps // batch) * positions
    stretch = -(-slots // columns)
    masks = np.zeros(channels * kernel_y * kernel_x, dtype=np.uint64)
    for column in range(columns):
        slot = column * stretch + group
        if slot >= slots:
            break
        bit = np.uint64(1) << np.uint64(column)
        first = slot // positions * batch
        last = min(first + batch, steps)
        oy, ox = slot % positions // out_x, slot % positions % out_x
        k = 0
        for c in range(channels):
            for ky in range(kernel_y):
                y = oy * stride_y - pad_y + ky * step_y
                for kx in range(kernel_x):
                    x = ox * stride_x - pad_x + kx * step_x
                    if 0 <= y < height and 0 <= x < width:
                        for t in range(first, last):
                            if spikes[t, c, y, x]:
                                masks[k] |= bit
                                break
                    k += 1
    return masks


@njit()
def pack_rows(masks):
    """Rows left after dropping silent ones and packing pairs."""
    live = np.empty(masks.size, dtype=np.uint64)
    everywhere = np.uint64(0)
    number = 0
    for mask in masks:
        if mask:
            live[number] = mask
            everywhere |= mask
            number += 1
    taken = np.zeros(number, dtype=np.bool_)
    left = number
    for i in range(number):
        if taken[i] or live[i] == everywhere:
            continue
        for j in range(i + 1, number):
            if live[i] & live[j] == np.uint64(0) and not taken[j]:
                taken[j] = True
                left -= 1
                break
    return left


@njit()
def packed_rows(spikes, window, batch, columns):
    """Live and packed rows of each pass over the array, int64 [passes, 2]."""
    slots = -(-spikes.shape[0] // batch) * window[8] * window[9]
    rows = np.zeros((-(-slots // columns), 2), dtype=np.int64)
    for group in range(rows.shape[0]):
        masks = column_masks(spikes, window, batch, columns, group)
        rows[group, 0] = np.count_nonzero(masks)
        rows[group, 1] = pack_rows(masks)
    return rows
