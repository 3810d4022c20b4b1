"""One layer on a machine with global buffers and LIF units: everything that does not depend on the kind of array.

`SystolicLayer` counts DRAM traffic and what follows the weighted operation (`Epilogue`). What a kind of array does with
the weighted operation is the part of a subclass (`accelsim.machines.systolic.array.ArrayLayer` where the dataflow cuts
it into folds), which says: `count` (its actions), `crossings` (traffic of the operands), `array_cycles` (closed form)
and `work` (the same piece by piece, for `--fidelity cycle`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from accelsim.core import timesteps as steps
from accelsim.core.types import FloatArray
from accelsim.ledger.counts import LayerLedger
from accelsim.machines.systolic.cycle.plan import BUFFERS, ArrayWork
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.epilogue import Epilogue, epilogue_of
from accelsim.machines.systolic.tally import LayerTally, Lines
from accelsim.workload import Operation, Stage, Workload
from accelsim.workload.graph import ceil_div
from accelsim.workload.outputs import is_constant


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

    weights: Sequence[float]
    inputs: Sequence[float]
    order: str
    """Buffer-level loop order in words."""


class SystolicLayer(LayerTally, ABC):
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
        self.steps = workload.timesteps
        self.memories = hardware.memories
        super().__init__(LayerLedger(stage.name, stage.kind, self.steps), Lines.of(self.memories))
        self.workload, self.hardware, self.stage, self.residency = workload, hardware, stage, residency
        self.outputs = outputs
        self.from_trace = from_trace
        """Whether the spikes themselves are looked at, where there are any; else their mean densities."""
        self.order = ""
        self.useful_cycles = 0.0
        """Cycles that the array would need if every PE were always busy."""
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
    def work(self) -> ArrayWork:
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
        stay = len(self.passes) > 1 and self.residency.membranes_stay
        kept = float(self.epilogue.membrane_bits) if stay else 0.0
        return {"membrane": kept, "membrane_write": 0.0} if kept else {}

    def lif_bound(self, array: FloatArray, lif: float) -> float:
        """Cycles until the LIF units are through, which need `lif` of their own; the array starts at 0.

        Sums wait for the units in the output buffer, so units that are fast enough on the whole never
        stop the array.
        """
        if self.hardware.schedule == "step-by-step":
            return float(np.maximum(array, lif / self.steps).sum())
        return max(float(array.sum()), lif)

    # -- all counts -----------------------------------------------------------------------------------

    def fill(self) -> SystolicLayer:
        """All counts of the stage."""
        core = self.stage.core
        if core:
            self.count()
            self._fetch()
        self.merge(self.epilogue)
        self.lif_cycles = self.cycles_of_units()
        return self

    @cached_property
    def epilogue(self) -> Epilogue:
        """What follows the weighted operation; the same whatever the array is, so that designs share it."""
        hardware = self.hardware
        return epilogue_of(
            self.workload,
            self.stage,
            self.line_bits,
            sum_bits=hardware.pe.accumulator_bits,
            membrane_sharing=hardware.lif.membrane_sharing,
            reuses_static=hardware.static_input == "reuse",
            passes=self.passes,
            membranes_stay=self.residency.membranes_stay,
            maps_stay=self.residency.maps_stay,
            # Asked for by gains of each timestep's own.
            units_of_channel=max(1, hardware.lif_units // hardware.array.cols)
            if self.stage.of_kind("time_affine")
            else 0,
        )

    @property
    def epilogue_cycles(self) -> float:
        """Cycles that pooling and residual adds need, one line of the output buffer after another."""
        return self.epilogue.cycles

    def cycles_of_units(self) -> float:
        """Cycles that the LIF units need for all timesteps."""
        return self.steps * ceil_div(self.epilogue.turns, self.hardware.lif_units)

    @property
    def updates(self) -> int:
        """Neurons of the stage."""
        return 0 if self.workload.is_ann else sum(op.out_elements for op in self.stage.of_kind("neuron"))

    def once(self, op: Operation) -> bool:
        """Whether the operation is computed at the first timestep only."""
        return self.hardware.static_input == "reuse" and is_constant(op)

    @cached_property
    def pass_starts(self) -> tuple[int, ...]:
        """First timestep of each pass."""
        return steps.starts(self.passes)

    def record_operations(self, core: Operation) -> None:
        """What the layer computes, however the array does it: accumulations by spikes, products of analog inputs."""
        macs, kind = core.products().macs, core.in_types[0]
        accumulations = self.workload.activity[core.name].mean_accumulations[: self.executed]
        self.ledger.dense_macs = macs
        if kind.is_spiking:
            self.ledger.accumulations = float(np.add.reduce(accumulations))
        elif kind.spikes_later:
            self.ledger.macs, self.ledger.accumulations = float(macs), float(np.add.reduce(accumulations[1:]))
        else:
            self.ledger.macs = float(macs * self.executed)

    def _fetch(self) -> None:
        """DRAM to buffers."""
        crossings = self.crossings()
        self.order = crossings.order
        for column, buffer, bits in (
            ("weight", self.operand_buffer, crossings.weights),
            ("ifmap", "glb_ifmap", crossings.inputs),
        ):
            if len(bits) == 1:
                when = steps.marks(self.steps, (0,)) * bits[0]
            else:
                when = np.zeros(self.steps)
                when[list(self.pass_starts[: len(bits)])] = bits
            # Weights, and what serves several timesteps at once, belong to all of them.
            own = column == "ifmap" and len(self.passes) == self.steps
            self.load(column, buffer, when if own else float(sum(bits)), when)


class EpilogueLayer(SystolicLayer):
    """A stage without a weighted operation: pooling or neurons before the first one."""

    @property
    def passes(self) -> tuple[int, ...]:
        """One timestep after another."""
        return (1,) * self.steps

    def count(self) -> None:
        """Nothing."""

    def crossings(self) -> Crossings:
        """Nothing."""
        return Crossings((0.0,), (0.0,), "")

    def array_cycles(self) -> FloatArray:
        """None."""
        return np.zeros(self.steps)

    def work(self) -> ArrayWork:
        """One empty segment per timestep."""
        return idle(self.steps)


def idle(steps: int) -> ArrayWork:
    """A timestep after another in which the array does nothing."""
    nothing = np.zeros(steps)
    still = np.zeros((1, steps))
    whole = np.ones(steps)
    return ArrayWork((1,) * steps, np.arange(steps), still, still, still, whole, nothing, nothing, nothing, nothing)


__all__ = ["BUFFERS", "Crossings", "EpilogueLayer", "Residency", "SystolicLayer", "idle"]
