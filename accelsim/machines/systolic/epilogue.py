"""What follows a layer's weighted operation: LIF updates, pooling, residual adds, membranes, maps on their way out.

None of it depends on the shape of the array, so that one `Epilogue` serves all designs with the same `Setting`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from accelsim.core import timesteps as steps
from accelsim.core.timesteps import FloatArray
from accelsim.ledger.counts import LayerLedger
from accelsim.machines.systolic.tally import Lines, Tally
from accelsim.machines.systolic.traffic import lines
from accelsim.workload import ActivationType, Operation, Stage, Workload
from accelsim.workload.affine import WORD_BITS, parameter_bits
from accelsim.workload.neurons import neuron_actions, stored_membranes, unit_turns
from accelsim.workload.outputs import is_constant, source


class Setting(NamedTuple):
    """All that the epilogue of a stage depends on, beside the network."""

    line_bits: Lines
    accumulator_bits: int
    membrane_sharing: int
    reuses: bool
    """Sums of a static input are kept."""
    passes: tuple[int, ...]
    """Timesteps of each pass over the operands."""
    executed: int
    """Timesteps in which the array works."""
    membranes_stay: bool
    """On the chip."""
    maps_stay: frozenset[str]
    """Operations whose output goes to the next layer's input buffer without a detour through DRAM."""
    units_of_channel: int
    """LIF units that serve a channel at the same time; asked for by gains of each timestep's own, else 0."""


