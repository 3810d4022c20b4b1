"""What follows a layer's weighted operation on the array: maps, membranes and sums through output buffer and DRAM.

None of it depends on the shape of the array, so that designs with other arrays share one `Epilogue`.
"""

from __future__ import annotations

import numpy as np

from accelsim.core import timesteps as steps
from accelsim.core.memo import memo
from accelsim.core.types import FloatArray
from accelsim.ledger.counts import LayerLedger
from accelsim.machines.peripherals import Buffer, Peripherals, between_passes
from accelsim.machines.systolic.tally import LayerTally, Lines
from accelsim.workload import Operation, Stage, Workload


class Epilogue(LayerTally):
    """The counts of one stage after its weighted operation."""

    def __init__(
        self,
        workload: Workload,
        stage: Stage,
        line_bits: Lines,
        *,
        sum_bits: int,
        membrane_sharing: int,
        reuses_static: bool,
        passes: tuple[int, ...],
        membranes_stay: bool,
        maps_stay: frozenset[str],
        units_of_channel: int,
    ) -> None:
        """All that the epilogue of a stage depends on, beside the network.

        Args:
            workload: the network.
            stage: the operations.
            line_bits: of the memories.
            sum_bits: of an accumulator.
            membrane_sharing: neurons that share a membrane.
            reuses_static: sums of a static input are kept.
            passes: timesteps of each pass over the operands.
            membranes_stay: on the chip.
            maps_stay: operations whose output goes to the next layer's input buffer without a detour through DRAM.
            units_of_channel: LIF units that serve a channel at the same time.
        """
        super().__init__(LayerLedger(stage.name, stage.kind, workload.timesteps), line_bits)
        self.steps, self.passes, self.ofmap = workload.timesteps, passes, Buffer("glb_ofmap", line_bits.glb_ofmap)
        self.membranes_stay, self.maps_stay = membranes_stay, maps_stay
        self.peripherals = Peripherals(workload, stage, self.ledger, sum_bits=sum_bits, reuses_static=reuses_static)
        self.membrane_bits = sum(self.peripherals.membrane_bits(op, membrane_sharing) for op in stage.of_kind("neuron"))
        """Membranes of the stage as they are stored."""
        self.turns = self.peripherals.count_neurons()
        """Turns of all LIF units in a timestep."""
        self.cycles = 0.0
        """Cycles that pooling and residual adds need, one line of the output buffer after another."""
        self._buffered: set[str] = set()
        """Maps of this stage that were written to the output buffer."""
        for bits in self.peripherals.count_time_affine(self.ofmap, units_of_channel):  # from DRAM
            self.load("map", "glb_ofmap", self.bursts(bits) * steps.ones(self.steps))
        self._pool_and_add()
        if not workload.is_ann and len(passes) > 1:  # within a pass they never leave the PE
            self._store(self.membrane_bits, *between_passes(passes, self.steps))
            first = steps.marks(self.steps, (0,))
            self._store(self.peripherals.kept_sum_bits(), first, 1.0 - first)
        for op in workload.outputs[stage.name]:
            self._write_back(op)
        self.ledger.freeze()
        for when in self.moved.values():
            when.setflags(write=False)

    def _pool_and_add(self) -> None:
        """Pooling and residual adds: the maps pass through the output buffer once more."""
        for taken in self.peripherals.count_pooling():
            accesses = self.ofmap.lines(taken.bits) * taken.when
            if not taken.is_own:  # a skip connection, or the network's input, comes from DRAM
                self.load("map", "glb_ofmap", self.bursts(taken.bits) * taken.when)
            elif taken.origin not in self._buffered:  # written by the step before
                self.ledger.add("glb_ofmap.write", accesses)
                self._buffered.add(taken.origin)
            self.ledger.add("glb_ofmap.read", accesses)
            self.cycles += float(np.add.reduce(accesses))

    def _store(self, bits: int, writes: FloatArray, reads: FloatArray) -> None:
        """Membranes, or reused static sums, between passes."""
        if not bits:
            return
        self.peripherals.count_stored(self.ofmap, bits, writes, reads)
        if not self.membranes_stay:  # on to DRAM, and back
            self.dram("membrane_write", writes * self.bursts(bits))
            self.dram("membrane", reads * self.bursts(bits))
            self.peripherals.count_stored(self.ofmap, bits, reads, writes)

    def _write_back(self, op: Operation) -> None:
        """What leaves the stage goes through the output buffer to whoever consumes it."""
        bits, passes = self.peripherals.bits(op), self.passes
        # When the map leaves, how often at each of these timesteps, and how many timesteps' spikes side by side.
        packs: list[tuple[FloatArray, int, int]]
        if self.peripherals.once(op):  # the output of a layer that itself worked in one go is stored in one piece
            packs = [(steps.marks(self.steps, (0,)), 1, 1)]
        elif len(passes) == self.steps:
            packs = [(steps.ones(self.steps), self.steps, 1)]
        else:
            begins = zip(steps.starts(passes), passes, strict=True)
            packs = [(steps.marks(self.steps, (start,)), 1, ticks) for start, ticks in begins]
        for when, times, ticks in packs:
            number = float(self.ofmap.lines(bits * ticks) * times)
            if op.name not in self._buffered:
                self.ledger.add("glb_ofmap.write", number)
            self.ledger.add("glb_ofmap.read", number)
            if op.name in self.maps_stay:
                self.ledger.add("glb_ifmap.write", bits * ticks * times / self.line_bits.glb_ifmap)
            else:
                moving = self.bursts(bits * ticks)
                self.dram("map_write", moving * times, moving * when)


epilogue_of = memo(Epilogue)
"""The epilogue of a stage, made once for all designs that are alike in what it depends on."""
