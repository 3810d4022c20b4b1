"""Weight-stationary: the weights of a fold stand in the array while all output positions pass."""

from __future__ import annotations

from accelsim.machines.systolic.dataflows.stationary import OperandStationary
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.folds import Folds
from accelsim.machines.systolic.traffic import Fetches
from accelsim.machines.systolic.weights import Weights
from accelsim.workload import Operation


class WeightStationary(OperandStationary):
    """Columns take output channels; ceil(k/R) ceil(n/C) (2R + C + m - 2) cycles."""

    columns, streams = "n", "m"

    def fetches(self, op: Operation, folds: Folds, file: SystolicFile, weights: Weights, input_bits: int) -> Fetches:
        """Weights cross once by construction; the input once if it fits."""
        inputs = op.in_elements // op.products().groups * input_bits
        times = 1 if inputs <= file.memories.glb_ifmap.working_bits else folds.col_folds
        return Fetches(1, times, "columns", "output channels outside, receptive field inside")
