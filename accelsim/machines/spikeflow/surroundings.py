"""What a layer does outside of its crossbars: digital units, LIF units, membranes, pooling, residual adds, its output.

None of it depends on how weights lie in tiles, so that one `Surroundings` serves all designs with the same `Setting`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from accelsim.core import timesteps as steps
from accelsim.core.timesteps import FloatArray
from accelsim.ledger.counts import LayerLedger
from accelsim.machines.spikeflow import first_layer
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.spikeflow.first_layer import needs_products
from accelsim.machines.spikeflow.packets import executed
from accelsim.machines.spikeflow.pipeline import Service
from accelsim.workload import ActivationType, Operation, Stage, Workload
from accelsim.workload.affine import WORD_BITS, parameter_bits
from accelsim.workload.graph import ceil_div
from accelsim.workload.neurons import neuron_actions, stored_membranes, unit_turns
from accelsim.workload.outputs import source


class Setting(NamedTuple):
    """All of a machine that a layer's surroundings depend on."""

    sum_bits: int
    global_line_bits: int
    membrane_line_bits: int
    membrane_sharing: int
    lif_units: int
    reuses: bool
    """Sums of a static input are kept."""
    lanes: int
    """Accumulations per cycle of the digital unit."""
    activations_per_cycle: int
    multipliers: int
    """Of layers with analog inputs; 0 where these work on crossbars."""
    weight_line_bits: int
    """Of the multipliers' weight memory."""

    @classmethod
    def of(cls, hardware: SpikeflowFile) -> Setting:
        """Read from a machine."""
        memories, digital = hardware.memories, hardware.digital
        multiplies = hardware.first_layer == "digital"
        return cls(
            hardware.accumulator_bits,
            memories.global_buffer.line_bits,
            memories.membrane.line_bits,
            hardware.lif.membrane_sharing,
            hardware.lif_units,
            hardware.static_input == "reuse",
            digital.lanes,
            digital.activations_per_cycle,
            digital.macs if multiplies else 0,
            memories.first_layer.line_bits if multiplies else 0,
        )


