"""One layer on the crossbars: counts of reads, conversions, DIFF, accumulation, buffers, mesh, neurons."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from accelsim import steps
from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.ledger import LayerLedger
from accelsim.spikeflow import first_layer
from accelsim.spikeflow.first_layer import is_digital
from accelsim.spikeflow.mapping import Mapping
from accelsim.spikeflow.packets import LayerTraffic, executed
from accelsim.spikeflow.pipeline import Service
from accelsim.spikeflow.placement import Chip, Placed
from accelsim.spikeflow.silence import Spoken
from accelsim.spikeflow.timing import WindowTiming, digital_cycles, neuron_cycles
from accelsim.workload import ActivationType, Operation, Stage, Workload
from accelsim.workload.affine import WORD_BITS, parameter_bits
from accelsim.workload.graph import ceil_div
from accelsim.workload.neurons import neuron_actions, stored_membranes
from accelsim.workload.outputs import source

FloatArray = npt.NDArray[np.float64]


class LayerModel:
    """Fills the ledger of one stage."""

    def __init__(
        self,
        workload: Workload,
        hardware: SpikeflowFile,
        stage: Stage,
        outputs: tuple[Operation, ...],
        chip: Chip,
        timing: WindowTiming | None = None,
        spoken: Spoken | None = None,
        array_pj: FloatArray | None = None,
    ) -> None:
        """`timing` and `spoken` are of a placed layer; `array_pj` [T] is the energy of its arrays, where computed."""
        self.workload, self.hardware, self.stage, self.chip = workload, hardware, stage, chip
        self.outputs, self.timing, self.spoken, self._array_pj = outputs, timing, spoken, array_pj
        self.placed = chip.placed.get(stage.name)
        self.steps = workload.timesteps
        self.memories = hardware.memories
        self.ledger = LayerLedger(stage.name, stage.kind, self.steps)
        self.service: Service | None = None
        self.traffic: LayerTraffic | None = None

    def fill(self) -> LayerLedger:
        """All counts of the stage (its time follows from the pipeline)."""
        op = self.stage.core
        if op is not None:
            runs = self.times(op)
            self._arithmetic(op, runs)
            if is_digital(op, self.hardware):
                activity, precision = self.workload.activity[op.name], self.workload.precision
                service = first_layer.fill(self.ledger, op, runs, self.hardware, precision, activity)
            elif self.placed is None:
                service = self._digital(op, runs)
            else:
                service = self._placed(op, self.placed, runs)
            positions = service.interval.shape[1]
            kept = op.out_elements * self.hardware.accumulator_bits if self._keeps_sums(op, runs) else 0
            neurons = neuron_cycles(self.workload, self.stage, positions, self.hardware, kept)
            self.service = replace(service, neurons=neurons)
            width = op.out_shape[2] if op.kind == "conv2d" else positions
            self.ledger.busy_cycles = self.service.busy(width)
            self._static_sums(op, runs)
        self._neurons()
        self._epilogue()
        self._output()
        return self.ledger

    @cached_property
    def _events(self) -> FloatArray:
        """[T] accumulations of the weighted operation, mean over images."""
        assert self.stage.core is not None
        return np.asarray(self.workload.activity[self.stage.core.name].mean_accumulations)

    def times(self, op: Operation) -> FloatArray:
        """Per timestep: 1, or 0 where a value that stays the same was computed before."""
        return executed(op, self.hardware, self.steps)

    def _each(self, action: str, number: float, runs: FloatArray) -> None:
        """Count `number` at each timestep of `runs`."""
        everywhere = runs is steps.ones(self.steps)  # as a rule; a number is counted faster than an array
        self.ledger.add(action, float(number * self.steps) if everywhere else number * runs)

    # -- compute -------------------------------------------------------------------------------------

    def _arithmetic(self, op: Operation, runs: FloatArray) -> None:
        gemm = op.products()
        self.ledger.dense_macs = gemm.macs
        if op.in_types[0].is_spiking:
            self.ledger.accumulations = float(self._events @ runs)
        elif op.in_types[0].spikes_later:
            self.ledger.macs = float(gemm.macs)
            self.ledger.accumulations = float(self._events[1:].sum())
        else:
            self.ledger.macs = float(gemm.macs * runs.sum())

    def _placed(self, op: Operation, placed: Placed, runs: FloatArray) -> Service:
        assert self.timing is not None
        assert self.spoken is not None
        self.traffic = placed.traffic
        self._crossbars(op, placed.mapping, self.spoken, runs)
        self._combine(op, placed.mapping, runs)
        kinds = len(self.traffic.planes)
        for kind in range(kinds):
            self._move(op, placed, runs if kinds == 1 else runs * (self.traffic.kind == kind), kind)
        planes, buffer = self.spoken.planes, self.traffic.buffer
        return Service(
            runs=runs,
            interval=self.timing.interval(planes),
            depth=self.timing.depth(planes),
            neurons=0.0,
            copies=placed.copies,
            capacity=buffer.capacity,
            streams=buffer.streams,
        )

    def _crossbars(self, op: Operation, mapping: Mapping, spoken: Spoken, runs: FloatArray) -> None:
        """Reads and conversions: every column of every array that is read, one bit-plane of the input at a time."""
        hardware, gemm, arrays = self.hardware, op.products(), mapping.arrays_per_weight
        events = self._events * runs
        # A spike raises its wordline in every array of its row block: all column blocks and slices.
        raised = events / gemm.n * mapping.col_blocks * arrays
        offset = hardware.weights.signed == "offset_column"
        if self._array_pj is None:
            self.ledger.add("crossbar.cell_read", events * arrays + raised * offset)
            if hardware.weights.baseline == "column":  # its cells conduct with every active row
                self.ledger.add("crossbar.reference_read", raised)
        else:
            self.ledger.add("crossbar.array_pj", self._array_pj * runs)
        self.ledger.add("driver.row_drive", raised)
        columns = mapping.layout.set_widths + mapping.col_blocks * mapping.reference_columns
        reads = spoken.groups * runs[:, None]  # of the row groups of each set, by all their arrays
        conversions = reads @ columns * arrays
        self.ledger.add("adc.convert", conversions)
        self.ledger.add("mux.switch", conversions)
        if hardware.adc.sample_hold:
            self.ledger.add("sample_hold.sample", conversions)
        self.ledger.details["array_reads"] = float(reads.sum() * mapping.col_blocks * arrays)
        self.ledger.utilization = mapping.cell_utilization
        assert self.placed is not None
        self._each("control.step", gemm.m * mapping.tiles, runs)

    def _combine(self, op: Operation, mapping: Mapping, runs: FloatArray) -> None:
        """Slices and bit-planes by shift-add, arrays of a PE, PEs of a tile, tiles: adders at each level."""
        gemm, weights = op.products(), self.hardware.weights
        slices = self.hardware.slices(self.workload.precision.weight_bits)
        planes, outputs = op.in_types[0].planes_in_time(self.steps), gemm.outputs
        diff = weights.signed == "diff"
        signed = {"diff": 1 if weights.sign_sum == "column" else 0, "differential_pair": slices}.get(weights.signed, 0)
        self.ledger.add("shift_add.add", outputs * mapping.rows * (slices * planes - 1) * runs)
        if signed:
            self.ledger.add("shift_add.add", outputs * mapping.rows * (signed * planes - 1) * runs)
        within_pe = mapping.rows - mapping.pes_per_column
        streams = 2 if signed else 1  # magnitude and sign sum run side by side until the subtraction
        self._each("pe_accumulator.add", outputs * max(0, within_pe) * streams, runs)
        self._each("diff.subtract", outputs * mapping.pes_per_column, runs)  # every scheme subtracts something
        if diff and weights.sign_sum == "popcount":
            self.ledger.add("diff.popcount_bits", outputs * gemm.k * planes * runs)
        leaving = gemm.m * mapping.partial_sums
        self._each("tile_accumulator.add", outputs * mapping.pes_per_column - leaving, runs)
        self._each("global_accumulator.add", leaving - outputs, runs)

    def _digital(self, op: Operation, runs: FloatArray) -> Service:
        """Products of two activations: nothing can be programmed, adders work through the pairs of ones."""
        self.ledger.add("digital_unit.accumulate", self._events * runs)
        self.ledger.utilization = 1.0
        for shape, kind in zip(op.in_shapes, op.in_types, strict=True):
            self._global("read", math.prod(shape) * kind.planes, runs)
        cycles = np.full((self.steps, 1), digital_cycles(op, self.hardware))
        return Service(runs, cycles, cycles, 0.0)

    # -- movement ------------------------------------------------------------------------------------

    def _move(self, op: Operation, placed: Placed, runs: FloatArray, kind: int) -> None:
        """Spikes from the global buffer over the mesh to tiles, down the H-tree; sums the other way.

        `runs` are the timesteps at which input rows are of this kind (`LayerTraffic.planes`).
        """
        if not np.logical_or.reduce(runs):
            return
        hardware, mapping, traffic, gemm = self.hardware, placed.mapping, placed.traffic, op.products()
        tile_line, line = self.memories.tile_buffer.line_bits, self.memories.global_buffer.line_bits
        each, planes, row_flits = self._each, traffic.planes[kind], traffic.row_flits[kind]
        each("global_buffer.read", ceil_div(traffic.bits_of_row[kind], line) * traffic.rows_sent, runs)
        hops = np.add.reduce(self.chip.hops[placed.tiles])  # over the copies
        sums = gemm.m * float(hops @ traffic.sum_flits) / placed.copies  # copies share the windows
        spikes = traffic.rows_sent * int(hops @ row_flits)
        each("noc.link_bits", (spikes + sums) * hardware.noc.flit_bits, runs)
        # One router more than links.
        sent, returned = int(np.add.reduce(row_flits)), int(np.add.reduce(traffic.sum_flits))
        flits = traffic.rows_sent * sent * placed.copies + gemm.m * returned
        each("noc.router_bits", (spikes + sums + flits) * hardware.noc.flit_bits, runs)
        written = int(np.add.reduce(-(-traffic.row_bits[kind] // tile_line))) * traffic.rows_sent * placed.copies
        each("tile_buffer.write", written, runs)

        window = gemm.k * gemm.groups * planes  # every PE of every column block latches its own rows
        inputs = gemm.m * window * mapping.col_blocks
        reads = gemm.m * int(np.add.reduce(-(-mapping.layout.rows_of_tile * planes // tile_line)))
        each("tile_buffer.read", reads, runs)
        each("htree.move_bits", inputs + gemm.outputs * mapping.pes_per_column * hardware.accumulator_bits, runs)
        each("pe_buffer.write_bits", inputs, runs)
        each("pe_buffer.read_bits", inputs, runs)
        each("switch_matrix.select_bits", inputs * mapping.arrays_per_weight, runs)
        if hardware.zero_skipping != "none":
            each("skip_detector.check_bits", inputs, runs)

    def _global(self, direction: str, bits: float, runs: FloatArray) -> None:
        self._each(f"global_buffer.{direction}", math.ceil(bits / self.memories.global_buffer.line_bits), runs)

    def image_from_dram(self) -> None:
        """The network's input comes from off chip, once at each timestep at which it changes."""
        graph, burst = self.workload.graph, self.memories.dram.line_bits
        bits = math.prod(graph.input_shape) * graph.input_type.planes_in_time(self.steps)
        times = steps.first_and_later(self.steps, 1.0, 0.0 if graph.input_type.static else 1.0)
        self.ledger.add("dram.read_bits", np.ceil(bits / burst) * burst * times)
        self.ledger.add("global_buffer.write", np.ceil(bits / self.memories.global_buffer.line_bits) * times)

    # -- neurons -------------------------------------------------------------------------------------

    def _time_affine(self, op: Operation) -> None:
        """Gains and offsets of each timestep's own, pipelined before the LIF units, which wait for none of it.

        They lie in the membrane memory; one timestep's are read once and kept in registers, a pair for each channel.
        """
        bits, always = parameter_bits(op), steps.ones(self.steps)
        self._each("time_affine.apply", op.out_elements, always)
        self._each("time_affine_registers.read_bits", op.out_elements * 2 * WORD_BITS, always)
        self._each("time_affine_registers.write_bits", bits, always)
        self._each("membrane.read", ceil_div(bits, self.memories.membrane.line_bits), always)

    def _neurons(self) -> None:
        membrane_bits, line = self.workload.precision.membrane_bits, self.memories.membrane.line_bits
        for op in () if self.workload.is_ann else self.stage.of_kind("time_affine"):
            self._time_affine(op)
        for op in self.stage.of_kind("neuron"):
            assert op.neuron is not None
            for action, times in neuron_actions(op.neuron, self.workload.is_ann):
                self.ledger.add(action, float(op.out_elements * self.steps * times))
            if self.workload.is_ann:
                continue
            stored = stored_membranes(op, self.hardware.lif.membrane_sharing) * membrane_bits
            if self.steps > 1:  # nothing to fetch at the first timestep, nothing to keep after the last
                fetch = steps.first_and_later(self.steps, 0.0, 1.0)
                self.ledger.add("membrane.write", ceil_div(stored, line) * fetch[::-1])
                self.ledger.add("membrane.read", ceil_div(stored, line) * fetch)

    def _keeps_sums(self, op: Operation, runs: FloatArray) -> bool:
        """Whether sums computed at one timestep are needed at the next ones, too."""
        return not runs.all() and any(self.times(op).all() for op in self.stage.epilogue)

    def _static_sums(self, op: Operation, runs: FloatArray) -> None:
        """Sums of a static input, computed once, wait beside the membranes."""
        if not self._keeps_sums(op, runs):
            return
        lines = ceil_div(op.out_elements * self.hardware.accumulator_bits, self.memories.membrane.line_bits)
        self.ledger.add("membrane.write", lines * runs)
        self.ledger.add("membrane.read", lines * (1.0 - runs))

    def _epilogue(self) -> None:
        own = {member.name for member in self.stage.members if member.inputs}
        for op in self.stage.of_kind("avgpool2d", "maxpool2d", "add"):
            times = self.times(op)
            bits = sum(math.prod(shape) for shape in op.in_shapes) * self._width(op.out_type)
            if op.kind == "maxpool2d":
                self._each("pool.max_bits", bits, times)
            else:
                self._each("pool.add_bits" if op.kind == "avgpool2d" else "residual.add_bits", bits, times)
            for name, shape, kind in zip(op.inputs, op.in_shapes, op.in_types, strict=True):
                if source(self.workload.graph, name) not in own:  # a skip connection waits in the global buffer
                    self._global("read", math.prod(shape) * self._width(kind), times)

    def _width(self, kind: ActivationType) -> int:
        return self.hardware.accumulator_bits if kind.kind == "current" else kind.planes

    def _output(self) -> None:
        for op in self.outputs:
            self._global("write", op.out_elements * self._width(op.out_type), self.times(op))
