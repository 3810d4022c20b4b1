"""Stage timing: how long a window takes in tile buffer, H-tree, PE and H-tree back, and what a layer asks in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from accelsim.core.timesteps import even
from accelsim.core.types import FloatArray, IntArray
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.spikeflow.kernels.tiles import fill_window_load
from accelsim.machines.spikeflow.mapping import LayerMapping
from accelsim.machines.spikeflow.placement import Placed, PlacedChip


@dataclass(eq=False)
class StageTiming:
    """What a weighted operation asks of its unit and of the neuronal module, in cycles."""

    runs: FloatArray
    """[T] 1 where it computes, 0 where it repeats the sums of the timestep before."""
    interval: FloatArray
    """[T or 1, windows or 1] from one window to the next; 1 where all are alike."""
    depth: FloatArray
    """[T or 1, windows or 1] of one window through all stages of a tile."""
    windows: int
    """Of one timestep."""
    neurons: float = 0.0
    """Of one window in the neuronal module."""
    copies: int = 1
    capacity: int = 1 << 30
    """Input rows that a tile buffer holds."""
    streams: bool = False
    """The tile buffer is too small for the rows of a window."""

    @property
    def steps(self) -> int:
        """Timesteps T."""
        return len(self.runs)

    @property
    def mean_interval(self) -> float:
        """Over all windows and timesteps."""
        return self.interval.item() if self.interval.size == 1 else float(self.interval.mean())

    def work(self) -> FloatArray:
        """[T] all windows of a timestep, one after another (on one copy of the weights), whether it computes or not."""
        total = np.add.reduce(self.interval, axis=1) * (self.windows / self.interval.shape[1])
        return total if len(total) > 1 else np.repeat(total, self.steps)

    def busy(self, width: int) -> float:
        """Cycles per image in which the operation's own unit works: the longest of its copies."""
        part = -(-width // self.copies)
        if self.interval.shape[1] == 1:
            return float(self.work() @ self.runs) / width * part
        steps = self.interval.reshape(len(self.interval), -1, width) * self.runs[:, None, None]
        parts = [steps[:, :, start : start + part].sum() for start in range(0, width, part)]
        return float(max(parts))

    def shares(self) -> FloatArray:
        """[T] share of each timestep in the operation's work; where sums are repeated only the neurons work."""
        work = np.where(self.runs > 0, self.work(), self.neurons * self.windows)
        total = float(np.add.reduce(work))
        return work / total if total else even(self.steps)


class WindowTiming(NamedTuple):
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
        if planes.size == 1 and isinstance(self.distribute, int):  # as a rule; whole cycles stay whole numbers
            pe, slowest = self.overhead + planes.item() * self.plane, max(self.distribute, self.tree)
            return np.array([[max(pe, slowest)]]), np.array([[pe + self.distribute + self.collect]])
        pe_cycles = self.overhead + planes * self.plane
        interval = np.maximum(pe_cycles, np.maximum(self.distribute, self.tree))
        return interval, pe_cycles + (self.distribute + self.collect)


def stage_timing(placed: Placed, window: WindowTiming, planes: FloatArray, neuron_cycles: float) -> StageTiming:
    """Of a layer on crossbars, of which so many bit-planes of each window are read (`ActiveReads.planes`)."""
    interval, depth = window.of(planes)
    buffer = placed.traffic.buffer
    return StageTiming(
        placed.runs,
        interval,
        depth,
        placed.windows,
        neuron_cycles,
        placed.copies,
        buffer.capacity,
        buffer.streams,
    )


def turns(mapping: LayerMapping, columns_per_adc: int) -> int:
    """Multiplexer turns: columns in use that share a converter, one after another."""
    blocks = mapping.blocks
    return min(columns_per_adc, blocks.widest + blocks.crossbar.reference_columns)


def window_timings(chip: PlacedChip, hardware: SpikeflowFile) -> dict[str, WindowTiming]:
    """The timing of every placed layer. Layers that share a tile share its buffer port and its H-tree.

    A layer's own bit-planes are those of each timestep, those of others in its tiles the most they can be.
    """
    shared = hardware.placement.share_tiles
    widths = hardware.memories.tile_buffer.line_bits, hardware.tile.bus_bits, hardware.accumulator_bits
    overhead = hardware.timing.fetch_cycles + hardware.timing.accumulate_cycles
    columns_per_adc, conversion = hardware.adc.columns_per_adc, hardware.adc.cycles_per_conversion
    own = {
        name: [_Load(item, planes, *widths) for planes in item.traffic.rows.planes]
        for name, item in chip.placed.items()
    }
    total = np.zeros((3, chip.tiles), dtype=np.int64)
    for name, item in chip.placed.items() if shared else ():
        for tiles in item.tiles:
            total[:, tiles] += own[name][-1].of_tiles
    timings = {}
    for name, item in chip.placed.items():
        kinds = [load.most for load in own[name]]
        if shared:
            others = total[:, item.tiles] - own[name][-1].of_tiles[:, None, :]
            kinds = [(others + load.of_tiles[:, None, :]).max(axis=(1, 2)).tolist() for load in own[name]]
        distribute, tree, collect = kinds[-1]
        if len(kinds) > 1:
            in_time = np.array(kinds, dtype=np.float64)[item.traffic.rows.kind]
            distribute, tree = in_time[:, :1], in_time[:, 1:2]
        plane = turns(item.mapping, columns_per_adc) * conversion
        timings[name] = WindowTiming(distribute, tree, overhead, plane, collect)
    return timings


class _Load:
    """Cycles of each tile's buffer and H-tree down, of the H-tree both ways, and up, for one window."""

    def __init__(self, item: Placed, planes: int, line_bits: int, bus_bits: int, sum_bits: int) -> None:
        mapping = item.mapping
        self.of_tiles: IntArray = np.empty((3, mapping.tiles), dtype=np.int64)
        """[3, tiles]"""
        self.most: Any = fill_window_load(
            mapping.rows_of_tile, mapping.sums_of_pes, planes, line_bits, bus_bits, sum_bits, self.of_tiles
        )
        """[3] in the fullest tile."""
