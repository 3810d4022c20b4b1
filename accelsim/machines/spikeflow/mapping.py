"""Which crossbars, PEs and tiles a layer's weights occupy.

A layer is cut into row blocks (kernel position x block of input channels, as many rows as a crossbar
has) and column blocks (as many output channels as it has columns for weights). All crossbars of one column
block stand next to one another in the order channel block, kernel position, bit slice; they fill PEs in
order, PEs fill tiles.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from accelsim.core.memo import memo
from accelsim.core.types import IntArray
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.spikeflow.kernels.tiles import fill_tiles
from accelsim.workload import Operation
from accelsim.workload.graph import ceil_div


def is_on_crossbars(op: Operation, first_layer: str) -> bool:
    """Whether the weights of an operation lie on crossbars; analog inputs may have digital multipliers instead."""
    return op.kind != "matmul" and (first_layer == "crossbar" or op.in_types[0].is_spiking)


class ArrayShape(NamedTuple):
    """All of a machine that decides how weights are cut into crossbars."""

    rows: int
    """Wordlines."""
    cols: int
    reference_columns: int
    """Columns that are no outputs of their own."""
    arrays_per_weight: int
    """Columns read for one weight: bit slices, times the signed scheme."""

    @classmethod
    def of(cls, hardware: SpikeflowFile, weight_bits: int) -> ArrayShape:
        """Read from a machine."""
        crossbar = hardware.crossbar
        return cls(crossbar.rows, crossbar.cols, hardware.reference_columns, hardware.arrays_per_weight(weight_bits))


class Blocks:
    """A layer's weights cut into crossbars; groups that are smaller than a crossbar share one block-diagonally."""

    def __init__(self, op: Operation, crossbar: ArrayShape) -> None:
        gemm, cols = op.products(), crossbar.cols - crossbar.reference_columns
        self.op, self.crossbar = op, crossbar
        self.kernel_positions: int = op.field.taps
        inputs = gemm.k // self.kernel_positions
        self.groups_per_set: int = max(1, min(crossbar.rows // inputs, cols // gemm.n, gemm.groups))
        self.sets: int = ceil_div(gemm.groups, self.groups_per_set)
        """Independent blocks of channels: 1, or as many as grouped convolutions need."""
        self.row_blocks: int = ceil_div(inputs * self.groups_per_set, crossbar.rows)
        """Blocks of input channels of one set, for one kernel position."""
        self.col_blocks: int = ceil_div(gemm.n * self.groups_per_set, cols)
        """Blocks of output channels of one set."""
        self.rows: int = self.kernel_positions * self.row_blocks
        """Row blocks behind one output: partial results that must be added."""
        self.columns: int = self.sets * self.col_blocks
        """Column blocks over all sets."""
        self.crossbars: int = self.columns * self.rows * crossbar.arrays_per_weight
        """Crossbars holding weights."""
        together = [min(self.groups_per_set, gemm.groups - s * self.groups_per_set) for s in range(self.sets)]
        self.widths: IntArray = np.array(_cut([gemm.n * number for number in together], cols, self.col_blocks))
        """[columns] outputs of each column block: as many as a crossbar has columns for, or what is left."""
        self.widest = int(self.widths.max())
        """Outputs of the widest column block."""
        self.set_widths: IntArray = self.widths.reshape(self.sets, self.col_blocks).sum(axis=1)
        """[sets] outputs of each block of channels."""
        rows = _cut([inputs * number for number in together], crossbar.rows, self.row_blocks)
        self.block_rows: IntArray = np.array(rows)
        """[sets x row blocks] wordlines in use of each block of input channels."""
        self.wordlines = int(self.block_rows.sum())
        """Input channels of all blocks."""
        cells = self.crossbars * crossbar.rows * crossbar.cols
        self.cell_utilization: float = op.weights * crossbar.arrays_per_weight / cells
        """Share of the cells of the layer's crossbars that hold weights."""


blocks_of = memo(Blocks)
"""The blocks of an operation on arrays of a shape; designs share them."""


def _cut(totals: list[int], size: int, blocks: int) -> list[int]:
    """Each total cut into so many blocks of at most `size`."""
    return [min(size, max(0, total - block * size)) for total in totals for block in range(blocks)]


class LayerMapping:
    """A layer's crossbars in PEs and tiles."""

    def __init__(self, blocks: Blocks, pe_crossbars: int, tile_pes: int, first_pe: int = 0) -> None:
        """`pe_crossbars` of a PE, `tile_pes` of a tile, of the first of which `first_pe` belong to the layer before."""
        arrays = blocks.crossbar.arrays_per_weight
        self.blocks, self.op = blocks, blocks.op
        self.pe_crossbars, self.tile_pes, self.first_pe = pe_crossbars, tile_pes, first_pe
        self.pes_per_column: int = ceil_div(blocks.rows * arrays, pe_crossbars)
        """PEs that share one column block."""
        self.pes: int = blocks.columns * self.pes_per_column
        """PEs the layer occupies."""
        self.tiles: int = ceil_div(first_pe + self.pes, tile_pes)
        """Tiles in which the layer has PEs."""
        self.tiles_of_column: IntArray = np.empty((blocks.columns, 2), dtype=np.int64)
        """[columns, 2] the first and the last tile of each column block."""
        found = np.zeros((4, self.tiles), dtype=np.int64)
        fill_tiles(
            blocks.widths,
            blocks.block_rows,
            blocks.col_blocks,
            blocks.kernel_positions,
            blocks.row_blocks,
            arrays,
            pe_crossbars,
            tile_pes,
            first_pe,
            self.tiles_of_column,
            found,
        )
        self.sums_of_tile: IntArray = found[0]
        """[tiles] partial sums that leave each tile for each output position."""
        self.partial_sums = int(np.add.reduce(self.sums_of_tile))
        """Of all tiles: the layer's outputs, times the tiles behind each."""
        self.sums_of_pes: IntArray = found[1]
        """[tiles] partial sums that the PEs of each tile send to its accumulators for each output position."""
        self.rows_of_tile: IntArray = found[2]
        """[tiles] different wordlines that the PEs of each tile need: read once, for all that need them."""
        self.channels_of_tile: IntArray = found[3]
        """[tiles] input channels that the PEs of each tile need, sent to it once. A PE that holds any kernel position
        of a channel block needs all of the block's channels."""
