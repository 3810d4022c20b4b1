"""Output-stationary: every PE keeps the sum of one output while the receptive field streams past it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from accelsim.core.types import BoolArray, FloatArray
from accelsim.machines.systolic.array import ArrayLayer
from accelsim.machines.systolic.core import Core, FoldedCore
from accelsim.machines.systolic.cycle.streams import Streams, expected_by_output, sizes, traced_by_output
from accelsim.machines.systolic.dataflows.folded import FoldedDataflow, FoldShares, PeCycles
from accelsim.machines.systolic.description import SystolicPe
from accelsim.machines.systolic.layer import SystolicLayer
from accelsim.machines.systolic.traffic import Fetches, band_bits, dram_fetches, window_lines
from accelsim.machines.systolic.weights import Weights
from accelsim.workload.trace import Record


class OutputStationary(FoldedDataflow):
    """Rows take output positions, columns output channels; ceil(m/R) ceil(n/C) (R + C + k - 2) cycles."""

    rows, columns, streams = "m", "n", "k"

    def layer_model(self) -> type[SystolicLayer]:
        """The common one."""
        return ArrayLayer

    def overhead(self, rows: int, cols: int, drain: str) -> int:
        """Skew; with ``drain: serial`` R more to shift the results out."""
        return rows + cols - 2 + (rows if drain == "serial" else 0)

    def expected(self, folded: FoldedCore, spikes: FloatArray | None, weights: float | None) -> Streams:
        """The slowest PE of each fold or timestep is the maximum of binomial numbers."""
        return expected_by_output(folded, spikes, weights)

    def traced(
        self, folded: FoldedCore, record: Record, image: int, skip_spikes: bool, mask: BoolArray | None
    ) -> Streams:
        """Each PE works through what its output needs; the slowest sets the pace."""
        return traced_by_output(folded, record, image, skip_spikes, mask)

    def fetches(self, folded: FoldedCore, weights: Weights, input_bits: int) -> Fetches:
        """Either loop may be the outer one, in blocks where the buffers have room: the one with least traffic."""
        op, gemm, memories = folded.core.op, folded.gemm, folded.file.memories
        rows, cols = folded.rows, folded.cols
        return dram_fetches(
            folded.folds,
            weight_bits=weights.stored_bits(gemm.n),
            weight_tile_bits=weights.stored_bits(min(cols, gemm.n)),
            weight_capacity=memories.glb_weight.working_bits,
            input_bits=op.in_elements // gemm.groups * input_bits,
            input_band_bits=band_bits(op, rows, input_bits),
            input_capacity=memories.glb_ifmap.working_bits,
            block_bits=(
                lambda block: weights.stored_bits(min(block * cols, gemm.n)),
                lambda block: band_bits(op, block * rows, input_bits),
            ),
        )

    def window_lines(self, folded: FoldedCore, bits: int, line_bits: int) -> int:
        """A window is read in one go."""
        return window_lines(folded.core.op, bits, line_bits)

    def shares(self, folded: FoldedCore, plan: Fetches) -> FoldShares:
        """Every fold completes its outputs."""
        folds, along, across = folded.folds, sizes(folded.gemm.m, folded.rows), sizes(folded.gemm.n, folded.cols)
        weights, inputs = plan.first_uses(folds.row_folds, folds.col_folds)
        nothing = np.zeros((folds.row_folds, folds.col_folds))
        return FoldShares(np.outer(along, across), np.outer(weights, across), np.outer(along, inputs), nothing, nothing)

    def moves(self, core: Core, pe: SystolicPe, cycles: PeCycles) -> Iterator[tuple[str, FloatArray | float]]:
        """Inputs go along the rows, weights along the columns; a weight waits for all bit-planes of its input."""
        bits = cycles.taken * (core.bits_in_time / core.serial_in_time)
        yield "pe.forward_bits", bits + cycles.dense / core.serial_in_time * core.weight_bits
