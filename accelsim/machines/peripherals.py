"""What stands around an array or crossbars on any machine: neurons and their membranes, gains over time, pooling, adds.

A machine makes `Peripherals` for each stage, names the memories in which values lie (`Buffer`), and counts itself what
is its own: where maps come from and go to, how wide its units are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from accelsim.core import timesteps as steps
from accelsim.core.types import FloatArray
from accelsim.ledger.counts import LayerLedger
from accelsim.workload import ActivationType, Operation, Stage, Workload
from accelsim.workload.affine import WORD_BITS, parameter_bits
from accelsim.workload.graph import ceil_div
from accelsim.workload.neurons import neuron_actions, stored_membranes, unit_turns
from accelsim.workload.outputs import is_constant, source


class Buffer(NamedTuple):
    """A memory on the chip: the name under which accesses are counted, and bits of one access."""

    name: str
    line_bits: int

    def lines(self, bits: float) -> int:
        """Lines that a contiguous run of bits touches."""
        return ceil_div(int(bits), self.line_bits)


class Input(NamedTuple):
    """A feature map that pooling or a residual add takes in."""

    origin: str
    """The operation that made it, or ``input``."""
    bits: int
    """Of one timestep."""
    when: FloatArray
    """[T] 1 where it is taken in, or 0."""
    is_own: bool
    """Made in the same stage; others (a skip connection, the network's input) come from elsewhere."""


class Peripherals:
    """Counts what a stage does beside its weighted operation, into a ledger."""

    def __init__(
        self, workload: Workload, stage: Stage, ledger: LayerLedger, *, sum_bits: int, reuses_static: bool
    ) -> None:
        """`sum_bits` has a current before the neurons; `reuses_static`: a static input's sums are computed once."""
        self.workload, self.stage, self.ledger = workload, stage, ledger
        self.sum_bits, self.reuses_static = sum_bits, reuses_static
        self.timesteps = workload.timesteps
        self.neurons = stage.of_kind("neuron")
        self.scaled = () if workload.is_ann else stage.of_kind("time_affine")

    # -- what the machine asks -----------------------------------------------------------------------

    def once(self, op: Operation) -> bool:
        """Whether the operation is computed at the first timestep only."""
        return self.reuses_static and is_constant(op)

    def executions(self, op: Operation) -> FloatArray:
        """[T] 1 where the operation is computed, or 0."""
        return executions(op, self.reuses_static, self.timesteps)

    def width(self, kind: ActivationType) -> int:
        """Bits of one element of a feature map as it is stored."""
        return self.sum_bits if kind.kind == "current" else kind.planes

    def bits(self, op: Operation) -> int:
        """Bits of an operation's output in one timestep."""
        return op.out_elements * self.width(op.out_type)

    def membrane_bits(self, op: Operation, sharing: int) -> int:
        """Bits of a neuron operation's membranes on hardware where `sharing` neurons share one."""
        return stored_membranes(op, sharing) * self.workload.precision.membrane_bits

    def kept_sum_bits(self) -> int:
        """Bits of sums of a static input, computed once, that neurons of later timesteps need, too; 0 for none."""
        core = self.stage.core
        if core is None or self.timesteps == 1 or not self.once(core):
            return 0
        return self.sum_bits * core.out_elements if any(not self.once(op) for op in self.stage.epilogue) else 0

    # -- counts ----------------------------------------------------------------------------------------

    def count_arithmetic(self) -> None:
        """What the weighted operation computes, however the machine does it: accumulations by spikes, and products."""
        op, ledger = self.stage.core, self.ledger
        assert op is not None
        gemm, kind, executed = op.products(), op.in_types[0], 1 if self.once(op) else self.timesteps
        events = self.workload.activity[op.name].mean_accumulations[:executed]
        ledger.dense_macs = gemm.macs
        if kind.is_spiking:
            ledger.accumulations = float(np.add.reduce(events))
        elif kind.spikes_later:
            ledger.macs, ledger.accumulations = float(gemm.macs), float(np.add.reduce(events[1:]))
        else:
            ledger.macs = float(gemm.macs * executed)

    def count_neurons(self) -> int:
        """Updates of LIF units (an ANN's activations in their place); returns the turns of units in a timestep."""
        turns = 0
        for op in self.neurons:
            assert op.neuron is not None
            for action, times in neuron_actions(op.neuron, self.workload.is_ann):
                self.ledger.add(action, float(op.out_elements * self.timesteps * times))
            turns += 0 if self.workload.is_ann else op.out_elements * unit_turns(op.neuron)
        return turns

    def count_time_affine(self, buffer: Buffer, registers: int = 1) -> list[int]:
        """Gains and offsets of each timestep's own, pipelined before the LIF units, which wait for none of it.

        They are read from `buffer` once a timestep and kept in registers, a pair for each channel in so many units.

        Returns:
            Bits of one timestep's parameters, for each such operation.
        """
        always, found = steps.ones(self.timesteps), [parameter_bits(op) for op in self.scaled]
        for op, bits in zip(self.scaled, found, strict=True):
            self.ledger.each("time_affine.apply", op.out_elements, always)
            self.ledger.each("time_affine_registers.read_bits", op.out_elements * 2 * WORD_BITS, always)
            self.ledger.each("time_affine_registers.write_bits", bits * registers, always)
            self.ledger.each(f"{buffer.name}.read", buffer.lines(bits), always)
        return found

    def count_pooling(self) -> Iterator[Input]:
        """Pooling and residual adds; yields the maps that they take in, which the machine reads from where they are."""
        own = {member.name for member in self.stage.members if member.inputs}
        for op in self.stage.of_kind("avgpool2d", "maxpool2d", "add"):
            when, width = self.executions(op), self.width(op.out_type)
            action = {"maxpool2d": "pool.max_bits", "avgpool2d": "pool.add_bits", "add": "residual.add_bits"}[op.kind]
            self.ledger.each(action, sum(math.prod(shape) for shape in op.in_shapes) * width, when)
            for name, shape, kind in zip(op.inputs, op.in_shapes, op.in_types, strict=True):
                origin = source(self.workload.graph, name)
                yield Input(origin, math.prod(shape) * self.width(kind), when, origin in own)

    def count_stored(self, buffer: Buffer, bits: int, writes: FloatArray, reads: FloatArray) -> None:
        """Values (membranes, reused sums) that go to a buffer and come back, [T] how often."""
        self.ledger.each(f"{buffer.name}.write", buffer.lines(bits), writes)
        self.ledger.each(f"{buffer.name}.read", buffer.lines(bits), reads)


def executions(op: Operation, reuses_static: bool, timesteps: int) -> FloatArray:
    """[T] 1 where an operation is computed, 0 where a value that stays the same was computed before."""
    return steps.first_and_later(timesteps, 1.0, 0.0 if reuses_static and is_constant(op) else 1.0)


def between_passes(passes: tuple[int, ...], timesteps: int) -> tuple[FloatArray, FloatArray]:
    """[T] when membranes are put away after a pass, [T] when they are fetched for the next; `passes` in timesteps."""
    starts = steps.starts(passes)
    return steps.marks(timesteps, starts[:-1]), steps.marks(timesteps, starts[1:])
