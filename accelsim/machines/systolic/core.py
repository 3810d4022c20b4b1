"""The weighted operation of a layer as the array executes it, whatever the shape of the array."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from accelsim.core import timesteps as steps
from accelsim.core.types import FloatArray
from accelsim.machines.systolic.description import SystolicFile, SystolicPe
from accelsim.machines.systolic.folds import Folds, TickBatch
from accelsim.workload import Gemm, OpActivity, Operation
from accelsim.workload.graph import ceil_div


@dataclass(frozen=True, eq=False)
class Core:
    """The weighted operation of a stage as arrays of these PEs execute it."""

    op: Operation
    activity: OpActivity
    serial: int
    """Cycles per operand: bit-planes, or as many of them as the multiplier takes at once, one after another."""
    operand_bits: int
    weight_bits: int
    serial_in_time: FloatArray
    """[T] the same at each timestep: less where spikes follow an analog frame."""
    bits_in_time: FloatArray
    """[T] bits of an operand at each timestep."""
    executed: int
    """Timesteps in which the array works, the first ones: 1 where a static input's sums are reused."""
    executions: FloatArray
    """[T] 1 where the array works, or 0."""
    ticks: TickBatch | None
    multiplies: bool
    """PEs multiply; else they add, one bit-plane after another."""

    @cached_property
    def gemm(self) -> Gemm:
        """The operation as matrix products."""
        return self.op.products()

    @property
    def is_dynamic(self) -> bool:
        """Both operands are activations: nothing is stationary beyond a timestep."""
        return self.op.kind == "matmul"

    @property
    def dense_cycles(self) -> FloatArray:
        """[T] PE-cycles with an operand where nothing is skipped."""
        return self.gemm.macs * self.serial_in_time * self.executions

    @property
    def busy(self) -> FloatArray:
        """[T] PE-cycles in which there is something to add, mean over images."""
        cycles = self.serial_in_time[:, None]
        busy = self.activity.effective_macs * cycles if self.multiplies else self.activity.accumulations
        # Two multi-bit activations have more pairs of set bits than cycles, each of which takes a whole word.
        found: FloatArray = np.minimum(busy, self.gemm.macs * cycles).mean(axis=1)
        return found

    @property
    def worked_passes(self) -> tuple[int, ...]:
        """Timesteps that the array works through in each pass over the operands; a reused static input: one."""
        return self.ticks.passes if self.ticks else (1,) * self.executed

    def by_bits(self, quantity: Callable[[int], float]) -> FloatArray:
        """[T]: what follows from an operand's bits at each timestep."""
        first = quantity(self.operand_bits)
        if not self.op.in_types[0].spikes_later:
            return steps.ones(len(self.bits_in_time)) * first
        found = np.full(len(self.bits_in_time), float(quantity(1)))
        found[0] = first
        return found

    def pass_bits(self, passes: tuple[int, ...]) -> list[int]:
        """Bits of one input element in all timesteps of each pass over so many of them."""
        if not self.op.in_types[0].spikes_later:
            return [ticks * self.operand_bits for ticks in passes]
        return [self.operand_bits - 1 + passes[0], *passes[1:]]


@dataclass(frozen=True, eq=False)
class FoldedCore:
    """The operation cut into folds on the array of one machine."""

    core: Core
    folds: Folds
    file: SystolicFile

    @property
    def gemm(self) -> Gemm:
        """The operation as matrix products."""
        return self.core.gemm

    @property
    def rows(self) -> int:
        """Rows R of the array."""
        return self.file.array.rows

    @property
    def cols(self) -> int:
        """Columns C of the array."""
        return self.file.array.cols


@lru_cache(maxsize=1024)  # the designs of a sweep share it
def core_of(
    op: Operation, activity: OpActivity, weight_bits: int, pe: SystolicPe, executed: int, ticks: TickBatch | None
) -> Core:
    """How the array executes a weighted operation.

    Args:
        op: the operation.
        activity: of its input, at all timesteps T.
        weight_bits: of an element of the second operand.
        pe: the processing element.
        executed: timesteps in which the array works, the first ones.
        ticks: the timesteps that are worked through together, where some are.
    """
    kind, timesteps = op.in_types[0], activity.timesteps
    serial = ceil_div(kind.planes, pe.multiplier_bits or 1)
    return Core(
        op=op,
        activity=activity,
        serial=serial,
        operand_bits=kind.planes,
        weight_bits=weight_bits,
        serial_in_time=steps.first_and_later(timesteps, float(serial), 1.0 if kind.spikes_later else float(serial)),
        bits_in_time=kind.planes_in_time(timesteps),
        executed=executed,
        executions=steps.first_and_later(timesteps, 1.0, 0.0 if executed < timesteps else 1.0),
        ticks=ticks,
        multiplies=bool(pe.multiplier_bits),
    )
