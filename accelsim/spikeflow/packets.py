"""What travels between the neuronal module and the tiles, in packets: spikes out, partial sums back."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.spikeflow.kernels import fill_packets, flits_of_messages
from accelsim.spikeflow.mapping import Mapping
from accelsim.spikeflow.windows import RowBuffer, row_buffer
from accelsim.steps import first_and_later
from accelsim.workload import Operation
from accelsim.workload.graph import ActivationType, ceil_div
from accelsim.workload.outputs import is_constant

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Packets(NamedTuple):
    """How messages are cut into packets."""

    packet_flits: int
    flit_bits: int
    header_bits: int

    @classmethod
    def of(cls, hardware: SpikeflowFile) -> Packets:
        """Read from a machine."""
        noc = hardware.noc
        return cls(noc.packet_flits, noc.flit_bits, noc.header_bits)


def flits_of(bits: npt.ArrayLike, packets: Packets) -> IntArray:
    """Flits of messages of so many bits, headers included; messages longer than a packet travel as several."""
    amount = np.asarray(bits, dtype=np.int64)
    return np.asarray(flits_of_messages(amount.reshape(-1), *packets).reshape(amount.shape))


@lru_cache(maxsize=1024)
def plane_kinds(kind: ActivationType, timesteps: int) -> tuple[tuple[int, ...], IntArray]:
    """Bit-planes that an input row takes at one timestep or another, and [T] which of them it is."""
    planes, which = np.unique(kind.planes_in_time(timesteps).astype(np.int64), return_inverse=True)
    return tuple(planes.tolist()), which.reshape(-1).astype(np.int64)


class LayerTraffic:
    """Messages of one layer, per executed timestep."""

    def __init__(
        self, mapping: Mapping, packets: Packets, sum_bits: int, tile_buffer_bits: int, timesteps: int
    ) -> None:
        """`sum_bits` has a partial sum; `tile_buffer_bits` are a tile's for input rows."""
        op, layout = mapping.op, mapping.layout
        self.buffer: RowBuffer = row_buffer(op, layout, tile_buffer_bits)
        self.planes, self.kind = plane_kinds(op.in_types[0], timesteps)
        """Bit-planes of an input row: one number, but of a hybrid encoding two; [T] which of them."""
        rows = self.buffer.rows_in
        self.bits_of_row: tuple[int, ...] = tuple(ceil_div(op.in_elements * number, rows) for number in self.planes)
        """[kinds] bits of one input row."""
        self.rows_sent: int = self.buffer.rows_sent
        """Input rows sent in one timestep; more than there are where the tile buffer cannot hold a window's rows."""
        tiles = len(layout.shares)
        self.row_bits: IntArray = np.empty((len(self.planes), tiles), dtype=np.int64)
        self.row_flits: IntArray = np.empty((len(self.planes), tiles), dtype=np.int64)
        """[kinds, tiles] bits and flits of one input row that each tile needs."""
        self.sum_flits: IntArray = np.zeros(tiles, dtype=np.int64)
        """[tiles] flits of the partial sums of one output position."""
        fill_packets(
            self.bits_of_row,
            layout.shares,
            layout.widths,
            layout.tiles_of_column,
            sum_bits,
            *packets,
            self.row_bits,
            self.row_flits,
            self.sum_flits,
        )

    @cached_property
    def sum_flits_of_window(self) -> int:
        """Flits of the partial sums of one output position, from all tiles."""
        return int(np.add.reduce(self.sum_flits))


def executed(op: Operation, reuses: bool, timesteps: int) -> FloatArray:
    """Per timestep: 1, or 0 where a value that stays the same was computed before (`static_input: reuse`)."""
    return first_and_later(timesteps, 1.0, 0.0 if reuses and is_constant(op) else 1.0)
