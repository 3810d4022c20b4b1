"""One layer on a machine with global buffers and LIF units: everything that does not depend on the kind of array.

`LayerModel` counts LIF updates, pooling, membranes, maps and DRAM traffic. What a kind of array does with
the weighted operation is the part of a subclass (`accelsim.systolic.array.ArrayLayer` for os, ws, is and
tick-batch), which says: `count` (its actions), `crossings` (traffic of the operands), `array_cycles` (closed
form) and `work` (the same piece by piece, for `--fidelity cycle`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from accelsim.hardware.systolic import SystolicFile
from accelsim.results import LayerLedger
from accelsim.systolic.cycle.plan import BUFFERS, Work
from accelsim.systolic.traffic import lines
from accelsim.workload import ActivationType, Operation, Stage, Workload
from accelsim.workload.graph import ceil_div
from accelsim.workload.neurons import leak_action, stored_membranes
from accelsim.workload.outputs import is_constant, source

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Residency:
    """What fits on the chip beyond one layer; decided for the whole network."""

    weights_stay: bool
    """All weights of the network fit: step-by-step does not fetch them again."""
    membranes_stay: bool
    """All membranes (and reused sums) that must be kept at the same time fit in the output buffer."""
    maps_stay: frozenset[str] = frozenset()
    """Operations whose output goes to the next layer's input buffer without a detour through DRAM."""


@dataclass(frozen=True)
class Crossings:
    """DRAM reads of the core's operands: bits at each pass over them, in the order of passes."""

    weights: FloatArray
    inputs: FloatArray
    order: str
    """Buffer-level loop order in words."""


