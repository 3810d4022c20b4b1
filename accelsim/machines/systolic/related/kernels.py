# Numba infers the types of compiled functions; only their numpy siblings are annotated.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""Compiled loops over spike windows: counts, least-loaded rows, packed columns.

Spikes are uint8 [timesteps, channels, height, width]; a window is the ten numbers of `WINDOW`. Row p of
the matrix that a window cuts out is output position p, column k runs over channel, kernel row, kernel
column. Each kernel stands beside a plain-numpy sibling (``*_numpy``) that computes the same.
"""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from accelsim.core.compiled import njit
from accelsim.core.types import IntArray, Words

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


def unfold_numpy(spikes: Spikes, window: IntArray) -> Spikes:
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


@njit()
def window_counts(spikes, window):
    """Spikes in each output position's receptive field, int64 [timesteps, positions]; see `window_counts_numpy`."""
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


def window_counts_numpy(spikes: Spikes, window: IntArray) -> IntArray:
    """Spikes in each output position's receptive field, int64 [timesteps, positions]."""
    counts: IntArray = unfold_numpy(spikes, window).sum(axis=2, dtype=np.int64)
    return counts


# --- SATO: rows dealt to the least-loaded unit --------------------------------------------------------


@njit()
def deal_rows(work, units):
    """Work of each unit when rows go, in order, to the unit with the least so far; see `deal_rows_numpy`."""
    heap = [(np.int64(0), np.int64(unit)) for unit in range(units)]
    loads = np.zeros(units, dtype=np.int64)
    for row in range(work.size):
        load, unit = heap[0]
        load += work[row]
        loads[unit] = load
        heapq.heapreplace(heap, (load, unit))
    return loads


def deal_rows_numpy(work: IntArray, units: int) -> IntArray:
    """Work of each unit when rows go, in order, to the unit with the least so far (the first of equals)."""
    loads = np.zeros(units, dtype=np.int64)
    for row in work:
        loads[np.argmin(loads)] += row
    return loads


# --- PTB: columns of the array, rows packed two to one ------------------------------------------------


@njit()
def column_masks(spikes, window, batch, columns, group):
    """Live columns of every row of one pass over the array, uint64 [receptive field]; see `column_masks_numpy`."""
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


def column_masks_numpy(spikes: Spikes, window: IntArray, batch: int, columns: int, group: int) -> Words:
    """Live columns of every row of one pass over the array, uint64 [receptive field].

    A slot is a time window of `batch` timesteps at an output position, windows outside. Column c of the
    array takes the slots c*S, c*S + 1, ... of its stretch of S = ceil(slots / columns), one per pass
    (`group`); its bit of row k is set where input k spikes within the slot.
    """
    steps = spikes.shape[0]
    windows = -(-steps // batch)
    padded = np.concatenate([spikes, np.zeros((windows * batch - steps, *spikes.shape[1:]), np.uint8)])
    live = padded.reshape(windows, batch, *spikes.shape[1:]).max(axis=1)
    rows = unfold_numpy(live, window).reshape(-1, spikes.shape[1] * int(window[0] * window[1]))
    stretch = -(-len(rows) // columns)
    masks = np.zeros(rows.shape[1], dtype=np.uint64)
    for column, slot in enumerate(range(group, len(rows), stretch)):
        masks |= rows[slot].astype(np.uint64) << np.uint64(column)
    return masks


@njit()
def pack_rows(masks):
    """Rows left after dropping silent ones and packing pairs; see `pack_rows_numpy`."""
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


def pack_rows_numpy(masks: Words) -> int:
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


@njit()
def packed_rows(spikes, window, batch, columns):
    """Live and packed rows of each pass over the array, int64 [passes, 2]; see `packed_rows_numpy`."""
    slots = -(-spikes.shape[0] // batch) * window[8] * window[9]
    rows = np.zeros((-(-slots // columns), 2), dtype=np.int64)
    for group in range(rows.shape[0]):
        masks = column_masks(spikes, window, batch, columns, group)
        rows[group, 0] = np.count_nonzero(masks)
        rows[group, 1] = pack_rows(masks)
    return rows


def packed_rows_numpy(spikes: Spikes, window: IntArray, batch: int, columns: int) -> IntArray:
    """Live and packed rows of each pass over the array, int64 [passes, 2]: `column_masks` and `pack_rows`."""
    slots = -(-spikes.shape[0] // batch) * int(window[8] * window[9])
    passes = [column_masks_numpy(spikes, window, batch, columns, group) for group in range(-(-slots // columns))]
    return np.array([[np.count_nonzero(masks), pack_rows_numpy(masks)] for masks in passes], dtype=np.int64)
