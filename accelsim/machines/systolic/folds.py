"""Fold arithmetic: how a matrix product is cut into array-sized pieces, and the cycles that takes.

Names: m output positions, k receptive field, n output channels; an R x C array. With the results
leaving while the next fold enters (`drain: overlapped`), the cycles of os, ws and is equal those of
SCALE-Sim 3.0.0, count for count (its printed total is the index of the last cycle: one less).
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.workload import Gemm
from accelsim.workload.graph import ceil_div


@dataclass(frozen=True)
class Folds:
    """The folds of one matrix product (one group) on an array."""

    row_folds: int
    col_folds: int
    stream: int
    """Operands that pass through each fold: k (os), m (ws) or n (is)."""
    overhead: int
    """Cycles of each fold beyond its stream: skew, loading of the stationary operand, serial drain."""

    @property
    def number(self) -> int:
        """Folds in all."""
        return self.row_folds * self.col_folds

    @property
    def cycles(self) -> int:
        """Cycles of one pass over all folds."""
        return self.number * (self.stream + self.overhead)


def folds(gemm: Gemm, dataflow: str, rows: int, cols: int, drain: str = "overlapped") -> Folds:
    """Cut one group of `gemm`.

    os (and tick-batch, one timestep): rows take output positions, columns output channels;
    ws: rows the receptive field, columns output channels; is: rows the receptive field, columns
    output positions. With ``drain: serial`` os spends R more cycles per fold to shift its results
    out; ws and is shift theirs out with the stream in any case.
    """
    skew = rows + cols - 2
    if dataflow in ("os", "tick-batch"):
        serial = rows if drain == "serial" else 0
        return Folds(ceil_div(gemm.m, rows), ceil_div(gemm.n, cols), gemm.k, skew + serial)
    across, stream = (gemm.n, gemm.m) if dataflow == "ws" else (gemm.m, gemm.n)
    return Folds(ceil_div(gemm.k, rows), ceil_div(across, cols), stream, rows + skew)


def array_cycles(gemm: Gemm, dataflow: str, rows: int, cols: int, drain: str = "overlapped") -> int:
    """Cycles of one timestep of a matrix product, all groups, without stalls.

    os: ceil(m/R) ceil(n/C) (R + C + k - 2); ws: ceil(k/R) ceil(n/C) (2R + C + m - 2);
    is: ceil(k/R) ceil(m/C) (2R + C + n - 2).
    """
    return gemm.groups * folds(gemm, dataflow, rows, cols, drain).cycles


@dataclass(frozen=True)
class TickBatch:
    """How many timesteps a PE holds at once, and in how many passes T timesteps go."""

    depth: int
    passes: tuple[int, ...]
    """Timesteps of each pass."""
    chunk: int
    """Weights a PE holds at once."""


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