class Epilogue(Tally):
    """The counts of one stage after its weighted operation."""

    def __init__(self, workload: Workload, stage: Stage, outputs: tuple[Operation, ...], setting: Setting) -> None:
        super().__init__(LayerLedger(stage.name, stage.kind, workload.timesteps), setting.line_bits)
        self.workload, self.stage, self.outputs, self.setting = workload, stage, outputs, setting
        self.steps = workload.timesteps
        self.turns = 0
        """Turns of all LIF units in a timestep."""
        self.cycles = 0.0
        """Cycles that pooling and residual adds need, one line of the output buffer after another."""
        self._buffered: set[str] = set()
        """Maps of this stage that were written to the output buffer."""
        self._scale()
        self._neurons()
        self._pool_and_add()
        self._membranes()
        self._write_back()
        self.ledger.freeze()
        for when in self.moved.values():
            when.setflags(write=False)

    @property
    def membrane_bits(self) -> int:
        """Membranes of the stage as they are stored."""
        neurons = sum(stored_membranes(op, self.setting.membrane_sharing) for op in self.stage.of_kind("neuron"))
        return neurons * self.workload.precision.membrane_bits

    def _scale(self) -> None:
        """Gains and offsets of each timestep's own, pipelined before the LIF units, which wait for none of it.

        They come from DRAM into the output buffer; each LIF unit keeps the pair of its channel in registers.
        """
        line, each = self.line_bits.glb_ofmap, steps.ones(self.steps)
        for op in () if self.workload.is_ann else self.stage.of_kind("time_affine"):
            bits = parameter_bits(op)
            self.ledger.add("time_affine.apply", op.out_elements * each)
            self.ledger.add("time_affine_registers.read_bits", op.out_elements * 2 * WORD_BITS * each)
            self.ledger.add("time_affine_registers.write_bits", bits * self.setting.units_of_channel * each)
            self.ledger.add("glb_ofmap.read", lines(bits, line) * each)
            self.load("map", "glb_ofmap", self.bursts(bits) * each)

    def _neurons(self) -> None:
        """LIF updates."""
        for op in self.stage.of_kind("neuron"):
            assert op.neuron is not None
            for action, times in neuron_actions(op.neuron, self.workload.is_ann):
                self.ledger.add(action, float(op.out_elements * self.steps * times))
            if not self.workload.is_ann:
                self.turns += op.out_elements * unit_turns(op.neuron)

    def _pool_and_add(self) -> None:
        """Pooling and residual adds: the maps pass through the output buffer once more."""
        line = self.line_bits.glb_ofmap
        own = {member.name for member in self.stage.members if member.inputs}
        for op in self.stage.of_kind("avgpool2d", "maxpool2d", "add"):
            times = steps.first_and_later(self.steps, 1.0, 0.0 if self._once(op) else 1.0)
            bits = sum(math.prod(shape) for shape in op.in_shapes) * self._width(op.out_type)
            if op.kind == "maxpool2d":
                self.ledger.add("pool.max_bits", bits * times)
            else:
                self.ledger.add("pool.add_bits" if op.kind == "avgpool2d" else "residual.add_bits", bits * times)
            for name, shape, kind in zip(op.inputs, op.in_shapes, op.in_types, strict=True):
                origin, moved = source(self.workload.graph, name), math.prod(shape) * self._width(kind)
                if origin not in own:  # a skip connection, or the network's input, comes from DRAM
                    self.load("map", "glb_ofmap", self.bursts(moved) * times)
                elif origin not in self._buffered:  # written by the step before
                    self.ledger.add("glb_ofmap.write", lines(moved, line) * times)
                    self._buffered.add(origin)
                self.ledger.add("glb_ofmap.read", lines(moved, line) * times)
                self.cycles += float(np.add.reduce(lines(moved, line) * times))

    def _once(self, op: Operation) -> bool:
        """Whether the operation is computed at the first timestep only."""
        return self.setting.reuses and is_constant(op)

    def _width(self, kind: ActivationType) -> int:
        """Bits of one element of a feature map as it is stored."""
        return self.setting.accumulator_bits if kind.kind == "current" else kind.planes

    def _membranes(self) -> None:
        """Membranes (and reused static sums) stored between passes."""
        passes, executed = self.setting.passes, self.setting.executed
        if self.workload.is_ann or self.steps == 1:
            return
        if len(passes) > 1:  # within a pass they never leave the PE
            starts = steps.starts(passes)
            keep, fetch = (steps.marks(self.steps, at) for at in (starts[:-1], starts[1:]))
            self._store(self.membrane_bits, writes=keep, reads=fetch)
        core = self.stage.core
        changes = any(not self._once(op) for op in self.stage.epilogue)
        if core is not None and len(passes) > executed and changes:
            first = steps.marks(self.steps, (0,))
            sums = core.products().outputs * self.setting.accumulator_bits
            self._store(sums, writes=first, reads=1.0 - first)

    def _store(self, bits: int, writes: FloatArray, reads: FloatArray) -> None:
        if not bits:
            return
        number = lines(bits, self.line_bits.glb_ofmap)
        self.ledger.add("glb_ofmap.write", writes * number)
        self.ledger.add("glb_ofmap.read", reads * number)
        if not self.setting.membranes_stay:
            self.dram("membrane_write", writes * self.bursts(bits))
            self.dram("membrane", reads * self.bursts(bits))
            self.ledger.add("glb_ofmap.read", writes * number)
            self.ledger.add("glb_ofmap.write", reads * number)

    def _write_back(self) -> None:
        """What leaves the stage goes through the output buffer to whoever consumes it."""
        line, passes = self.line_bits.glb_ofmap, self.setting.passes
        for op in self.outputs:
            bits = op.out_elements * self._width(op.out_type)
            # When the map leaves, how often at each of these timesteps, and how many timesteps' spikes side by side.
            packs: list[tuple[FloatArray, int, int]]
            if self._once(op):  # the output of a layer that itself worked in one go is stored in one piece
                packs = [(steps.marks(self.steps, (0,)), 1, 1)]
            elif len(passes) == self.steps:
                packs = [(steps.ones(self.steps), self.steps, 1)]
            else:
                begins = zip(steps.starts(passes), passes, strict=True)
                packs = [(steps.marks(self.steps, (start,)), 1, ticks) for start, ticks in begins]
            for when, times, ticks in packs:
                number = float(lines(bits * ticks, line) * times)
                if op.name not in self._buffered:
                    self.ledger.add("glb_ofmap.write", number)
                self.ledger.add("glb_ofmap.read", number)
                if op.name in self.setting.maps_stay:
                    self.ledger.add("glb_ifmap.write", bits * ticks * times / self.line_bits.glb_ifmap)
                else:
                    moving = self.bursts(bits * ticks)
                    self.dram("map_write", moving * times, moving * when)
