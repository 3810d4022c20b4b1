"""One layer on the array, in closed form: cycles, compute actions, buffer and DRAM traffic, membranes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.hardware.systolic import SystolicFile
from accelsim.results import LayerLedger
from accelsim.systolic.core import Core, core_of
from accelsim.systolic.traffic import fetches, folded_window_lines, lines, window_lines
from accelsim.workload import ActivationType, Operation, Stage, Workload
from accelsim.workload.graph import ceil_div
from accelsim.workload.neurons import leak_action
from accelsim.workload.outputs import is_constant, source

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Residency:
    """What fits on the chip beyond one layer; decided for the whole network."""

    weights_stay: bool
    """All weights of the network fit: step-by-step does not fetch them again."""
    membranes_stay: bool
    """All membranes (and reused sums) that must be kept at the same time fit in the output buffer."""


class LayerModel:
    """Fills the ledger of one stage."""

    def __init__(
        self,
        workload: Workload,
        hardware: SystolicFile,
        stage: Stage,
        outputs: tuple[Operation, ...],
        residency: Residency,
    ) -> None:
        self.workload, self.hardware, self.stage, self.residency = workload, hardware, stage, residency
        self.outputs = outputs
        self.steps = workload.timesteps
        self.memories = hardware.memories
        self.ledger = LayerLedger(stage.name, stage.kind, self.steps)
        self.compute = np.zeros(self.steps)
        self.dram_bits = 0.0
        self.useful_cycles = 0.0

    def fill(self) -> LayerLedger:
        """All counts of the stage."""
        core = core_of(self.workload, self.hardware, self.stage.core) if self.stage.core else None
        if core:
            self._cycles(core)
            self._arithmetic(core)
            self._operands(core)
        lif_cycles = self._neurons()
        buffered = self._epilogue()
        self._membranes(core)
        self._write_back(core, buffered)
        self._close(lif_cycles)
        return self.ledger

    # -- the array -----------------------------------------------------------------------------------

    def _cycles(self, core: Core) -> None:
        """Each pass pays skew and loading once; under tick batching a pass holds several timesteps."""
        per_step = core.folds.number * core.folds.stream * core.serial
        overhead = core.folds.number * core.folds.overhead
        groups = core.op.products().groups
        if core.ticks is None:
            self.compute += groups * (per_step + overhead) * core.executions
            return
        start = 0
        for ticks in core.ticks.passes:
            self.compute[start : start + ticks] += groups * per_step
            self.compute[start] += groups * overhead
            start += ticks

    def _arithmetic(self, core: Core) -> None:
        ledger, gemm = self.ledger, core.op.products()
        kind = core.op.in_types[0]
        slots = gemm.macs * core.serial * core.executions  # PE-cycles with an operand
        accumulations = core.activity.accumulations.mean(axis=1) * core.executions
        ledger.dense_macs = gemm.macs
        if kind.is_spiking:
            ledger.accumulations = float(accumulations.sum())
        else:
            ledger.macs = float(gemm.macs * core.executions.sum())
        gated = self.hardware.sparsity.spikes == "gate"
        worked = slots
        if gated:
            activity = core.activity
            busy = activity.effective_macs * core.serial if self.hardware.pe.multiplier_bits else activity.accumulations
            # Two multi-bit activations have more pairs of set bits than cycles, each of which takes a whole word.
            worked = np.minimum(busy, gemm.macs * core.serial).mean(axis=1) * core.executions
        if self.hardware.pe.multiplier_bits:
            ledger.add("pe.multiply", worked)
        else:
            ledger.add("pe.operate", slots)
            ledger.add("pe.accumulate", worked)
        self._registers(core, slots, worked)
        self.useful_cycles = float(slots.sum()) / self.hardware.pes

    def _registers(self, core: Core, slots: FloatArray, worked: FloatArray) -> None:
        """Operands handed from PE to PE, and scratchpad accesses.

        Moving data costs the same for zeros and ones; only what an accumulation itself reads and
        writes is gated.
        """
        ledger, pe = self.ledger, self.hardware.pe
        hop = core.operand_bits / core.serial
        held = slots / core.serial  # what meets an operand waits for all of its bit-planes
        if self.hardware.dataflow == "ws":
            ledger.add("pe.forward_bits", slots * hop)
            ledger.add("pe.forward_bits", self._shifted_in(core) * core.weight_bits * core.executions)
        elif self.hardware.dataflow == "is":
            ledger.add("pe.forward_bits", held * core.weight_bits)
            ledger.add("pe.forward_bits", self._shifted_in(core) * core.operand_bits * core.executions)
        elif core.ticks is None:
            ledger.add("pe.forward_bits", slots * hop + held * core.weight_bits)
        else:
            loads = core.op.products().macs * core.passes  # each PE takes each weight once per pass
            chunks = ceil_div(core.op.products().k, core.ticks.chunk) / core.op.products().k
            ledger.add("pe.forward_bits", slots * hop)
            ledger.add("pe.forward_bits", loads * core.weight_bits)
            ledger.add("spad_weight.write_bits", loads * core.weight_bits)
            ledger.add("spad_weight.read_bits", worked * core.weight_bits)
            ledger.add("spad_spike.write_bits", slots * hop)
            ledger.add("spad_spike.read_bits", slots * hop)
            # The running sum stays in the accumulator within a chunk (all bit-planes) and is parked between chunks.
            ledger.add("spad_psum.write_bits", held * chunks * pe.psum_bits)
            ledger.add("spad_psum.read_bits", held * chunks * pe.psum_bits)
        if self.hardware.dataflow in ("ws", "is"):
            # The sum moves on from PE to PE; where it changes, its register is part of the accumulation.
            ledger.add("pe.forward_bits", (slots - worked) / core.serial * pe.accumulator_bits)

    def _shifted_in(self, core: Core) -> int:
        """ws, is: register-to-register moves that bring the stationary operand of all folds into place.

        It enters at the top: what belongs to row r passes r + 1 registers.
        """
        gemm, rows = core.op.products(), self.hardware.array.rows
        full, rest = divmod(gemm.k, rows)
        moves = full * rows * (rows + 1) // 2 + rest * (rest + 1) // 2
        return gemm.groups * moves * (gemm.n if self.hardware.dataflow == "ws" else gemm.m)

    # -- operands ------------------------------------------------------------------------------------

    def _operands(self, core: Core) -> None:
        self._buffer_reads(core)
        self._partial_sums(core)
        self._fetch(core)

    def _buffer_reads(self, core: Core) -> None:
        ledger, gemm, f = self.ledger, core.op.products(), core.folds
        weight_line = self.memories.glb_weight.line_bits
        weight_lines = gemm.groups * gemm.n * lines(gemm.k * core.weight_bits, weight_line)
        weight_lines += lines(self._bias_bits(core), weight_line)  # biases travel with the weights
        line_bits = self.memories.glb_ifmap.line_bits
        dataflow, rows = self.hardware.dataflow, self.hardware.array.rows
        weight_sweeps = {"ws": 1, "is": f.col_folds}.get(dataflow, f.row_folds)
        input_sweeps = 1 if dataflow == "is" else f.col_folds
        buffer = "glb_ifmap" if core.is_dynamic else "glb_weight"
        if core.ticks is None:
            if dataflow in ("ws", "is"):
                window = folded_window_lines(core.op, core.operand_bits, line_bits, rows)
            else:
                window = window_lines(core.op, core.operand_bits, line_bits)
            ledger.add(f"{buffer}.read", weight_sweeps * weight_lines * core.executions)
            ledger.add("glb_ifmap.read", input_sweeps * gemm.groups * gemm.m * window * core.executions)
            return
        ledger.add(f"{buffer}.read", weight_sweeps * weight_lines * core.passes)
        for ticks in core.ticks.passes:  # the spikes of all timesteps of a pass lie side by side
            packed = window_lines(core.op, core.operand_bits * ticks, line_bits)
            ledger.add("glb_ifmap.read", float(input_sweeps * gemm.groups * gemm.m * packed))

    def _partial_sums(self, core: Core) -> None:
        """ws and is: sums of all but the last fold along k wait in the output buffer."""
        if self.hardware.dataflow not in ("ws", "is") or core.folds.row_folds == 1:
            return
        gemm, buffer = core.op.products(), self.memories.glb_ofmap
        across, along = (gemm.n, gemm.m) if self.hardware.dataflow == "ws" else (gemm.m, gemm.n)
        bits = self.hardware.pe.accumulator_bits
        full, rest = divmod(across, self.hardware.array.cols)
        per_vector = full * lines(self.hardware.array.cols * bits, buffer.line_bits)
        per_vector += lines(rest * bits, buffer.line_bits) if rest else 0
        waiting = gemm.groups * along * per_vector * (core.folds.row_folds - 1) * core.executions
        self.ledger.add("glb_ofmap.write", waiting)
        self.ledger.add("glb_ofmap.read", waiting)
        # Folds along k run inside the column folds: one column fold's sums are alive at a time.
        alive = along * min(across, self.hardware.array.cols) * bits
        if alive > buffer.working_bits:
            self.ledger.add("glb_ofmap.read", waiting)
            self.ledger.add("glb_ofmap.write", waiting)
            self._dram("write", waiting * buffer.line_bits)
            self._dram("read", waiting * buffer.line_bits)

    def _fetch(self, core: Core) -> None:
        """DRAM to buffers. What fits stays; the loop order is the one with the least traffic."""
        gemm, memories, hardware = core.op.products(), self.memories, self.hardware
        inputs = math.prod(core.op.in_shapes[0])
        weights = gemm.groups * gemm.k * gemm.n * core.weight_bits
        if core.ticks is None:
            plan = fetches(core.op, core.folds, hardware, core.weight_bits, core.operand_bits)
            stays = weights <= memories.glb_weight.working_bits and hardware.schedule == "layer-by-layer"
            stays = stays or self.residency.weights_stay
            weight_loads = 1.0 if stays else float(core.executions.sum()) * plan.weights
            if core.is_dynamic:
                weight_loads = float(self.steps) * plan.weights
            input_loads = plan.inputs * core.executions
            whole_input = inputs * core.operand_bits
            lasts = core.op.in_types[0].static and hardware.schedule == "layer-by-layer"
            if lasts and whole_input <= memories.glb_ifmap.working_bits:
                input_loads = np.zeros(self.steps)
                input_loads[0] = 1.0
            self._load("glb_ifmap", input_loads * self._bursts(whole_input))
        else:
            weight_loads = 0.0
            for ticks in core.ticks.passes:
                plan = fetches(core.op, core.folds, hardware, core.weight_bits, core.operand_bits * ticks)
                weight_loads += plan.weights
                self._load("glb_ifmap", float(plan.inputs * self._bursts(inputs * core.operand_bits * ticks)))
            if weights <= memories.glb_weight.working_bits:
                weight_loads = 1.0
        target = "glb_ifmap" if core.is_dynamic else "glb_weight"
        self._load(target, weight_loads * self._bursts(weights + self._bias_bits(core)))

    def _bias_bits(self, core: Core) -> int:
        has_bias = getattr(core.op.spec, "bias", False)
        gemm = core.op.products()
        return gemm.groups * gemm.n * self.hardware.pe.accumulator_bits if has_bias else 0

    def _bursts(self, bits: float) -> float:
        """Bits really transferred: whole DRAM bursts."""
        line = self.memories.dram.line_bits
        return lines(bits, line) * line

    def _load(self, buffer: str, bits: float | FloatArray) -> None:
        self._dram("read", bits)
        self.ledger.add(f"{buffer}.write", bits / getattr(self.memories, buffer).line_bits)

    def _dram(self, direction: str, bits: float | FloatArray) -> None:
        self.ledger.add(f"dram.{direction}_bits", bits)
        self.dram_bits += float(np.sum(bits))

    # -- neurons and what follows ----------------------------------------------------------------------

    def _neurons(self) -> float:
        """LIF updates; returns the cycles its units need."""
        updates = 0
        for op in self.stage.of_kind("neuron"):
            record = op.neuron
            assert record is not None
            if self.workload.is_ann:
                self.ledger.add("activation.relu", float(op.out_elements * self.steps))
                self.ledger.add("activation.requantize", float(op.out_elements * self.steps))
                continue
            each = np.full(self.steps, float(op.out_elements))
            self.ledger.add("lif.update", each)
            action = leak_action(record.model, record.leak)
            if action:
                self.ledger.add(f"lif.{action}", each)
            updates += op.out_elements
        return self.steps * ceil_div(updates, self.hardware.lif_units)

    def _epilogue(self) -> set[str]:
        """Pooling and residual adds: the maps pass through the output buffer once more.

        Returns the maps of this stage that were written to that buffer.
        """
        line = self.memories.glb_ofmap.line_bits
        own = {member.name for member in self.stage.members if member.inputs}
        buffered: set[str] = set()
        for op in self.stage.of_kind("avgpool2d", "maxpool2d", "add"):
            times = self._times(op)
            bits = sum(math.prod(shape) for shape in op.in_shapes) * self._width(op.out_type)
            if op.kind == "maxpool2d":
                self.ledger.add("pool.max_bits", bits * times)
            else:
                self.ledger.add("pool.add_bits" if op.kind == "avgpool2d" else "residual.add_bits", bits * times)
            for name, shape, kind in zip(op.inputs, op.in_shapes, op.in_types, strict=True):
                origin, moved = source(self.workload.graph, name), math.prod(shape) * self._width(kind)
                if origin not in own:  # a skip connection, or the network's input, comes from DRAM
                    self._load("glb_ofmap", self._bursts(moved) * times)
                elif origin not in buffered:  # written by the step before
                    self.ledger.add("glb_ofmap.write", lines(moved, line) * times)
                    buffered.add(origin)
                self.ledger.add("glb_ofmap.read", lines(moved, line) * times)
        return buffered

    def _times(self, op: Operation) -> FloatArray:
        """Per timestep: 1, or 0 where a value that stays the same was computed before."""
        times = np.ones(self.steps)
        if self._once(op):
            times[1:] = 0.0
        return times

    def _once(self, op: Operation) -> bool:
        return self.hardware.static_input == "reuse" and is_constant(op)

    def _width(self, kind: ActivationType) -> int:
        """Bits of one element of a feature map as it is stored."""
        return self.hardware.pe.accumulator_bits if kind.kind == "current" else kind.planes

    def _membranes(self, core: Core | None) -> None:
        """Membranes (and reused static sums) stored between timesteps that are not worked in one pass."""
        if self.workload.is_ann or self.steps == 1:
            return
        neurons = sum(op.out_elements for op in self.stage.of_kind("neuron"))
        stored = ceil_div(neurons, self.hardware.lif.membrane_sharing) * self.workload.precision.membrane_bits
        changes = any(not self._once(op) for op in self.stage.epilogue)
        reused = core is not None and core.executions.sum() < self.steps and changes
        if core is not None and core.ticks is not None:
            swaps = len(core.ticks.passes) - 1  # within a pass they never leave the PE
            self._store(stored, writes=float(swaps), reads=float(swaps))
            return
        keep = np.ones(self.steps)
        keep[-1] = 0.0
        self._store(stored, writes=keep, reads=keep[::-1].copy())
        if reused and core is not None:
            first = np.zeros(self.steps)
            first[0] = 1.0
            sums = core.op.products().outputs * self.hardware.pe.accumulator_bits
            self._store(sums, writes=first, reads=1.0 - first)

    def _store(self, bits: int, writes: float | FloatArray, reads: float | FloatArray) -> None:
        if not bits:
            return
        number = lines(bits, self.memories.glb_ofmap.line_bits)
        self.ledger.add("glb_ofmap.write", writes * number)
        self.ledger.add("glb_ofmap.read", reads * number)
        if not self.residency.membranes_stay:
            self._dram("write", writes * self._bursts(bits))
            self._dram("read", reads * self._bursts(bits))
            self.ledger.add("glb_ofmap.read", writes * number)
            self.ledger.add("glb_ofmap.write", reads * number)

    def _write_back(self, core: Core | None, buffered: set[str]) -> None:
        """What leaves the stage goes through the output buffer to DRAM, for whoever consumes it."""
        line = self.memories.glb_ofmap.line_bits
        packs: tuple[int, ...] = (1,) * self.steps
        if core is not None and core.ticks is not None:  # the spikes of all timesteps of a pass side by side
            packs = core.ticks.passes if len(core.ticks.passes) > 1 else (self.steps,)
        for op in self.outputs:
            bits = op.out_elements * self._width(op.out_type)
            for ticks in (1,) if self._once(op) else packs:
                if op.name not in buffered:
                    self.ledger.add("glb_ofmap.write", float(lines(bits * ticks, line)))
                self.ledger.add("glb_ofmap.read", float(lines(bits * ticks, line)))
                self._dram("write", float(self._bursts(bits * ticks)))

    # -- time ----------------------------------------------------------------------------------------

    def _close(self, lif_cycles: float) -> None:
        """LIF units and DRAM work beside the array; the slowest of the three sets the layer's time."""
        array = float(self.compute.sum())
        bits_per_cycle = self.memories.dram.bandwidth_gbps * 1e3 / self.hardware.clock_mhz
        work = max(array, lif_cycles)
        total = max(work, math.ceil(self.dram_bits / bits_per_cycle))
        extra = (total - array) / self.steps
        self.ledger.cycles = self.compute + extra
        self.ledger.busy_cycles = work
        self.ledger.stall_cycles = total - work
        self.ledger.utilization = self.useful_cycles / total if total else 0.0
