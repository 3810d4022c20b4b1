"""The weighted operation of a layer as the array executes it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from accelsim.core import timesteps as steps
from accelsim.core.timesteps import FloatArray
from accelsim.machines.systolic.description import PeSpec, SystolicFile
from accelsim.machines.systolic.folds import Folds, TickBatch, folds, tick_batch
from accelsim.workload import Gemm, OpActivity, Operation, Workload
from accelsim.workload.graph import ceil_div
from accelsim.workload.outputs import is_constant


@dataclass(frozen=True)
class Core:
    """The weighted operation of a stage as this array executes it."""

    identity: Hashable
    """What besides the network and `folds` decides all of this."""
    op: Operation
    gemm: Gemm
    activity: OpActivity
    folds: Folds
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

    @property
    def is_dynamic(self) -> bool:
        """Both operands are activations: nothing is stationary beyond a timestep."""
        return self.op.kind == "matmul"

    @property
    def busy(self) -> FloatArray:
        """[T] PE-cycles in which there is something to add, mean over images."""
        return _busy(self.activity, self.gemm.macs, self.multiplies, *self.serial_in_time[[0, -1]].tolist())

    @property
    def passes(self) -> int:
        """Times the weights go through the array in the whole inference."""
        return len(self.ticks.passes) if self.ticks else self.executed

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


def core_of(workload: Workload, hardware: SystolicFile, op: Operation) -> Core:
    """How the array executes a weighted operation."""
    gemm, pe, spads = op.products(), hardware.pe, hardware.memories
    reuses = hardware.static_input == "reuse" and is_constant(op)
    spad_bits = None
    if hardware.dataflow == "tick-batch" and op.kind != "matmul":
        sizes = spads.spad_spike.size_bytes, spads.spad_weight.size_bytes, spads.spad_psum.size_bytes
        spad_bits = (8 * sizes[0], 8 * sizes[1], 8 * sizes[2])
    identity = ("core", op.name, pe.multiplier_bits, pe.psum_bits, reuses, spad_bits)
    kept = workload.derived(identity, lambda: _timing(workload, op, pe, reuses, spad_bits))
    cut = folds(gemm, hardware.dataflow, hardware.array.rows, hardware.array.cols, hardware.drain)
    return Core(identity=identity, op=op, gemm=gemm, folds=cut, **kept)


def _timing(
    workload: Workload, op: Operation, pe: PeSpec, reuses: bool, spad_bits: tuple[int, int, int] | None
) -> dict[str, Any]:
    """Fields of a `Core` that do not depend on the array; `spad_bits` where timesteps are batched."""
    kind, timesteps = op.in_types[0], workload.timesteps
    weight_bits = op.in_types[1].planes if op.kind == "matmul" else workload.precision.weight_bits
    serial = ceil_div(kind.planes, pe.multiplier_bits or 1)
    executed = 1 if reuses else timesteps
    ticks = None
    if spad_bits is not None:
        ticks = tick_batch(
            timesteps=executed,
            k=op.products().k,
            planes=kind.planes,
            weight_bits=weight_bits,
            psum_bits=pe.psum_bits,
            spad_bits=spad_bits,
        )
    return {
        "activity": workload.activity[op.name],
        "serial": serial,
        "operand_bits": kind.planes,
        "weight_bits": weight_bits,
        "serial_in_time": steps.first_and_later(timesteps, float(serial), 1.0 if kind.spikes_later else float(serial)),
        "bits_in_time": kind.planes_in_time(timesteps),
        "executed": executed,
        "executions": steps.first_and_later(timesteps, 1.0, 0.0 if reuses else 1.0),
        "ticks": ticks,
        "multiplies": bool(pe.multiplier_bits),
    }


@lru_cache(maxsize=1024)  # the designs of a sweep share it
def _busy(activity: OpActivity, macs: int, multiplies: bool, first: float, later: float) -> FloatArray:
    cycles = steps.first_and_later(activity.timesteps, first, later)[:, None]
    busy = activity.effective_macs * cycles if multiplies else activity.accumulations
    # Two multi-bit activations have more pairs of set bits than cycles, each of which takes a whole word.
    found: FloatArray = np.minimum(busy, macs * cycles).mean(axis=1)
    found.setflags(write=False)
    return found