class LayerModel(ABC):
    """Fills the ledger of one stage."""

    def __init__(
        self,
        workload: Workload,
        hardware: SystolicFile,
        stage: Stage,
        outputs: tuple[Operation, ...],
        residency: Residency,
        from_trace: bool = False,
    ) -> None:
        self.workload, self.hardware, self.stage, self.residency = workload, hardware, stage, residency
        self.outputs = outputs
        self.from_trace = from_trace
        """Whether the spikes themselves are looked at, where there are any; else their mean densities."""
        self.steps = workload.timesteps
        self.memories = hardware.memories
        self.ledger = LayerLedger(stage.name, stage.kind, self.steps)
        self.moved: dict[str, FloatArray] = {}
        """DRAM bits by kind of transfer (`cycle.memory.COLUMNS`) and timestep at which they move."""
        self.order = ""
        self.useful_cycles = 0.0
        """Cycles that the array would need if every PE were always busy."""
        self.epilogue_cycles = 0.0
        """Cycles that pooling and residual adds need, one line of the output buffer after another."""
        self.notes: list[str] = []

    # -- what a kind of array answers -----------------------------------------------------------------

    @property
    @abstractmethod
    def passes(self) -> tuple[int, ...]:
        """Timesteps of each pass over the operands; they sum to T."""

    @abstractmethod
    def count(self) -> None:
        """Actions of the array on the weighted operation: arithmetic, registers, accesses to global buffers."""

    @abstractmethod
    def crossings(self) -> Crossings:
        """DRAM reads of the weighted operation's operands."""

    @abstractmethod
    def array_cycles(self) -> FloatArray:
        """[T]: cycles of the array in closed form."""

    @abstractmethod
    def work(self) -> Work:
        """What the array does, segment by segment."""

    @property
    def operand_buffer(self) -> str:
        """Where the core's second operand lies."""
        return "glb_weight"

    @property
    def executed(self) -> int:
        """Timesteps in which the array works; less than T where a static input's sums are reused."""
        return self.steps

    def resident(self) -> dict[str, float]:
        """Bits that lie in the global buffers during the whole layer, by kind of transfer."""
        kept = 0.0 if len(self.passes) == 1 or not self.residency.membranes_stay else float(self.membrane_bits)
        return {"membrane": kept, "membrane_write": 0.0} if kept else {}

    @property
    def membrane_bits(self) -> int:
        """Membranes of the stage as they are stored."""
        sharing = self.hardware.lif.membrane_sharing
        neurons = sum(stored_membranes(op, sharing) for op in self.stage.of_kind("neuron"))
        return neurons * self.workload.precision.membrane_bits

    def lif_bound(self, array: FloatArray, lif: float) -> float:
        """Cycles until the LIF units are through, which need `lif` of their own; the array starts at 0.

        Sums wait for the units in the output buffer, so units that are fast enough on the whole never
        stop the array.
        """
        if self.hardware.schedule == "step-by-step":
            return float(np.maximum(array, lif / self.steps).sum())
        return max(float(array.sum()), lif)

    # -- all counts -----------------------------------------------------------------------------------

    def fill(self) -> LayerModel:
        """All counts of the stage."""
        core = self.stage.core
        if core:
            self.count()
            self._fetch()
        self.lif_cycles = self._neurons()
        buffered = self._epilogue()
        self._membranes()
        self._write_back(buffered)
        return self

    @cached_property
    def pass_starts(self) -> npt.NDArray[np.int64]:
        """First timestep of each pass."""
        return np.concatenate([[0], np.cumsum(self.passes)[:-1]]).astype(np.int64)

    def _fetch(self) -> None:
        """DRAM to buffers."""
        crossings = self.crossings()
        self.order = crossings.order
        for column, buffer, bits in (
            ("weight", self.operand_buffer, crossings.weights),
            ("ifmap", "glb_ifmap", crossings.inputs),
        ):
            when = np.zeros(self.steps)
            when[self.pass_starts[: len(bits)]] = bits
            # Weights, and what serves several timesteps at once, belong to all of them.
            own = column == "ifmap" and len(self.passes) == self.steps
            self.load(column, buffer, when if own else float(bits.sum()), when)

    def load(self, column: str, buffer: str, bits: float | FloatArray, when: FloatArray | None = None) -> None:
        """From DRAM into a buffer."""
        self.dram(column, bits, when)
        self.ledger.add(f"{buffer}.write", bits / getattr(self.memories, buffer).line_bits)

    def dram(self, column: str, bits: float | FloatArray, when: FloatArray | None = None) -> None:
        """Count DRAM traffic; `when` says at which timestep it happens where `bits` is a sum over all."""
        self.ledger.add(f"dram.{'write' if column.endswith('_write') else 'read'}_bits", bits)
        if when is None:
            when = bits if isinstance(bits, np.ndarray) else np.full(self.steps, bits / self.steps)
        self.moved[column] = self.moved.get(column, 0.0) + when

    def bursts(self, bits: float) -> float:
        """Bits really transferred: whole DRAM bursts."""
        line = self.memories.dram.line_bits
        return lines(bits, line) * line

    @property
    def dram_bits(self) -> float:
        """All bits across the DRAM interface."""
        return float(sum(bits.sum() for bits in self.moved.values()))

    # -- neurons and what follows ----------------------------------------------------------------------

    @property
    def updates(self) -> int:
        """Neurons of the stage."""
        return 0 if self.workload.is_ann else sum(op.out_elements for op in self.stage.of_kind("neuron"))

    def _neurons(self) -> float:
        """LIF updates; returns the cycles its units need for all timesteps."""
        turns = 0
        for op in self.stage.of_kind("neuron"):
            record = op.neuron
            assert record is not None
            if self.workload.is_ann:
                self.ledger.add("activation.relu", float(op.out_elements * self.steps))
                self.ledger.add("activation.requantize", float(op.out_elements * self.steps))
                continue
            # One turn integrates, compares and resets. Each further spike of a timestep takes another; where all
            # inputs are accumulated first, taking them in and firing are turns of their own.
            firing = 1 if record.accumulate_then_fire else record.max_spikes
            rounds = 2 if record.accumulate_then_fire else firing
            each = np.full(self.steps, float(op.out_elements))
            self.ledger.add("lif.update", each * rounds)
            action = leak_action(record.model, record.leak)
            if action:
                self.ledger.add(f"lif.{action}", each)
            if record.reset == "soft":
                self.ledger.add("lif.reset_subtract", each * firing)
            turns += op.out_elements * rounds
        return self.steps * ceil_div(turns, self.hardware.lif_units)

    def _epilogue(self) -> set[str]:
        """Pooling and residual adds: the maps pass through the output buffer once more.

        Returns the maps of this stage that were written to that buffer.
        """
        line = self.memories.glb_ofmap.line_bits
        own = {member.name for member in self.stage.members if member.inputs}
        buffered: set[str] = set()
        for op in self.stage.of_kind("avgpool2d", "maxpool2d", "add"):
            times = self._times(op)
            bits = sum(math.prod(shape) for shape in op.in_shapes) * self.width(op.out_type)
            if op.kind == "maxpool2d":
                self.ledger.add("pool.max_bits", bits * times)
            else:
                self.ledger.add("pool.add_bits" if op.kind == "avgpool2d" else "residual.add_bits", bits * times)
            for name, shape, kind in zip(op.inputs, op.in_shapes, op.in_types, strict=True):
                origin, moved = source(self.workload.graph, name), math.prod(shape) * self.width(kind)
                if origin not in own:  # a skip connection, or the network's input, comes from DRAM
                    self.load("map", "glb_ofmap", self.bursts(moved) * times)
                elif origin not in buffered:  # written by the step before
                    self.ledger.add("glb_ofmap.write", lines(moved, line) * times)
                    buffered.add(origin)
                self.ledger.add("glb_ofmap.read", lines(moved, line) * times)
                self.epilogue_cycles += float((lines(moved, line) * times).sum())
        return buffered

    def _times(self, op: Operation) -> FloatArray:
        """Per timestep: 1, or 0 where a value that stays the same was computed before."""
        times = np.ones(self.steps)
        if self.once(op):
            times[1:] = 0.0
        return times

    def once(self, op: Operation) -> bool:
        """Whether the operation is computed at the first timestep only."""
        return self.hardware.static_input == "reuse" and is_constant(op)

    def width(self, kind: ActivationType) -> int:
        """Bits of one element of a feature map as it is stored."""
        return self.hardware.pe.accumulator_bits if kind.kind == "current" else kind.planes

    def _membranes(self) -> None:
        """Membranes (and reused static sums) stored between passes."""
        if self.workload.is_ann or self.steps == 1:
            return
        keep = np.zeros(self.steps)
        keep[self.pass_starts[:-1]] = 1.0  # within a pass they never leave the PE
        fetch = np.zeros(self.steps)
        fetch[self.pass_starts[1:]] = 1.0
        self._store(self.membrane_bits, writes=keep, reads=fetch)
        core = self.stage.core
        changes = any(not self.once(op) for op in self.stage.epilogue)
        if core is not None and len(self.passes) > self.executed and changes:
            first = np.zeros(self.steps)
            first[0] = 1.0
            sums = core.products().outputs * self.hardware.pe.accumulator_bits
            self._store(sums, writes=first, reads=1.0 - first)

    def _store(self, bits: int, writes: FloatArray, reads: FloatArray) -> None:
        if not bits:
            return
        number = lines(bits, self.memories.glb_ofmap.line_bits)
        self.ledger.add("glb_ofmap.write", writes * number)
        self.ledger.add("glb_ofmap.read", reads * number)
        if not self.residency.membranes_stay:
            self.dram("membrane_write", writes * self.bursts(bits))
            self.dram("membrane", reads * self.bursts(bits))
            self.ledger.add("glb_ofmap.read", writes * number)
            self.ledger.add("glb_ofmap.write", reads * number)

    def _write_back(self, buffered: set[str]) -> None:
        """What leaves the stage goes through the output buffer to whoever consumes it."""
        line = self.memories.glb_ofmap.line_bits
        packed = len(self.passes) < self.steps  # the spikes of all timesteps of a pass lie side by side
        for op in self.outputs:
            bits = op.out_elements * self.width(op.out_type)
            # The output of a layer that itself worked in one go is stored in one piece.
            packs = ((0, 1),) if self.once(op) else tuple(zip(self.pass_starts, self.passes, strict=True))
            for step, ticks in packs:
                number = float(lines(bits * ticks, line))
                when = np.zeros(self.steps)
                when[step] = 1.0
                each: float | FloatArray = 1.0 if packed or self.once(op) else when
                if op.name not in buffered:
                    self.ledger.add("glb_ofmap.write", number * each)
                self.ledger.add("glb_ofmap.read", number * each)
                if op.name in self.residency.maps_stay:
                    self.ledger.add("glb_ifmap.write", bits * ticks / self.memories.glb_ifmap.line_bits * each)
                else:
                    moving = self.bursts(bits * ticks)
                    self.dram("map_write", moving * each, moving * when)


class EpilogueLayer(LayerModel):
    """A stage without a weighted operation: pooling or neurons before the first one."""

    @property
    def passes(self) -> tuple[int, ...]:
        """One timestep after another."""
        return (1,) * self.steps

    def count(self) -> None:
        """Nothing."""

    def crossings(self) -> Crossings:
        """Nothing."""
        return Crossings(np.zeros(self.steps), np.zeros(self.steps), "")

    def array_cycles(self) -> FloatArray:
        """None."""
        return np.zeros(self.steps)

    def work(self) -> Work:
        """One empty segment per timestep."""
        return idle(self.steps)


def idle(steps: int) -> Work:
    """A timestep after another in which the array does nothing."""
    nothing = np.zeros(steps)
    still = np.zeros((1, steps))
    whole = np.ones(steps)
    return Work((1,) * steps, np.arange(steps), still, still, still, whole, nothing, nothing, nothing, nothing)


__all__ = ["BUFFERS", "Crossings", "EpilogueLayer", "LayerModel", "Residency", "idle"]
