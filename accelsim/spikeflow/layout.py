"""What a mapped layer has in each of its tiles: wordlines, channels, partial sums."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from accelsim.spikeflow.kernels import fill_tiles
from accelsim.workload.graph import ceil_div

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """A layer's row groups and column blocks in its tiles."""

    column_widths: tuple[int, ...]
    """For each column block, its outputs."""
    widths: IntArray
    """[columns] the same."""
    tiles_of_column: IntArray
    """[columns, 2] the first and the last tile of each column block."""
    set_widths: IntArray
    """[sets] outputs of each block of channels."""
    block_rows: IntArray
    """[sets x row blocks] wordlines in use of each block of input channels."""
    sums_of_tile: IntArray
    """[tiles] partial sums that leave each tile for each output position."""
    sums_of_pes: IntArray
    """[tiles] partial sums that the PEs of each tile send to its accumulators for each output position."""
    rows_of_tile: IntArray
    """[tiles] different wordlines that the PEs of each tile need: read once, for all that need them."""
    shares: npt.NDArray[np.float64]
    """[tiles] share of the layer's input channels that the PEs of each tile need, sent to it once. A PE that holds
    any kernel position of a channel block needs all of the block's channels."""

    @cached_property
    def widest(self) -> int:
        """Outputs of the widest column block."""
        return max(self.column_widths)

    @property
    def input_shares(self) -> tuple[float, ...]:
        """`shares` as plain numbers."""
        return tuple(self.shares.tolist())


@lru_cache(maxsize=4096)
def lay_out(
    shape: tuple[int, int, int],
    cut: tuple[int, int, int, int, int],
    packing: tuple[int, int, int, int],
    usable: tuple[int, int],
) -> Layout:
    """Lay a layer out.

    Args:
        shape: groups, input channels and output channels of each.
        cut: sets, groups per set, kernel positions, row blocks and column blocks of a set.
        packing: arrays per weight, crossbars of a PE, PEs of a tile, PEs of the first tile that are taken.
        usable: rows and columns of a crossbar for weights.
    """
    _, _, positions, row_blocks, col_blocks = cut
    arrays, pe_crossbars, tile_pes, first_pe = packing
    column_widths, widths, set_widths, block_rows = _blocks(shape, cut, usable)
    rows = positions * row_blocks
    per_column = ceil_div(rows * arrays, pe_crossbars)
    tiles = ceil_div(first_pe + len(widths) * per_column, tile_pes)
    spans = np.empty((len(widths), 2), dtype=np.int64)
    found = np.zeros((4, tiles), dtype=np.int64)
    fill_tiles(widths, block_rows, col_blocks, positions, row_blocks, *packing, spans, found)
    leaving, of_pes, rows_of_tile, channels = found
    return Layout(
        column_widths, widths, spans, set_widths, block_rows, leaving, of_pes, rows_of_tile, channels / block_rows.sum()
    )


@lru_cache(maxsize=4096)
def _blocks(
    shape: tuple[int, int, int], cut: tuple[int, int, int, int, int], usable: tuple[int, int]
) -> tuple[tuple[int, ...], IntArray, IntArray, IntArray]:
    """Column widths (twice), set widths and block rows of a `Layout`."""
    groups, channels, outputs = shape
    sets, groups_per_set, _, row_blocks, col_blocks = cut
    together = [min(groups_per_set, groups - first) for first in range(0, groups, groups_per_set)]
    widths = _cut([outputs * number for number in together], usable[1], col_blocks)
    block_rows = _cut([channels * number for number in together], usable[0], row_blocks)
    array = np.array(widths, dtype=np.int64)
    return tuple(widths), array, array.reshape(sets, col_blocks).sum(axis=1), np.array(block_rows, dtype=np.int64)


def _cut(totals: list[int], size: int, blocks: int) -> list[int]:
    """Each total cut into so many blocks of at most `size`."""
    return [min(size, max(0, total - block * size)) for total in totals for block in range(blocks)]
