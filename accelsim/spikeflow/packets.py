"""What travels between the neuronal module and the tiles, in packets: spikes out, partial sums back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.spikeflow.windows import RowBuffer, row_buffer
from accelsim.workload import Operation, Workload
from accelsim.workload.graph import ceil_div
from accelsim.workload.outputs import is_constant

if TYPE_CHECKING:
    from accelsim.spikeflow.mapping import Mapping
    from accelsim.spikeflow.placement import Placed

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def flits_of(bits: npt.ArrayLike, hardware: SpikeflowFile) -> IntArray:
    """Flits of messages of so many bits, headers included; messages longer than a packet travel as several."""
    noc = hardware.noc
    amount = np.asarray(bits, dtype=np.int64)
    packet = noc.packet_flits * noc.flit_bits - noc.header_bits
    whole = np.maximum(-(-amount // packet), 1) - 1
    rest = amount - whole * packet
    flits: IntArray = whole * noc.packet_flits + np.maximum(-(-(rest + noc.header_bits) // noc.flit_bits), 1)
    return flits


class LayerTraffic:
    """Messages of one layer, per executed timestep (with fewer `planes` than the input has at most: of such a one)."""

    def __init__(self, op: Operation, mapping: Mapping, hardware: SpikeflowFile, planes: int | None = None) -> None:
        self.buffer: RowBuffer = row_buffer(op, mapping, hardware)
        planes = op.in_types[0].planes if planes is None else planes
        rows_in = self.buffer.rows_in
        row_bits = ceil_div(op.in_elements * planes, rows_in)
        shares = np.array(mapping.layout.input_shares)
        self.row_bits = np.ceil(row_bits * shares).astype(np.int64)
        """[tiles] bits of one input row that each tile needs."""
        self.row_flits = flits_of(self.row_bits, hardware)
        self.rows_sent: int = self.buffer.rows_sent
        """Input rows sent in one timestep; more than there are where the tile buffer cannot hold a window's rows."""
        widths = np.array(mapping.column_widths)
        spans = np.array(mapping.tiles_of_column).reshape(-1, 2)
        flits = flits_of(widths * hardware.accumulator_bits, hardware)
        self.sum_flits = np.zeros(mapping.tiles, dtype=np.int64)
        """[tiles] flits of the partial sums of one output position."""
        for count, (first, last) in zip(flits, spans, strict=True):
            self.sum_flits[first : last + 1] += count


def executed(op: Operation, hardware: SpikeflowFile, timesteps: int) -> FloatArray:
    """Per timestep: 1, or 0 where a value that stays the same was computed before."""
    times = np.ones(timesteps)
    if hardware.static_input == "reuse" and is_constant(op):
        times[1:] = 0.0
    return times


def tile_flits(workload: Workload, hardware: SpikeflowFile, placed: dict[str, Placed], tiles: int) -> FloatArray:
    """[tiles] flits from and to each tile for one image."""
    total = np.zeros(tiles)
    for item in placed.values():
        op, traffic = item.mapping.op, item.traffic
        runs = float(executed(op, hardware, workload.timesteps).sum())
        sums = traffic.sum_flits * op.products().m / item.copies
        for numbers in item.tiles:
            total[numbers] += runs * (traffic.row_flits * traffic.rows_sent + sums)
    return total
