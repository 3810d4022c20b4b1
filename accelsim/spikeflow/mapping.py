"""Which crossbars, PEs and tiles a layer's weights occupy.

A layer is cut into row blocks (kernel position x block of input channels, as many rows as a crossbar
has) and column blocks (as many output channels as it has columns for weights). All crossbars of one column
block stand next to one another in the order channel block, kernel position, bit slice; they fill PEs in
order, PEs fill tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.workload import Operation
from accelsim.workload.graph import ceil_div
from accelsim.workload.schema import Conv2dSpec

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Mapping:
    """A layer's weights on crossbars."""

    op: Operation
    sets: int
    """Independent blocks of channels: 1, or as many as grouped convolutions need."""
    groups_per_set: int
    kernel_positions: int
    row_blocks: int
    """Blocks of input channels of one set, for one kernel position."""
    col_blocks: int
    """Blocks of output channels of one set."""
    arrays_per_weight: int
    pe_crossbars: int
    tile_pes: int
    crossbar_rows: int
    crossbar_cols: int
    reference_columns: int = 0
    """Columns of each crossbar that are no outputs of their own."""
    first_pe: int = 0
    """PEs of the first tile that belong to the layer before."""

    @property
    def rows(self) -> int:
        """Row blocks behind one output: partial results that must be added."""
        return self.kernel_positions * self.row_blocks

    @property
    def set_rows(self) -> int:
        """Wordlines in use behind one column block: the receptive field of one set."""
        return self.op.products().k * self.groups_per_set

    @property
    def pes_per_column(self) -> int:
        """PEs that share one column block."""
        return ceil_div(self.rows * self.arrays_per_weight, self.pe_crossbars)

    @property
    def columns(self) -> int:
        """Column blocks over all sets."""
        return self.sets * self.col_blocks

    @property
    def crossbars(self) -> int:
        """Crossbars holding weights."""
        return self.columns * self.rows * self.arrays_per_weight

    @property
    def pes(self) -> int:
        """PEs the layer occupies."""
        return self.columns * self.pes_per_column

    @property
    def tiles(self) -> int:
        """Tiles in which the layer has PEs."""
        return ceil_div(self.first_pe + self.pes, self.tile_pes)

    @property
    def weight_columns(self) -> int:
        """Columns of a crossbar that hold weights."""
        return self.crossbar_cols - self.reference_columns

    @property
    def cell_utilization(self) -> float:
        """Share of the cells of the layer's crossbars that hold weights."""
        return self.op.weights * self.arrays_per_weight / (self.crossbars * self.crossbar_rows * self.crossbar_cols)

    @cached_property
    def layout(self) -> Layout:
        """What lies in which tile."""
        gemm = self.op.products()
        return _layout(
            (gemm.groups, gemm.k // self.kernel_positions, gemm.n),
            (self.sets, self.groups_per_set, self.kernel_positions, self.row_blocks, self.col_blocks),
            (self.arrays_per_weight, self.pe_crossbars, self.tile_pes, self.first_pe),
            (self.crossbar_rows, self.weight_columns),
        )

    @property
    def column_widths(self) -> tuple[int, ...]:
        """For each column block, its outputs: as many as a crossbar has columns for, or what is left."""
        return self.layout.column_widths

    @property
    def tiles_of_column(self) -> tuple[tuple[int, int], ...]:
        """For each column block, its first and last tile."""
        return self.layout.tiles_of_column

    @property
    def partial_sums(self) -> int:
        """Partial sums that leave a tile for each output position: its outputs, times the tiles behind each."""
        return int(self.layout.sums_of_tile.sum())


@dataclass(frozen=True)
class Layout:
    """A layer's row groups and column blocks in its tiles."""

    column_widths: tuple[int, ...]
    """For each column block, its outputs."""
    tiles_of_column: tuple[tuple[int, int], ...]
    """For each column block, its first and last tile."""
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
    input_shares: tuple[float, ...]
    """[tiles] share of the layer's input channels that the PEs of each tile need, sent to it once. A PE that holds
    any kernel position of a channel block needs all of the block's channels."""


@lru_cache(maxsize=4096)
def _layout(
    shape: tuple[int, int, int],
    cut: tuple[int, int, int, int, int],
    packing: tuple[int, int, int, int],
    usable: tuple[int, int],
) -> Layout:
    groups, channels, outputs = shape
    sets, groups_per_set, positions, row_blocks, col_blocks = cut
    arrays, pe_crossbars, tile_pes, first_pe = packing
    together = [min(groups_per_set, groups - first) for first in range(0, groups, groups_per_set)]
    widths = _cut([outputs * number for number in together], usable[1], col_blocks)
    rows = positions * row_blocks
    per_column = ceil_div(rows * arrays, pe_crossbars)
    pes = sets * col_blocks * per_column
    tile_of_pe = (np.arange(pes) + first_pe) // tile_pes
    tiles = ceil_div(first_pe + pes, tile_pes)
    spans = np.stack([tile_of_pe[::per_column], tile_of_pe[per_column - 1 :: per_column]], axis=1)
    leaving = np.zeros(tiles, dtype=np.int64)
    for width, (start, end) in zip(widths, spans.tolist(), strict=True):
        leaving[start : end + 1] += width
    sums_of_pes = np.bincount(tile_of_pe, np.repeat(widths, per_column), tiles).astype(np.int64)
    # Which row groups have crossbars in which tile: [tiles, sets x row blocks, kernel positions].
    column, place = np.divmod(np.arange(pes), per_column)
    first = place * pe_crossbars // arrays
    last = (np.minimum((place + 1) * pe_crossbars, rows * arrays) - 1) // arrays
    held = np.zeros((tiles, sets * rows), dtype=bool)
    begin = column // col_blocks * rows + first
    for offset in range(int((last - first).max()) + 1):
        holds = first + offset <= last
        held[tile_of_pe[holds], begin[holds] + offset] = True
    groups_held = held.reshape(tiles, sets * row_blocks, positions)
    block_rows = np.array(_cut([channels * number for number in together], usable[0], row_blocks), dtype=np.int64)
    return Layout(
        column_widths=tuple(widths),
        tiles_of_column=tuple((start, end) for start, end in spans.tolist()),
        set_widths=np.array(widths, dtype=np.int64).reshape(sets, col_blocks).sum(axis=1),
        block_rows=block_rows,
        sums_of_tile=leaving,
        sums_of_pes=sums_of_pes,
        rows_of_tile=groups_held.sum(axis=2) @ block_rows,
        input_shares=tuple((groups_held.any(axis=2) @ block_rows / block_rows.sum()).tolist()),
    )


def _cut(totals: list[int], size: int, blocks: int) -> list[int]:
    """Each total cut into so many blocks of at most `size`."""
    return [min(size, max(0, total - block * size)) for total in totals for block in range(blocks)]


def map_layer(op: Operation, hardware: SpikeflowFile, weight_bits: int, first_pe: int = 0) -> Mapping:
    """Map a convolution or fully-connected layer.

    Groups that are smaller than a crossbar share one block-diagonally.
    """
    gemm = op.products()
    kernel = op.spec.kernel if isinstance(op.spec, Conv2dSpec) else (1, 1)
    positions = kernel[0] * kernel[1]
    inputs = gemm.k // positions
    rows, cols = hardware.crossbar.rows, hardware.usable_cols
    together = max(1, min(rows // inputs, cols // gemm.n, gemm.groups))
    return Mapping(
        op=op,
        sets=ceil_div(gemm.groups, together),
        groups_per_set=together,
        kernel_positions=positions,
        row_blocks=ceil_div(inputs * together, rows),
        col_blocks=ceil_div(gemm.n * together, cols),
        arrays_per_weight=hardware.arrays_per_weight(weight_bits),
        pe_crossbars=hardware.pe.crossbars,
        tile_pes=hardware.tile.pes,
        crossbar_rows=rows,
        crossbar_cols=hardware.crossbar.cols,
        reference_columns=hardware.reference_columns,
        first_pe=first_pe,
    )
