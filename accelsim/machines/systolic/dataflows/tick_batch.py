"""Tick batching (SATA): output-stationary, weights stay in the PEs for all timesteps that these hold at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from accelsim.core.types import FloatArray
from accelsim.machines.systolic.core import Core
from accelsim.machines.systolic.dataflows.folded import PeCycles
from accelsim.machines.systolic.dataflows.output_stationary import OutputStationary
from accelsim.machines.systolic.description import SPADS, SystolicFile, SystolicPe
from accelsim.machines.systolic.folds import TickBatch
from accelsim.workload import Operation
from accelsim.workload.graph import ceil_div


class TickBatching(OutputStationary):
    """Output-stationary over several timesteps; spikes, weights and sums of each PE lie in its scratchpads."""

    keeps_reused_sums = True

    def complaint(self, file: SystolicFile) -> str | None:
        """It needs scratchpads, and all timesteps of a layer at once."""
        if file.schedule == "step-by-step":
            return (
                "works through all timesteps of a layer before the next layer; it needs "
                "schedule 'layer-by-layer' (or take dataflow os, ws or is with 'step-by-step')"
            )
        empty = [name for name in SPADS if getattr(file.memories, name).size_bytes == 0]
        return f"needs scratchpads; memories.{empty[0]}.size_bytes is 0" if empty else None

    def stopping(self) -> tuple[Mapping[str, Any], str]:
        """Timesteps one after another: output-stationary."""
        return {"dataflow": "os"}, "dataflow os (tick batching given up)"

    def batch(self, file: SystolicFile, op: Operation, timesteps: int, weight_bits: int) -> TickBatch | None:
        """As many timesteps as the scratchpads hold; both operands of an attention product change at each."""
        if op.kind == "matmul":
            return None
        sizes = (getattr(file.memories, name).size_bytes for name in SPADS)
        spike_bits, held_bits, sum_bits = (8 * size for size in sizes)
        return tick_batch(
            timesteps=timesteps,
            k=op.products().k,
            planes=op.in_types[0].planes,
            weight_bits=weight_bits,
            psum_bits=file.pe.psum_bits,
            spad_bits=(spike_bits, held_bits, sum_bits),
        )

    def moves(self, core: Core, pe: SystolicPe, cycles: PeCycles) -> Iterator[tuple[str, FloatArray | float]]:
        """Each PE takes each weight once per pass; the running sum is parked between chunks of weights."""
        if core.ticks is None:
            yield from super().moves(core, pe, cycles)
            return
        hop = core.bits_in_time / core.serial_in_time
        loads = float(core.gemm.macs * len(core.worked_passes))
        chunks = ceil_div(core.gemm.k, core.ticks.chunk) / core.gemm.k
        yield "pe.forward_bits", cycles.taken * hop
        yield "pe.forward_bits", loads * core.weight_bits
        yield "spad_weight.write_bits", loads * core.weight_bits
        yield "spad_weight.read_bits", cycles.worked * core.weight_bits
        # Zeros are found in the scratchpad: it is written and read in full.
        yield "spad_spike.write_bits", cycles.dense * hop
        yield "spad_spike.read_bits", cycles.dense * hop
        # The running sum stays in the accumulator within a chunk (all bit-planes) and is parked between chunks.
        parked = cycles.dense / core.serial_in_time * chunks * pe.psum_bits
        yield "spad_psum.write_bits", parked
        yield "spad_psum.read_bits", parked


def tick_batch(
    *, timesteps: int, k: int, planes: int, weight_bits: int, psum_bits: int, spad_bits: tuple[int, int, int]
) -> TickBatch:
    """Depth allowed by the scratchpads (spike, weight, partial sum; in bits).

    SATA: 72 bits of weights = a 3x3 window of 8-bit weights, 72 bits of spikes = that window for 8
    timesteps, 64 bits of partial sums = 8 timesteps of 8 bits. A scratchpad too small for what is
    asked cuts the window first, then the depth; at the least one weight and one timestep are held.
    """
    spike_bits, weight_bits_held, psum_bits_held = spad_bits
    chunk = max(1, min(k, weight_bits_held // weight_bits, spike_bits // planes))
    depth = max(1, min(timesteps, psum_bits_held // psum_bits, spike_bits // (chunk * planes)))
    full, rest = divmod(timesteps, depth)
    return TickBatch(depth, (depth,) * full + ((rest,) if rest else ()), chunk)