class Surroundings:
    """The counts of one stage outside of its crossbars."""

    def __init__(self, workload: Workload, stage: Stage, outputs: tuple[Operation, ...], setting: Setting) -> None:
        self.workload, self.stage, self.outputs, self.setting = workload, stage, outputs, setting
        self.steps = workload.timesteps
        self.ledger = LayerLedger(stage.name, stage.kind, self.steps)
        self.runs: FloatArray = steps.ones(self.steps)
        """[T] 1 where the weighted operation computes."""
        self.neurons = 0.0
        """Cycles of one window in the neuronal module."""
        self.service: Service | None = None
        """Of a weighted operation that is not on crossbars."""
        if stage.core is not None:
            self._core(stage.core)
        self._neurons()
        self._epilogue()
        for op in outputs:
            self._global("write", op.out_elements * self._width(op.out_type), self._times(op))
        self.ledger.freeze()

    def _times(self, op: Operation) -> FloatArray:
        """Per timestep: 1, or 0 where a value that stays the same was computed before."""
        return executed(op, self.setting.reuses, self.steps)

    def _global(self, direction: str, bits: float, runs: FloatArray) -> None:
        self.ledger.each(f"global_buffer.{direction}", math.ceil(bits / self.setting.global_line_bits), runs)

    # -- the weighted operation ------------------------------------------------------------------------

    def _core(self, op: Operation) -> None:
        self.runs = self._times(op)
        self._arithmetic(op)
        if op.kind == "matmul":
            self.service = self._products_of_activations(op)
        elif self.setting.multipliers and needs_products(op):
            self.service = first_layer.fill(
                self.ledger,
                op,
                self.runs,
                self.workload.activity[op.name],
                weight_bits=self.workload.precision.weight_bits,
                multipliers=self.setting.multipliers,
                weight_line_bits=self.setting.weight_line_bits,
                global_line_bits=self.setting.global_line_bits,
            )
        windows = self.service.windows if self.service else op.products().m
        kept = op.out_elements * self.setting.sum_bits if self._keeps_sums() else 0
        self.neurons = self._neuron_cycles(windows, kept)
        if kept:  # sums of a static input, computed once, wait beside the membranes
            lines = ceil_div(kept, self.setting.membrane_line_bits)
            self.ledger.add("membrane.write", lines * self.runs)
            self.ledger.add("membrane.read", lines * (1.0 - self.runs))
        if self.service:
            self.service = replace(self.service, neurons=self.neurons)

    def _arithmetic(self, op: Operation) -> None:
        """What is computed, however the machine does it."""
        gemm, runs = op.products(), self.runs
        events = np.asarray(self.workload.activity[op.name].mean_accumulations)
        self.ledger.dense_macs = gemm.macs
        if op.in_types[0].is_spiking:
            self.ledger.accumulations = float(events @ runs)
        elif op.in_types[0].spikes_later:
            self.ledger.macs = float(gemm.macs)
            self.ledger.accumulations = float(events[1:].sum())
        else:
            self.ledger.macs = float(gemm.macs * runs.sum())

    def _products_of_activations(self, op: Operation) -> Service:
        """Nothing can be programmed: adders work through the pairs of ones, so many pairs of bits in a cycle."""
        self.ledger.add("digital_unit.accumulate", self.workload.activity[op.name].mean_accumulations * self.runs)
        self.ledger.utilization = 1.0
        for shape, kind in zip(op.in_shapes, op.in_types, strict=True):
            self._global("read", math.prod(shape) * kind.planes, self.runs)
        planes = op.in_types[0].planes * op.in_types[1].planes
        cycles = np.array([[float(ceil_div(op.products().macs * planes, self.setting.lanes))]])
        return Service(self.runs, cycles, cycles, 1)

    def _keeps_sums(self) -> bool:
        """Whether sums computed at one timestep are needed at the next ones, too."""
        return not self.runs.all() and any(self._times(op).all() for op in self.stage.epilogue)

    # -- neurons -------------------------------------------------------------------------------------

    def _neuron_cycles(self, windows: int, kept_bits: int) -> float:
        """Cycles in the neuronal module (or, for an ANN, the activation units) for the outputs of one window.

        Units and memory work side by side: as many outputs in a cycle as there are units, one line of membranes read
        and one written. `kept_bits` of sums that are stored for the next timesteps pass through the same port.
        """
        setting, neurons = self.setting, self.stage.of_kind("neuron")
        if self.workload.is_ann:
            return sum(_per_window(op.out_elements, windows, setting.activations_per_cycle) for op in neurons)
        cycles = 0.0
        for op in neurons:
            assert op.neuron is not None
            stored = self._stored_bits(op) if self.steps > 1 else 0
            cycles += max(
                _per_window(op.out_elements * unit_turns(op.neuron), windows, setting.lif_units),
                _per_window(stored + kept_bits, windows, setting.membrane_line_bits),
            )
        return cycles

    def _stored_bits(self, op: Operation) -> int:
        return stored_membranes(op, self.setting.membrane_sharing) * self.workload.precision.membrane_bits

    def _neurons(self) -> None:
        for op in () if self.workload.is_ann else self.stage.of_kind("time_affine"):
            self._time_affine(op)
        for op in self.stage.of_kind("neuron"):
            assert op.neuron is not None
            for action, times in neuron_actions(op.neuron, self.workload.is_ann):
                self.ledger.add(action, float(op.out_elements * self.steps * times))
            if self.steps > 1 and not self.workload.is_ann:
                # Nothing to fetch at the first timestep, nothing to keep after the last.
                fetch = steps.first_and_later(self.steps, 0.0, 1.0)
                lines = ceil_div(self._stored_bits(op), self.setting.membrane_line_bits)
                self.ledger.add("membrane.write", lines * fetch[::-1])
                self.ledger.add("membrane.read", lines * fetch)

    def _time_affine(self, op: Operation) -> None:
        """Gains and offsets of each timestep's own, pipelined before the LIF units, which wait for none of it.

        They lie in the membrane memory; one timestep's are read once and kept in registers, a pair for each channel.
        """
        bits, always = parameter_bits(op), steps.ones(self.steps)
        self.ledger.each("time_affine.apply", op.out_elements, always)
        self.ledger.each("time_affine_registers.read_bits", op.out_elements * 2 * WORD_BITS, always)
        self.ledger.each("time_affine_registers.write_bits", bits, always)
        self.ledger.each("membrane.read", ceil_div(bits, self.setting.membrane_line_bits), always)

    # -- maps ----------------------------------------------------------------------------------------

    def _epilogue(self) -> None:
        own = {member.name for member in self.stage.members if member.inputs}
        for op in self.stage.of_kind("avgpool2d", "maxpool2d", "add"):
            times = self._times(op)
            bits = sum(math.prod(shape) for shape in op.in_shapes) * self._width(op.out_type)
            if op.kind == "maxpool2d":
                self.ledger.each("pool.max_bits", bits, times)
            else:
                self.ledger.each("pool.add_bits" if op.kind == "avgpool2d" else "residual.add_bits", bits, times)
            for name, shape, kind in zip(op.inputs, op.in_shapes, op.in_types, strict=True):
                if source(self.workload.graph, name) not in own:  # a skip connection waits in the global buffer
                    self._global("read", math.prod(shape) * self._width(kind), times)

    def _width(self, kind: ActivationType) -> int:
        return self.setting.sum_bits if kind.kind == "current" else kind.planes


def _per_window(amount: int, windows: int, at_once: int) -> float:
    """Cycles for one window's part; less than one where outputs are pooled before they come here."""
    if amount % windows:
        return amount / windows / at_once
    return float(ceil_div(amount // windows, at_once))
