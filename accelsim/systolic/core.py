"""The weighted operation of a layer as the array executes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from accelsim.hardware.systolic import SystolicFile
from accelsim.systolic.folds import Folds, TickBatch, folds, tick_batch
from accelsim.workload import OpActivity, Operation, Workload
from accelsim.workload.graph import ceil_div
from accelsim.workload.outputs import is_constant

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Core:
    """The weighted operation of a stage as this array executes it."""

    op: Operation
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
    executions: FloatArray
    """Per timestep: 1, or 0 where a static input's sums are reused."""
    ticks: TickBatch | None

    @property
    def is_dynamic(self) -> bool:
        """Both operands are activations: nothing is stationary beyond a timestep."""
        return self.op.kind == "matmul"

    @property
    def passes(self) -> float:
        """Times the weights go through the array in the whole inference."""
        return len(self.ticks.passes) if self.ticks else float(self.executions.sum())


def core_of(workload: Workload, hardware: SystolicFile, op: Operation) -> Core:
    """How the array executes a weighted operation."""
    kind = op.in_types[0]
    gemm = op.products()
    serial = ceil_div(kind.planes, hardware.pe.multiplier_bits or 1)
    weight_bits = op.in_types[1].planes if op.kind == "matmul" else workload.precision.weight_bits
    executions = np.ones(workload.timesteps)
    tick_batching = hardware.dataflow == "tick-batch" and op.kind != "matmul"
    reuses = hardware.static_input == "reuse" and is_constant(op)
    if reuses:
        executions[1:] = 0.0
    ticks = None
    if tick_batching:
        spads = hardware.memories
        ticks = tick_batch(
            timesteps=1 if reuses else workload.timesteps,
            k=gemm.k,
            planes=kind.planes,
            weight_bits=weight_bits,
            psum_bits=hardware.pe.psum_bits,
            spad_bits=(
                8 * spads.spad_spike.size_bytes,
                8 * spads.spad_weight.size_bytes,
                8 * spads.spad_psum.size_bytes,
            ),
        )
    return Core(
        op=op,
        activity=workload.activity[op.name],
        folds=folds(gemm, hardware.dataflow, hardware.array.rows, hardware.array.cols, hardware.drain),
        serial=serial,
        operand_bits=kind.planes,
        weight_bits=weight_bits,
        serial_in_time=np.ceil(kind.planes_in_time(workload.timesteps) / (hardware.pe.multiplier_bits or 1)),
        bits_in_time=kind.planes_in_time(workload.timesteps),
        executions=executions,
        ticks=ticks,
    )
