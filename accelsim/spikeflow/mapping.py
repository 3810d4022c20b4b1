"""Which crossbars, PEs and tiles a layer's weights occupy.

A layer is cut into row blocks (kernel position x block of input channels, as many rows as a crossbar
has) and column blocks (as many output channels as it has columns for weights). All crossbars of one column
block stand next to one another in the order channel block, kernel position, bit slice; they fill PEs in
order, PEs fill tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.spikeflow.layout import Layout, lay_out
from accelsim.workload import Operation
from accelsim.workload.graph import ceil_div
from accelsim.workload.schema import Conv2dSpec


class Cut(NamedTuple):
    """All of a machine that decides how weights are cut into crossbars, PEs and tiles."""

    rows: int
    """Wordlines of a crossbar."""
    cols: int
    """Its columns."""
    reference_columns: int
    """Columns of each crossbar that are no outputs of their own."""
    arrays_per_weight: int
    pe_crossbars: int
    tile_pes: int

    @classmethod
    def of(cls, hardware: SpikeflowFile, weight_bits: int) -> Cut:
        """Read from a machine."""
        return cls(
            hardware.crossbar.rows,
            hardware.crossbar.cols,
            hardware.reference_columns,
            hardware.arrays_per_weight(weight_bits),
            hardware.pe.crossbars,
            hardware.tile.pes,
        )

    @property
    def weight_columns(self) -> int:
        """Columns of a crossbar that hold weights."""
        return self.cols - self.reference_columns

    @property
    def within_pe(self) -> tuple[int, ...]:
        """What decides everything up to the PEs, in whichever tile they lie."""
        return self[:-1]


@dataclass(frozen=True)
class Mapping:
    """A layer's weights on crossbars."""

    op: Operation
    cut: Cut
    sets: int
    """Independent blocks of channels: 1, or as many as grouped convolutions need."""
    groups_per_set: int
    kernel_positions: int
    row_blocks: int
    """Blocks of input channels of one set, for one kernel position."""
    col_blocks: int
    """Blocks of output channels of one set."""
    first_pe: int = 0
    """PEs of the first tile that belong to the layer before."""

    @property
    def arrays_per_weight(self) -> int:
        """Columns read for one weight: bit slices, times the signed scheme."""
        return self.cut.arrays_per_weight

    @property
    def reference_columns(self) -> int:
        """Columns of each crossbar that are no outputs of their own."""
        return self.cut.reference_columns

    @cached_property
    def rows(self) -> int:
        """Row blocks behind one output: partial results that must be added."""
        return self.kernel_positions * self.row_blocks

    @property
    def set_rows(self) -> int:
        """Wordlines in use behind one column block: the receptive field of one set."""
        return self.op.products().k * self.groups_per_set

    @cached_property
    def pes_per_column(self) -> int:
        """PEs that share one column block."""
        return ceil_div(self.rows * self.arrays_per_weight, self.cut.pe_crossbars)

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

    @cached_property
    def tiles(self) -> int:
        """Tiles in which the layer has PEs."""
        return ceil_div(self.first_pe + self.pes, self.cut.tile_pes)

    @property
    def cell_utilization(self) -> float:
        """Share of the cells of the layer's crossbars that hold weights."""
        return self.op.weights * self.arrays_per_weight / (self.crossbars * self.cut.rows * self.cut.cols)

    @cached_property
    def layout(self) -> Layout:
        """What lies in which tile."""
        gemm = self.op.products()
        return lay_out(
            (gemm.groups, gemm.k // self.kernel_positions, gemm.n),
            (self.sets, self.groups_per_set, self.kernel_positions, self.row_blocks, self.col_blocks),
            (self.arrays_per_weight, self.cut.pe_crossbars, self.cut.tile_pes, self.first_pe),
            (self.cut.rows, self.cut.weight_columns),
        )

    @property
    def column_widths(self) -> tuple[int, ...]:
        """For each column block, its outputs: as many as a crossbar has columns for, or what is left."""
        return self.layout.column_widths

    @cached_property
    def partial_sums(self) -> int:
        """Partial sums that leave a tile for each output position: its outputs, times the tiles behind each."""
        return int(self.layout.sums_of_tile.sum())


def map_layer(op: Operation, hardware: SpikeflowFile, weight_bits: int, first_pe: int = 0) -> Mapping:
    """Map a convolution or fully-connected layer."""
    return mapped(op, Cut.of(hardware, weight_bits), first_pe)


def mapped(op: Operation, cut: Cut, first_pe: int = 0) -> Mapping:
    """Map a layer; groups that are smaller than a crossbar share one block-diagonally."""
    gemm = op.products()
    kernel = op.spec.kernel if isinstance(op.spec, Conv2dSpec) else (1, 1)
    positions = kernel[0] * kernel[1]
    inputs, cols = gemm.k // positions, cut.weight_columns
    together = max(1, min(cut.rows // inputs, cols // gemm.n, gemm.groups))
    return Mapping(
        op=op,
        cut=cut,
        sets=ceil_div(gemm.groups, together),
        groups_per_set=together,
        kernel_positions=positions,
        row_blocks=ceil_div(inputs * together, cut.rows),
        col_blocks=ceil_div(gemm.n * together, cols),
        first_pe=first_pe,
    )
