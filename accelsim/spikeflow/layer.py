"""One layer on the crossbars, in closed form: reads, conversions, DIFF, accumulation, buffers, mesh, neurons."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.results import LayerLedger
from accelsim.spikeflow.mapping import Mapping, Mesh
from accelsim.spikeflow.pipeline import Service
from accelsim.workload import ActivationType, Operation, Stage, Workload
from accelsim.workload.graph import ceil_div
from accelsim.workload.neurons import leak_action
from accelsim.workload.outputs import is_constant, source

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Placed:
    """A mapped layer and the links between its tiles and the neuronal module."""

    mapping: Mapping
    hops: list[int]


class LayerModel:
    """Fills the ledger of one stage."""

    def __init__(
        self,
        workload: Workload,
        hardware: SpikeflowFile,
        stage: Stage,
        outputs: tuple[Operation, ...],
        placed: Placed | None,
    ) -> None:
        self.workload, self.hardware, self.stage, self.placed = workload, hardware, stage, placed
        self.outputs = outputs
        self.steps = workload.timesteps
        self.memories = hardware.memories
        self.ledger = LayerLedger(stage.name, stage.kind, self.steps)
        self.service: Service | None = None
        self.module_bits = 0.0
        """Bits through the neuronal module's ports."""
        self.lif_cycles = 0.0

    def fill(self) -> LayerLedger:
        """All counts of the stage (its time follows from the pipeline)."""
        if self.stage.core is not None:
            op = self.stage.core
            executions = self._times(op)
            self._arithmetic(op, executions)
            if self.placed is None:
                self._digital(op, executions)
            else:
                self._crossbars(op, self.placed.mapping, executions)
                self._combine(op, self.placed.mapping, executions)
                self._move(op, self.placed, executions)
            self._static_sums(op, executions)
        self._neurons()
        self._epilogue()
        self._output()
        return self.ledger

    def _each(self, count: float) -> FloatArray:
        return np.full(self.steps, float(count))

    def _times(self, op: Operation) -> FloatArray:
        """Per timestep: 1, or 0 where a value that stays the same was computed before."""
        times = np.ones(self.steps)
        if self.hardware.static_input == "reuse" and is_constant(op):
            times[1:] = 0.0
        return times

    # -- compute -------------------------------------------------------------------------------------

    def _arithmetic(self, op: Operation, executions: FloatArray) -> None:
        gemm = op.products()
        self.ledger.dense_macs = gemm.macs
        if op.in_types[0].is_spiking:
            accumulations = self.workload.activity[op.name].accumulations.mean(axis=1)
            self.ledger.accumulations = float((accumulations * executions).sum())
        else:
            self.ledger.macs = float(gemm.macs * executions.sum())

    def _crossbars(self, op: Operation, mapping: Mapping, executions: FloatArray) -> None:
        """Reads and conversions: every column of every array, one bit-plane of the input at a time."""
        hardware, gemm, planes = self.hardware, op.products(), op.in_types[0].planes
        events = self.workload.activity[op.name].accumulations.mean(axis=1) * executions
        self.ledger.add("crossbar.cell_read", events * mapping.arrays_per_weight)
        # A spike raises its wordline in every array of its row block: all column blocks and slices.
        raised = events / gemm.n * mapping.col_blocks * mapping.arrays_per_weight
        self.ledger.add("driver.row_drive", raised)
        conversions = gemm.m * planes * mapping.rows * mapping.arrays_per_weight * gemm.n * gemm.groups * executions
        self.ledger.add("adc.convert", conversions)
        self.ledger.add("mux.switch", conversions)
        self.ledger.utilization = mapping.cell_utilization
        turns = min(hardware.adc.columns_per_adc, max(1, min(gemm.n * gemm.groups, hardware.crossbar.cols)))
        timing = hardware.timing
        read = timing.fetch_cycles + planes * turns * hardware.adc.cycles_per_conversion + timing.accumulate_cycles
        # The neuronal module serves one position's outputs, wherever its sums come from.
        neurons = ceil_div(gemm.n * gemm.groups, hardware.lif_units)
        positions = op.out_shape[2] if op.kind == "conv2d" else gemm.m
        idle = float(neurons) if self.stage.of_kind("neuron") else 0.0  # a reused sum still meets its neurons
        per_position = np.where(executions > 0, max(read, neurons), idle)
        self.service = Service(positions * per_position)
        rows = op.out_shape[1] if op.kind == "conv2d" else 1
        self.ledger.busy_cycles = float(self.service.row_cycles.sum() * rows)

    def _combine(self, op: Operation, mapping: Mapping, executions: FloatArray) -> None:
        """Slices and bit-planes by shift-add, arrays of a PE, PEs of a tile, tiles: adders at each level."""
        gemm, weights = op.products(), self.hardware.weights
        slices = self.hardware.slices(self.workload.precision.weight_bits)
        planes, outputs = op.in_types[0].planes, gemm.outputs * executions
        diff = weights.signed == "diff"
        signed = {"diff": 1 if weights.sign_sum == "column" else 0, "differential_pair": slices}.get(weights.signed, 0)
        self.ledger.add("shift_add.add", outputs * mapping.rows * (slices * planes - 1))
        if signed:
            self.ledger.add("shift_add.add", outputs * mapping.rows * (signed * planes - 1))
        within_pe = mapping.rows - mapping.pes_per_column
        streams = 2 if signed else 1  # magnitude and sign sum run side by side until the subtraction
        self.ledger.add("pe_accumulator.add", outputs * max(0, within_pe) * streams)
        if weights.signed in ("diff", "differential_pair"):
            self.ledger.add("diff.subtract", outputs * mapping.pes_per_column)
        if diff and weights.sign_sum == "popcount":
            self.ledger.add("diff.popcount_bits", outputs * gemm.k * planes)
        if weights.signed == "offset_column":  # one reference column per array, subtracted from each sum
            reads = gemm.m * planes * mapping.rows * mapping.columns * executions
            self.ledger.add("adc.convert", reads)
            self.ledger.add("mux.switch", reads)
            self.ledger.add("diff.subtract", outputs * mapping.pes_per_column)
        leaving = gemm.m * mapping.partial_sums * executions
        self.ledger.add("tile_accumulator.add", outputs * mapping.pes_per_column - leaving)
        self.ledger.add("global_accumulator.add", leaving - outputs)

    def _digital(self, op: Operation, executions: FloatArray) -> None:
        """Products of two activations: nothing can be programmed, adders work through the pairs of ones."""
        activity = self.workload.activity[op.name]
        self.ledger.add("digital_unit.accumulate", activity.accumulations.mean(axis=1) * executions)
        gemm, lanes = op.products(), self.hardware.digital.lanes
        planes = op.in_types[0].planes * op.in_types[1].planes
        self.service = Service(executions * math.ceil(gemm.macs * planes / lanes))
        self.ledger.busy_cycles = float(self.service.row_cycles.sum())
        self.ledger.utilization = 1.0
        for shape, kind in zip(op.in_shapes, op.in_types, strict=True):
            self._global("read", math.prod(shape) * kind.planes * executions)

    # -- movement ------------------------------------------------------------------------------------

    def _move(self, op: Operation, placed: Placed, executions: FloatArray) -> None:
        """Spikes from the global buffer over the mesh to tiles, down the H-tree; sums the other way."""
        hardware, mapping, gemm = self.hardware, placed.mapping, op.products()
        planes, flit = op.in_types[0].planes, hardware.noc.flit_bits
        map_bits = op.in_elements * planes
        self._global("read", map_bits * executions)
        shares, tile_line = mapping.input_shares(), self._tile_line
        sent = [math.ceil(map_bits * share / flit) * flit for share in shares]  # each tile gets its own copy
        self.ledger.add(
            "noc.hop_bits", sum(bits * hops for bits, hops in zip(sent, placed.hops, strict=True)) * executions
        )
        written = sum(math.ceil(map_bits * share / tile_line) for share in shares)
        self.ledger.add("tile_buffer.write", written * executions)
        self.module_bits += float(sum(sent) * executions.sum())

        window = gemm.k * gemm.groups * planes  # every PE of every column block latches its own rows
        inputs = gemm.m * window * mapping.col_blocks
        rows_per_read = math.ceil(mapping.set_rows * planes / mapping.pes_per_column)
        reads = gemm.m * mapping.pes * ceil_div(rows_per_read, self._tile_line)
        self.ledger.add("tile_buffer.read", reads * executions)
        self.ledger.add("htree.move_bits", inputs * executions)
        self.ledger.add("pe_buffer.write_bits", inputs * executions)
        self.ledger.add("pe_buffer.read_bits", inputs * executions)

        bits = hardware.accumulator_bits
        self.ledger.add("htree.move_bits", gemm.outputs * mapping.pes_per_column * bits * executions)
        hop_bits = ported = 0
        for width, (first, last) in zip(mapping.column_widths, mapping.tiles_of_column, strict=True):
            packet = ceil_div(width * bits, flit) * flit  # one position's sums of one column block
            hop_bits += packet * sum(placed.hops[first : last + 1])
            ported += packet * (last - first + 1)
        self.module_bits += float(gemm.m * ported * executions.sum())
        self.ledger.add("noc.hop_bits", gemm.m * hop_bits * executions)

    @property
    def _tile_line(self) -> int:
        return self.memories.tile_buffer.line_bits

    def _global(self, direction: str, bits: FloatArray) -> None:
        line = self.memories.global_buffer.line_bits
        self.ledger.add(f"global_buffer.{direction}", np.ceil(bits / line))

    def image_from_dram(self) -> None:
        """The network's input comes from off chip, once at each timestep at which it changes."""
        graph, burst = self.workload.graph, self.memories.dram.line_bits
        bits = math.prod(graph.input_shape) * graph.input_type.planes
        times = np.ones(self.steps)
        if graph.input_type.static:
            times[1:] = 0.0
        self.ledger.add("dram.read_bits", ceil_div(bits, burst) * burst * times)
        self._global("write", bits * times)

    # -- neurons -------------------------------------------------------------------------------------

    def _neurons(self) -> None:
        membrane_bits, line = self.workload.precision.membrane_bits, self.memories.membrane.line_bits
        for op in self.stage.of_kind("neuron"):
            record, each = op.neuron, self._each(op.out_elements)
            assert record is not None
            if self.workload.is_ann:
                self.ledger.add("activation.relu", each)
                self.ledger.add("activation.requantize", each)
                continue
            self.ledger.add("lif.update", each)
            action = leak_action(record.model, record.leak)
            if action:
                self.ledger.add(f"lif.{action}", each)
            stored = ceil_div(op.out_elements, self.hardware.lif.membrane_sharing) * membrane_bits
            if self.steps > 1:  # nothing to fetch at the first timestep, nothing to keep after the last
                keep = np.ones(self.steps)
                keep[-1] = 0.0
                self.ledger.add("membrane.write", ceil_div(stored, line) * keep)
                self.ledger.add("membrane.read", ceil_div(stored, line) * keep[::-1])
            self.lif_cycles += self.steps * ceil_div(op.out_elements, self.hardware.lif_units)

    def _static_sums(self, op: Operation, executions: FloatArray) -> None:
        """Sums of a static input, computed once, wait beside the membranes."""
        needed_again = any(self._times(op).all() for op in self.stage.epilogue)
        if executions.all() or not needed_again:
            return
        lines = ceil_div(op.out_elements * self.hardware.accumulator_bits, self.memories.membrane.line_bits)
        self.ledger.add("membrane.write", lines * executions)
        self.ledger.add("membrane.read", lines * (1.0 - executions))

    def _epilogue(self) -> None:
        own = {member.name for member in self.stage.members if member.inputs}
        for op in self.stage.of_kind("avgpool2d", "maxpool2d", "add"):
            times = self._times(op)
            bits = sum(math.prod(shape) for shape in op.in_shapes) * self._width(op.out_type)
            if op.kind == "maxpool2d":
                self.ledger.add("pool.max_bits", bits * times)
            else:
                self.ledger.add("pool.add_bits" if op.kind == "avgpool2d" else "residual.add_bits", bits * times)
            for name, shape, kind in zip(op.inputs, op.in_shapes, op.in_types, strict=True):
                if source(self.workload.graph, name) not in own:  # a skip connection waits in the global buffer
                    self._global("read", math.prod(shape) * self._width(kind) * times)

    def _width(self, kind: ActivationType) -> int:
        return self.hardware.accumulator_bits if kind.kind == "current" else kind.planes

    def _output(self) -> None:
        for op in self.outputs:
            self._global("write", op.out_elements * self._width(op.out_type) * self._times(op))


def chip(placed: dict[str, Placed], mesh: Mesh, hardware: SpikeflowFile) -> dict[str, float]:
    """Instances of everything that grows with the mapped network; slots left empty in a tile exist too."""
    tiles = mesh.tiles
    pes = tiles * hardware.tile.pes
    crossbars = pes * hardware.pe.crossbars
    adcs = crossbars * hardware.adcs_per_crossbar
    return {
        "crossbar": crossbars,
        "driver": crossbars * hardware.crossbar.rows,
        "adc": adcs,
        "mux": adcs,
        "shift_add": adcs,
        "diff": pes * hardware.adcs_per_crossbar,
        "pe_accumulator": pes * hardware.adcs_per_crossbar,
        "pe_buffer": pes,
        "tile_accumulator": tiles * hardware.adcs_per_crossbar,
        "tile_buffer": tiles,
        "htree": tiles,
        "noc": mesh.side**2,
        "global_accumulator": hardware.lif_units,
    }
