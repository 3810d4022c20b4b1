"""How long the parts of a tile take for one window: tile buffer, H-tree, PE, H-tree back, neuronal module."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.spikeflow.kernels import fill_window_load
from accelsim.spikeflow.mapping import Mapping
from accelsim.spikeflow.placement import Chip

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WindowTiming:
    """Cycles of one window in a layer's tiles, stage by stage; the stages overlap for successive windows."""

    distribute: FloatArray | float
    """Input rows out of the tile buffer and down the H-tree (the fullest tile); [T, 1] where they differ in time."""
    tree: FloatArray | float
    """The H-tree in use, in both directions together; likewise."""
    overhead: float
    """Rows into the drivers, and the last shift-add, DIFF and hand-over."""
    plane: float
    """All multiplexer turns for one bit-plane of the input."""
    collect: float
    """Sums of the PEs up the H-tree (the fullest tile)."""

    def of(self, planes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """For so many bit-planes, cycles from one window to the next (the slowest stage), and through all stages."""
        pe = self.overhead + planes * self.plane
        return np.maximum(pe, np.maximum(self.distribute, self.tree)), pe + (self.distribute + self.collect)


def turns(mapping: Mapping, hardware: SpikeflowFile) -> int:
    """Multiplexer turns: columns in use that share a converter, one after another."""
    return min(hardware.adc.columns_per_adc, mapping.layout.widest + mapping.reference_columns)


def window_timings(chip: Chip, hardware: SpikeflowFile) -> dict[str, WindowTiming]:
    """The timing of every placed layer. Layers that share a tile share its buffer port and its H-tree.

    A layer's own bit-planes are those of each timestep, those of others in its tiles the most they can be.
    """
    shared = hardware.placement.share_tiles
    own = {
        name: [_window_load(item.mapping, planes, hardware) for planes in item.traffic.planes]
        for name, item in chip.placed.items()
    }
    total = np.zeros((3, chip.tiles), dtype=np.int64)
    for name, item in chip.placed.items() if shared else ():
        for tiles in item.tiles:
            total[:, tiles] += own[name][-1]
    overhead = hardware.timing.fetch_cycles + hardware.timing.accumulate_cycles
    timings = {}
    for name, item in chip.placed.items():
        loads = own[name]
        if shared:
            others = total[:, item.tiles] - loads[-1][:, None, :]
            loads = [(others + load[:, None, :]).reshape(3, -1) for load in loads]
        kinds = [np.maximum.reduce(load, axis=1).tolist() for load in loads]
        distribute, tree, collect = kinds[-1]
        if len(kinds) > 1:
            in_time = np.array(kinds, dtype=np.float64)[item.traffic.kind]
            distribute, tree = in_time[:, :1], in_time[:, 1:2]
        plane = turns(item.mapping, hardware) * hardware.adc.cycles_per_conversion
        timings[name] = WindowTiming(distribute, tree, overhead, plane, collect)
    return timings


def _window_load(mapping: Mapping, planes: int, hardware: SpikeflowFile) -> IntArray:
    """[3, tiles] cycles of each tile's buffer and H-tree down, of the H-tree both ways, and up, for one window."""
    layout, line = mapping.layout, hardware.memories.tile_buffer.line_bits
    found = np.empty((3, len(layout.shares)), dtype=np.int64)
    fill_window_load(
        layout.rows_of_tile, layout.sums_of_pes, planes, line, hardware.tile.bus_bits, hardware.accumulator_bits, found
    )
    return found
