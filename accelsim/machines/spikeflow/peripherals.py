"""What a stage does outside of its crossbars: neuronal module, digital unit, multipliers, global buffer.

None of it depends on how weights lie in crossbars and tiles. Two kinds of weighted operations stay off the crossbars:

Products of two activations: nothing can be programmed, adders work through the pairs of ones.

Layers with analog inputs where `first_layer` is `digital`: multipliers stand beside the neuronal module and the global
buffer, and hold the outputs of one position. In each cycle one input of the receptive field meets the weights of as
many output channels as there are multipliers, so a position takes K x ceil(N / macs) cycles. Weights are read from
their own memory in every cycle, the window of each position from the global buffer anew, sums stay where the neurons
are. Spikes that follow the pixels (a hybrid-encoded input) go the same way; they add a weight where they are.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from accelsim.core.memo import memo
from accelsim.ledger.counts import LayerLedger
from accelsim.machines.peripherals import Buffer, Peripherals, between_passes
from accelsim.machines.spikeflow.description import DigitalSpec, SpikeflowFile
from accelsim.machines.spikeflow.mapping import is_on_crossbars
from accelsim.machines.spikeflow.timing import StageTiming
from accelsim.workload import Operation, Stage, Workload
from accelsim.workload.graph import ceil_div
from accelsim.workload.neurons import unit_turns


def count_peripherals(workload: Workload, stage: Stage, hardware: SpikeflowFile) -> SpikeflowPeripherals:
    """The counts of a stage outside of its crossbars; designs that are alike in what they depend on share them."""
    memories = hardware.memories
    return _counted(
        workload,
        stage,
        sum_bits=hardware.accumulator_bits,
        reuses_static=hardware.static_input == "reuse",
        global_buffer=Buffer("global_buffer", memories.global_buffer.line_bits),
        membranes=Buffer("membrane", memories.membrane.line_bits),
        weights=Buffer("first_layer", memories.first_layer.line_bits),
        first_layer=hardware.first_layer,
        membrane_sharing=hardware.lif.membrane_sharing,
        lif_units=hardware.lif_units,
        digital=hardware.digital,
    )


class SpikeflowPeripherals(Peripherals):
    """The counts of one stage outside of its crossbars, and their part in its timing."""

    def __init__(
        self,
        workload: Workload,
        stage: Stage,
        *,
        sum_bits: int,
        reuses_static: bool,
        global_buffer: Buffer,
        membranes: Buffer,
        weights: Buffer,
        first_layer: str,
        membrane_sharing: int,
        lif_units: int,
        digital: DigitalSpec,
    ) -> None:
        ledger = LayerLedger(stage.name, stage.kind, workload.timesteps)
        super().__init__(workload, stage, ledger, sum_bits=sum_bits, reuses_static=reuses_static)
        self.global_buffer, self.membranes, self.weights = global_buffer, membranes, weights
        self.membrane_sharing, self.lif_units, self.digital = membrane_sharing, lif_units, digital
        self.neuron_cycles = 0.0
        """Cycles of one window in the neuronal module."""
        self.timing: StageTiming | None = None
        """Of a weighted operation that is not on crossbars."""
        if stage.core is not None:
            self._count_core(stage.core, first_layer)
        self.count_neurons()
        self.count_time_affine(membranes)
        stored = self.timesteps > 1 and not workload.is_ann
        for op in self.neurons if stored else ():
            passes = (1,) * self.timesteps
            self.count_stored(
                membranes, self.membrane_bits(op, membrane_sharing), *between_passes(passes, self.timesteps)
            )
        for taken in self.count_pooling():
            if not taken.is_own:  # a skip connection waits in the global buffer
                ledger.each("global_buffer.read", global_buffer.lines(taken.bits), taken.when)
        for op in workload.outputs[stage.name]:
            ledger.each("global_buffer.write", global_buffer.lines(self.bits(op)), self.executions(op))
        ledger.freeze()

    def _count_core(self, op: Operation, first_layer: str) -> None:
        """What of the weighted operation does not depend on crossbars."""
        self.count_arithmetic()
        if op.kind == "matmul":
            self.timing = self._on_adders(op)
        elif not is_on_crossbars(op, first_layer):
            self.timing = self._on_multipliers(op)
        windows = self.timing.windows if self.timing else op.products().m
        kept = self.kept_sum_bits()
        self.neuron_cycles = self._neuron_cycles(windows, kept)
        if kept:  # sums of a static input, computed once, wait beside the membranes
            runs = self.executions(op)
            self.count_stored(self.membranes, kept, runs, 1.0 - runs)
        if self.timing:
            self.timing = replace(self.timing, neurons=self.neuron_cycles)

    def _on_adders(self, op: Operation) -> StageTiming:
        """Products of two activations: so many pairs of bits in a cycle."""
        runs = self.executions(op)
        self.ledger.add("digital_unit.accumulate", self.workload.activity[op.name].mean_accumulations * runs)
        self.ledger.utilization = 1.0
        for shape, kind in zip(op.in_shapes, op.in_types, strict=True):
            lines = self.global_buffer.lines(math.prod(shape) * kind.planes)
            self.ledger.each("global_buffer.read", lines, runs)
        planes = op.in_types[0].planes * op.in_types[1].planes
        cycles = np.array([[float(ceil_div(op.products().macs * planes, self.digital.lanes))]])
        return StageTiming(runs, cycles, cycles, 1)

    def _on_multipliers(self, op: Operation) -> StageTiming:
        """Layers with analog inputs."""
        gemm, ledger, runs, macs = op.products(), self.ledger, self.executions(op), self.digital.macs
        analog = runs.copy()
        if op.in_types[0].spikes_later:
            analog[1:] = 0.0
            events = self.workload.activity[op.name].mean_accumulations
            ledger.add("digital_unit.accumulate", events * (runs - analog))
        ledger.add("mac_unit.multiply_add", gemm.macs * analog)
        full, rest = divmod(gemm.n, macs)
        weight_bits = self.workload.precision.weight_bits
        lines = full * self.weights.lines(macs * weight_bits) + self.weights.lines(rest * weight_bits)
        ledger.add("first_layer.read", gemm.m * gemm.groups * gemm.k * lines * runs)
        bits = gemm.k * gemm.groups * op.in_types[0].planes_in_time(self.timesteps)
        ledger.add("global_buffer.read", gemm.m * np.ceil(bits / self.global_buffer.line_bits) * runs)
        ledger.utilization = gemm.n / (ceil_div(gemm.n, macs) * macs)
        cycles = np.array([[float(gemm.groups * gemm.k * ceil_div(gemm.n, macs))]])
        return StageTiming(runs, cycles, cycles, gemm.m)

    def _neuron_cycles(self, windows: int, kept_bits: int) -> float:
        """Cycles in the neuronal module (or, for an ANN, the activation units) for the outputs of one window.

        Units and memory work side by side: as many outputs in a cycle as there are units, one line of membranes read
        and one written. `kept_bits` of sums that are stored for the next timesteps pass through the same port.
        """
        if self.workload.is_ann:
            at_once = self.digital.activations_per_cycle
            return sum(_per_window(op.out_elements, windows, at_once) for op in self.neurons)
        cycles = 0.0
        for op in self.neurons:
            assert op.neuron is not None
            stored = self.membrane_bits(op, self.membrane_sharing) if self.timesteps > 1 else 0
            cycles += max(
                _per_window(op.out_elements * unit_turns(op.neuron), windows, self.lif_units),
                _per_window(stored + kept_bits, windows, self.membranes.line_bits),
            )
        return cycles


_counted = memo(SpikeflowPeripherals)


def _per_window(amount: int, windows: int, at_once: int) -> float:
    """Cycles for one window's part; less than one where outputs are pooled before they come here."""
    if amount % windows:
        return amount / windows / at_once
    return float(ceil_div(amount // windows, at_once))
