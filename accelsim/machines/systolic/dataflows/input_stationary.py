"""Input-stationary: the inputs of a fold stand in the array while all output channels pass."""

from __future__ import annotations

from accelsim.machines.systolic.core import FoldedCore
from accelsim.machines.systolic.dataflows.stationary import OperandStationary
from accelsim.machines.systolic.traffic import Fetches
from accelsim.machines.systolic.weights import Weights


class InputStationary(OperandStationary):
    """Columns take output positions; ceil(k/R) ceil(m/C) (2R + C + n - 2) cycles."""

    columns, streams = "m", "n"

    def fetches(self, folded: FoldedCore, weights: Weights, input_bits: int) -> Fetches:
        """The input crosses once by construction; weights once if they fit."""
        fits = weights.stored_bits(folded.gemm.n) <= folded.file.memories.glb_weight.working_bits
        times = 1 if fits else folded.folds.col_folds
        return Fetches(times, 1, "columns", "output positions outside, receptive field inside")
