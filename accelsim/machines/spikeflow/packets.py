"""What travels between the neuronal module and the tiles, in packets: spikes out, partial sums back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accelsim.core.memo import memo
from accelsim.core.types import FloatArray, IntArray
from accelsim.machines.spikeflow.description import MeshSpec
from accelsim.machines.spikeflow.kernels.tiles import fill_packets, flits_of_messages
from accelsim.machines.spikeflow.mapping import LayerMapping
from accelsim.machines.spikeflow.windows import RowBuffer, windows_of
from accelsim.workload import Operation
from accelsim.workload.graph import ceil_div


def flits_of(bits: npt.ArrayLike, noc: MeshSpec) -> IntArray:
    """Flits of messages of so many bits, headers included; messages longer than a packet travel as several."""
    amount = np.asarray(bits, dtype=np.int64)
    flits = flits_of_messages(amount.reshape(-1), noc.packet_flits, noc.flit_bits, noc.header_bits)
    return np.asarray(flits.reshape(amount.shape))


class InputRows:
    """The input of a layer row by row, whatever the machine."""

    def __init__(self, op: Operation, timesteps: int) -> None:
        self.windows = windows_of(op)
        planes, kind = np.unique(op.in_types[0].planes_in_time(timesteps).astype(np.int64), return_inverse=True)
        self.planes: tuple[int, ...] = tuple(planes.tolist())
        """[kinds] bit-planes of a row: one number, but of a hybrid encoding two."""
        self.kind: IntArray = kind.reshape(-1).astype(np.int64)
        """[T] which of them."""
        rows = self.windows.rows_in
        self.bits: IntArray = np.array([ceil_div(op.in_elements * number, rows) for number in self.planes])
        """[kinds] bits of one row."""
        self.most_bits = ceil_div(op.in_elements * op.in_types[0].planes, rows)
        """Bits of one row with all bit-planes that its type may have."""

    def when(self, kind: int, runs: FloatArray) -> FloatArray:
        """[T] 1 where the layer computes (`runs`) on rows of a kind."""
        return runs if len(self.planes) == 1 else runs * (self.kind == kind)


input_rows = memo(InputRows)
"""The input rows of an operation; all designs share them."""


class LayerTraffic:
    """Messages of one layer, per executed timestep."""

    def __init__(
        self, mapping: LayerMapping, rows: InputRows, noc: MeshSpec, sum_bits: int, tile_buffer_bits: int
    ) -> None:
        """`sum_bits` has a partial sum; `tile_buffer_bits` are a tile's for input rows."""
        blocks, shape = mapping.blocks, (len(rows.planes), mapping.tiles)
        self.rows = rows
        self.row_bits: IntArray = np.empty(shape, dtype=np.int64)
        self.row_flits: IntArray = np.empty(shape, dtype=np.int64)
        """[kinds, tiles] bits and flits of one input row that each tile needs."""
        self.sum_flits: IntArray = np.zeros(mapping.tiles, dtype=np.int64)
        """[tiles] flits of the partial sums of one output position."""
        fullest, self.sum_flits_of_window = fill_packets(
            rows.bits,
            rows.most_bits,
            mapping.channels_of_tile,
            blocks.wordlines,
            blocks.widths,
            mapping.tiles_of_column,
            sum_bits,
            noc.packet_flits,
            noc.flit_bits,
            noc.header_bits,
            self.row_bits,
            self.row_flits,
            self.sum_flits,
        )
        self.buffer = RowBuffer(rows.windows, tile_buffer_bits // fullest, fullest)
