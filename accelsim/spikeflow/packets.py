"""What travels between the neuronal module and the tiles, in packets: spikes out, partial sums back."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.spikeflow.windows import RowBuffer, row_buffer
from accelsim.steps import first_and_later
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
    return _flits(np.asarray(bits, dtype=np.int64), _format(hardware))


Format = tuple[int, int, int]


def _format(hardware: SpikeflowFile) -> Format:
    """(flits of a packet, bits of a flit, bits of a header)"""
    noc = hardware.noc
    return noc.packet_flits, noc.flit_bits, noc.header_bits


def _flits(amount: IntArray, packets: Format) -> IntArray:
    packet_flits, flit_bits, header_bits = packets
    packet = packet_flits * flit_bits - header_bits
    whole = np.maximum(-(-amount // packet), 1) - 1
    rest = amount - whole * packet
    flits: IntArray = whole * packet_flits + np.maximum(-(-(rest + header_bits) // flit_bits), 1)
    return flits


@lru_cache(maxsize=4096)
def _rows(bits: tuple[int, ...], shares: tuple[float, ...], packets: Format) -> tuple[IntArray, IntArray]:
    needed = np.ceil(np.array(bits)[:, None] * np.array(shares)).astype(np.int64)
    return needed, _flits(needed, packets)


@lru_cache(maxsize=4096)
def _sums(
    widths: tuple[int, ...], spans: tuple[tuple[int, int], ...], tiles: int, sum_bits: int, packets: Format
) -> IntArray:
    sums = np.zeros(tiles, dtype=np.int64)
    for count, (first, last) in zip(_flits(np.array(widths) * sum_bits, packets).tolist(), spans, strict=True):
        sums[first : last + 1] += count
    return sums


class LayerTraffic:
    """Messages of one layer, per executed timestep."""

    def __init__(self, op: Operation, mapping: Mapping, hardware: SpikeflowFile, timesteps: int) -> None:
        self.buffer: RowBuffer = row_buffer(op, mapping, hardware)
        planes = op.in_types[0].planes_in_time(timesteps).tolist()
        self.planes: tuple[int, ...] = tuple(sorted({int(number) for number in planes}))
        """Bit-planes that an input row takes at one timestep or another: one number, but of a hybrid encoding two."""
        self.kind: IntArray = np.array([self.planes.index(int(number)) for number in planes], dtype=np.int64)
        """[T] which of them."""
        rows = self.buffer.rows_in
        self.bits_of_row: tuple[int, ...] = tuple(ceil_div(op.in_elements * number, rows) for number in self.planes)
        """[kinds] bits of one input row."""
        format_ = _format(hardware)
        self.row_bits, self.row_flits = _rows(self.bits_of_row, mapping.layout.input_shares, format_)
        """[kinds, tiles] bits and flits of one input row that each tile needs."""
        self.rows_sent: int = self.buffer.rows_sent
        """Input rows sent in one timestep; more than there are where the tile buffer cannot hold a window's rows."""
        self.sum_flits: IntArray = _sums(
            mapping.column_widths, mapping.tiles_of_column, mapping.tiles, hardware.accumulator_bits, format_
        )
        """[tiles] flits of the partial sums of one output position."""

    def row_flits_of_image(self, runs: FloatArray) -> FloatArray:
        """[tiles] flits of one input row, summed over the timesteps at which it is sent."""
        if len(self.planes) == 1:
            return np.asarray(runs.sum() * self.row_flits[0])
        return np.asarray(runs @ self.row_flits[self.kind])


def executed(op: Operation, hardware: SpikeflowFile, timesteps: int) -> FloatArray:
    """Per timestep: 1, or 0 where a value that stays the same was computed before."""
    return first_and_later(timesteps, 1.0, 0.0 if hardware.static_input == "reuse" and is_constant(op) else 1.0)


def tile_flits(workload: Workload, hardware: SpikeflowFile, placed: dict[str, Placed], tiles: int) -> FloatArray:
    """[tiles] flits from and to each tile for one image."""
    total = np.zeros(tiles)
    for item in placed.values():
        op, traffic = item.mapping.op, item.traffic
        runs = executed(op, hardware, workload.timesteps)
        sums = float(runs.sum()) * (traffic.sum_flits * op.products().m / item.copies)
        for numbers in item.tiles:
            total[numbers] += traffic.row_flits_of_image(runs) * traffic.rows_sent + sums
    return total
