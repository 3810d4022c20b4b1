"""Weight-stationary: the weights of a fold stand in the array while all output positions pass."""

from __future__ import annotations

from accelsim.machines.systolic.core import FoldedCore
from accelsim.machines.systolic.dataflows.stationary import OperandStationary
from accelsim.machines.systolic.traffic import Fetches
from accelsim.machines.systolic.weights import Weights


class WeightStationary(OperandStationary):
    """Columns take output channels; ceil(k/R) ceil(n/C) (2R + C + m - 2) cycles."""

    columns, streams = "n", "m"

    def fetches(self, folded: FoldedCore, weights: Weights, input_bits: int) -> Fetches:
        """Weights cross once by construction; the input once if it fits."""
        inputs = folded.core.op.in_elements // folded.gemm.groups * input_bits
        times = 1 if inputs <= folded.file.memories.glb_ifmap.working_bits else folded.folds.col_folds
        return Fetches(1, times, "columns", "output channels outside, receptive field inside")
