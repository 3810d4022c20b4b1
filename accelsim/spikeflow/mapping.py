"""Which crossbars, PEs and tiles a layer's weights occupy, and where the tiles lie on the mesh.

A layer is cut into row blocks (kernel position x block of input channels, as many rows as a crossbar
has) and column blocks (as many output channels as it has columns). All crossbars of one column block
stand next to one another, fill PEs in order, PEs fill tiles; a tile holds one layer only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.workload import Operation
from accelsim.workload.graph import ceil_div
from accelsim.workload.schema import Conv2dSpec


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
        """Tiles the layer occupies."""
        return ceil_div(self.pes, self.tile_pes)

    @property
    def cell_utilization(self) -> float:
        """Share of the cells of the layer's crossbars that hold weights."""
        return self.op.weights * self.arrays_per_weight / (self.crossbars * self.crossbar_rows * self.crossbar_cols)

    @cached_property
    def tiles_of_column(self) -> tuple[tuple[int, int], ...]:
        """For each column block, its first and last tile."""
        n = self.pes_per_column
        return tuple(
            (column * n // self.tile_pes, ((column + 1) * n - 1) // self.tile_pes) for column in range(self.columns)
        )

    @cached_property
    def column_widths(self) -> tuple[int, ...]:
        """For each column block, its outputs: as many as a crossbar has columns, or what is left."""
        gemm = self.op.products()
        widths = []
        for first_group in range(0, gemm.groups, self.groups_per_set):
            outputs = gemm.n * min(self.groups_per_set, gemm.groups - first_group)
            widths += [
                min(self.crossbar_cols, max(0, outputs - block * self.crossbar_cols))
                for block in range(self.col_blocks)
            ]
        return tuple(widths)

    @cached_property
    def partial_sums(self) -> int:
        """Partial sums that leave a tile for each output position: its outputs, times the tiles behind each."""
        spans = zip(self.column_widths, self.tiles_of_column, strict=True)
        return sum(width * (last - first + 1) for width, (first, last) in spans)

    def input_shares(self) -> list[float]:
        """For each tile, the share of the layer's input channels that its PEs need, sent to it once.

        The crossbars of a column block are ordered by channel block, then kernel position, then bit
        slice: a PE that holds any part of a channel block needs all of its channels.
        """
        per_block = self.kernel_positions * self.arrays_per_weight
        pe = np.arange(self.pes)
        column, place = np.divmod(pe, self.pes_per_column)
        first = place * self.pe_crossbars // per_block
        held = np.minimum((place + 1) * self.pe_crossbars, self.row_blocks * per_block)
        last = (held - 1) // per_block
        blocks = self.sets * self.row_blocks
        needed = np.zeros((self.tiles, blocks), dtype=bool)
        start, tile = column // self.col_blocks * self.row_blocks + first, pe // self.tile_pes
        for offset in range(int((last - first).max()) + 1):
            holds = first + offset <= last
            needed[tile[holds], start[holds] + offset] = True
        return [float(share) for share in needed.sum(axis=1) / blocks]


def map_layer(op: Operation, hardware: SpikeflowFile, weight_bits: int) -> Mapping:
    """Map a convolution or fully-connected layer.

    Groups that are smaller than a crossbar share one block-diagonally.
    """
    gemm = op.products()
    kernel = op.spec.kernel if isinstance(op.spec, Conv2dSpec) else (1, 1)
    positions = kernel[0] * kernel[1]
    inputs = gemm.k // positions
    rows, cols = hardware.crossbar.rows, hardware.crossbar.cols
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
        crossbar_cols=cols,
    )


@dataclass(frozen=True)
class Mesh:
    """Tiles in snake order on a square mesh with the neuronal module in the middle."""

    tiles: int

    @cached_property
    def side(self) -> int:
        """Nodes along one side; one node belongs to the neuronal module."""
        return math.isqrt(self.tiles) + 1

    @cached_property
    def module(self) -> tuple[int, int]:
        """Position (x, y) of the neuronal module."""
        return self.side // 2, self.side // 2

    @cached_property
    def positions(self) -> tuple[tuple[int, int], ...]:
        """Position of each tile: row after row, every second one backwards, the module's node left out."""
        side = self.side
        snake = ((x if y % 2 == 0 else side - 1 - x, y) for y in range(side) for x in range(side))
        return tuple(place for place in snake if place != self.module)[: self.tiles]

    def hops(self, tiles: Sequence[int]) -> list[int]:
        """Links between each tile and the neuronal module (XY routing)."""
        x, y = self.module
        return [abs(place[0] - x) + abs(place[1] - y) for place in map(self.positions.__getitem__, tiles)]
