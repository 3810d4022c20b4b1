"""How long the parts of a tile take for one window: tile buffer, H-tree, PE, H-tree back, neuronal module."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.spikeflow.mapping import Mapping
from accelsim.spikeflow.placement import Chip
from accelsim.workload import Operation, Stage, Workload
from accelsim.workload.graph import ceil_div
from accelsim.workload.neurons import stored_membranes, unit_turns

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

    def pe(self, planes: FloatArray | float) -> FloatArray:
        """Cycles of a PE for so many bit-planes."""
        return np.asarray(self.overhead + np.asarray(planes) * self.plane)

    def interval(self, planes: FloatArray | float) -> FloatArray:
        """Cycles from one window to the next: the slowest stage."""
        return np.maximum(self.pe(planes), np.maximum(self.distribute, self.tree))

    def depth(self, planes: FloatArray | float) -> FloatArray:
        """Cycles of one window through all stages."""
        return np.asarray(self.distribute + self.pe(planes) + self.collect)


def turns(mapping: Mapping, hardware: SpikeflowFile) -> int:
    """Multiplexer turns: columns in use that share a converter, one after another."""
    return min(hardware.adc.columns_per_adc, max(mapping.column_widths) + mapping.reference_columns)


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
    bus, line = hardware.tile.bus_bits, hardware.memories.tile_buffer.line_bits
    bits = mapping.layout.rows_of_tile * planes
    down, up = -(-bits // bus), -(-mapping.layout.sums_of_pes * hardware.accumulator_bits // bus)
    return np.array([np.maximum(-(-bits // line), down), down + up, up])


def neuron_cycles(workload: Workload, stage: Stage, positions: int, hardware: SpikeflowFile, kept_bits: int) -> float:
    """Cycles in the neuronal module (or, for an ANN, the activation units) for the outputs of one window.

    Units and memory work side by side: as many outputs in a cycle as there are units, one line of membranes read
    and one written. `kept_bits` of sums that are stored for the next timesteps pass through the same port.
    """
    if workload.is_ann:
        return sum(
            _per_window(op.out_elements, positions, hardware.digital.activations_per_cycle)
            for op in stage.of_kind("neuron")
        )
    line, cycles = hardware.memories.membrane.line_bits, 0.0
    for op in stage.of_kind("neuron"):
        assert op.neuron is not None
        cycles += max(
            _per_window(op.out_elements * unit_turns(op.neuron), positions, hardware.lif_units),
            _per_window(_stored_bits(workload, hardware, op) + kept_bits, positions, line),
        )
    return cycles


def _stored_bits(workload: Workload, hardware: SpikeflowFile, op: Operation) -> int:
    if workload.timesteps == 1:
        return 0
    return stored_membranes(op, hardware.lif.membrane_sharing) * workload.precision.membrane_bits


def _per_window(amount: int, positions: int, at_once: int) -> float:
    """Cycles for one window's part; less than one where outputs are pooled before they come here."""
    if amount % positions:
        return amount / positions / at_once
    return float(ceil_div(amount // positions, at_once))


def digital_cycles(op: Operation, hardware: SpikeflowFile) -> float:
    """Cycles of the digital unit for a product of two activations, one pair of bits per lane and cycle."""
    planes = op.in_types[0].planes * op.in_types[1].planes
    return float(ceil_div(op.products().macs * planes, hardware.digital.lanes))
