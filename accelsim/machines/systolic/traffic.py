"""Lines moved between DRAM, global buffers and the array.

Feature maps lie channel-innermost, so a window row is one run of bits. A buffer access delivers one
whole line; what is counted are the lines actually touched.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from accelsim.core.types import BoolArray
from accelsim.machines.systolic.folds import Folds
from accelsim.workload import Operation
from accelsim.workload.graph import ceil_div


def lines(bits: float, line_bits: int) -> int:
    """Lines touched by a contiguous run of bits."""
    return ceil_div(int(bits), line_bits)


def _run(op: Operation) -> tuple[int, int]:
    """A window (one group) as (contiguous runs, elements of each)."""
    gemm, field = op.products(), op.field
    channels, taps = gemm.k // field.taps, math.prod(axis.most_taps for axis in field.axes)
    last = field.axes[-1]
    if gemm.groups == 1 and last.dilation == 1:
        return taps // last.most_taps, last.most_taps * channels
    return taps, channels


def window_lines(op: Operation, bits_per_element: int, line_bits: int) -> int:
    """Lines of the input that one output position's window touches (one group)."""
    runs, elements = _run(op)
    return runs * lines(elements * bits_per_element, line_bits)


def folded_window_lines(op: Operation, bits_per_element: int, line_bits: int, rows: int) -> int:
    """The same where the window is cut into pieces of `rows` elements that are read at different times.

    All that streams passes a fold before the next one, so a line that two folds share is read
    by both: one more for every cut that does not fall between two lines anyway.
    """
    _, elements = _run(op)
    cuts = np.arange(rows, op.products().k, rows)
    inside = (cuts % elements * bits_per_element) % line_bits != 0
    return window_lines(op, bits_per_element, line_bits) + int(inside.sum())


def band_bits(op: Operation, positions: int, bits_per_element: int) -> int:
    """Bits of one group's input that `positions` consecutive output positions need."""
    gemm, field = op.products(), op.field
    if not op.channels_first:
        return min(positions, gemm.m) * gemm.k * bits_per_element
    out_rows = ceil_div(positions, field.width) + 1  # a run of positions may straddle two rows
    return op.in_elements // (gemm.groups * field.rows.size) * field.rows.inputs_of(out_rows) * bits_per_element


@dataclass(frozen=True)
class Fetches:
    """How often each operand crosses from DRAM in one pass over the folds."""

    weights: int
    inputs: int
    order: str
    """Buffer-level loop order: which folds are in the outer loop."""
    words: str
    """The same in words."""
    block: int = 1
    """Folds of the outer loop that are worked together, their operand in the buffer: the innermost loop."""

    def first_uses(self, row_folds: int, col_folds: int) -> tuple[BoolArray, BoolArray]:
        """[row folds] and [column folds]: those at which weights, and at which inputs, come from DRAM."""
        return fetched(row_folds, self.weights, self.block), fetched(col_folds, self.inputs, self.block)


def fetched(folds: int, times: int, block: int = 1) -> BoolArray:
    """The folds of a loop at which what does not depend on it is fetched, `times` in all."""
    period = folds if times == 1 else 1 if times == folds else block
    found: BoolArray = np.arange(folds) % period == 0
    return found


def dram_fetches(
    folds: Folds,
    *,
    weight_bits: int,
    weight_tile_bits: int,
    weight_capacity: int,
    input_bits: int,
    input_band_bits: int,
    input_capacity: int,
    block_bits: tuple[Callable[[int], int], Callable[[int], int]] | None = None,
) -> Fetches:
    """The loop order with the least DRAM traffic, for buffers of the given capacities.

    Column folds (output channels) outside: the weights of one column fold stay for all row folds if
    they fit; the input is fetched once if all of it fits, else once per column fold. Row folds
    outside: the input band of a row fold stays, the weights are fetched once if all fit. An operand
    is fetched once in any case when the other loop has a single fold.

    With `block_bits` (bits of so many column folds' weights, of so many row folds' input) the outer loop
    may go in blocks: as many folds as the buffer has room for, worked one after another while a tile of
    the other operand stays, which then crosses once per block.
    """
    rows, cols = folds.row_folds, folds.col_folds
    weights_fit, inputs_fit = weight_bits <= weight_capacity, input_bits <= input_capacity
    tile_fits, band_fits = weight_tile_bits <= weight_capacity, input_band_bits <= input_capacity
    channels, positions = (
        "output channels outside, output positions inside",
        "output positions outside, output channels inside",
    )
    plans = [
        Fetches(1 if tile_fits or rows == 1 else rows, 1 if inputs_fit or cols == 1 else cols, "columns", channels),
        Fetches(
            1 if weights_fit or rows == 1 else rows,
            1 if inputs_fit or band_fits or cols == 1 else cols,
            "rows",
            positions,
        ),
    ]
    if block_bits is not None and tile_fits and band_fits and all(p.weights * p.inputs > 1 for p in plans):
        by_column = _largest(cols, block_bits[0], weight_capacity)
        by_row = _largest(rows, block_bits[1], input_capacity)
        if 1 < by_column < cols:
            words = f"{channels}, in blocks of {by_column} column folds"
            plans.append(Fetches(1, ceil_div(cols, by_column), "columns", words, by_column))
        if 1 < by_row < rows:
            words = f"{positions}, in blocks of {by_row} row folds"
            plans.append(Fetches(ceil_div(rows, by_row), 1, "rows", words, by_row))
    return min(plans, key=lambda f: f.weights * weight_bits + f.inputs * input_bits)


def _largest(folds: int, bits: Callable[[int], int], capacity: int) -> int:
    """Most folds whose operand fits."""
    low, high = 1, folds
    if bits(folds) <= capacity:
        return folds
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if bits(middle) <= capacity else (low, middle - 1)
    return low
