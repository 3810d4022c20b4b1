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
from accelsim.machines.peripherals import Buffer, Peripherals, between_passes
from accelsim.machines.spikeflow import first_layer
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.spikeflow.first_layer import needs_products
from accelsim.machines.spikeflow.pipeline import Service
from accelsim.workload import Operation, Stage, Workload
from accelsim.workload.graph import ceil_div
from accelsim.workload.neurons import unit_turns


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
        self.workload, self.stage, self.setting = workload, stage, setting
        self.steps = workload.timesteps
        self.ledger = LayerLedger(stage.name, stage.kind, self.steps)
        self.peripherals = Peripherals(
            workload, stage, self.ledger, sum_bits=setting.sum_bits, reuses_static=setting.reuses
        )
        self.membranes = Buffer("membrane", setting.membrane_line_bits)
        self.runs: FloatArray = steps.ones(self.steps)
        """[T] 1 where the weighted operation computes."""
        self.neurons = 0.0
        """Cycles of one window in the neuronal module."""
        self.service: Service | None = None
        """Of a weighted operation that is not on crossbars."""
        if stage.core is not None:
            self._core(stage.core)
        self._peripherals()
        for op in outputs:
            self._global("write", self.peripherals.bits(op), self.peripherals.executions(op))
        self.ledger.freeze()

    def _global(self, direction: str, bits: int, runs: FloatArray) -> None:
        self.ledger.each(f"global_buffer.{direction}", ceil_div(bits, self.setting.global_line_bits), runs)

    # -- the weighted operation ------------------------------------------------------------------------

    def _core(self, op: Operation) -> None:
        self.runs = self.peripherals.executions(op)
        self.peripherals.count_arithmetic()
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
        kept = self.peripherals.kept_sum_bits()
        self.neurons = self._neuron_cycles(windows, kept)
        if kept:  # sums of a static input, computed once, wait beside the membranes
            self.peripherals.count_stored(self.membranes, kept, self.runs, 1.0 - self.runs)
        if self.service:
            self.service = replace(self.service, neurons=self.neurons)

    def _products_of_activations(self, op: Operation) -> Service:
        """Nothing can be programmed: adders work through the pairs of ones, so many pairs of bits in a cycle."""
        self.ledger.add("digital_unit.accumulate", self.workload.activity[op.name].mean_accumulations * self.runs)
        self.ledger.utilization = 1.0
        for shape, kind in zip(op.in_shapes, op.in_types, strict=True):
            self._global("read", math.prod(shape) * kind.planes, self.runs)
        planes = op.in_types[0].planes * op.in_types[1].planes
        cycles = np.array([[float(ceil_div(op.products().macs * planes, self.setting.lanes))]])
        return Service(self.runs, cycles, cycles, 1)

    def _neuron_cycles(self, windows: int, kept_bits: int) -> float:
        """Cycles in the neuronal module (or, for an ANN, the activation units) for the outputs of one window.

        Units and memory work side by side: as many outputs in a cycle as there are units, one line of membranes read
        and one written. `kept_bits` of sums that are stored for the next timesteps pass through the same port.
        """
        setting, neurons = self.setting, self.peripherals.neurons
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
        return self.peripherals.membrane_bits(op, self.setting.membrane_sharing)

    # -- what follows ----------------------------------------------------------------------------------

    def _peripherals(self) -> None:
        """Neurons, whose membranes and gains lie in the membrane memory; pooling and adds, whose maps pass by."""
        self.peripherals.count_neurons()
        self.peripherals.count_time_affine(self.membranes)
        stored = self.steps > 1 and not self.workload.is_ann
        for op in self.peripherals.neurons if stored else ():
            self.peripherals.count_stored(
                self.membranes, self._stored_bits(op), *between_passes((1,) * self.steps, self.steps)
            )
        for taken in self.peripherals.count_pooling():
            if not taken.is_own:  # a skip connection waits in the global buffer
                self._global("read", taken.bits, taken.when)


def _per_window(amount: int, windows: int, at_once: int) -> float:
    """Cycles for one window's part; less than one where outputs are pooled before they come here."""
    if amount % windows:
        return amount / windows / at_once
    return float(ceil_div(amount // windows, at_once))
