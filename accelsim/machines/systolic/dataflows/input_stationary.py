"""Input-stationary: the inputs of a fold stand in the array while all output channels pass."""

from __future__ import annotations

from accelsim.machines.systolic.dataflows.stationary import OperandStationary
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.folds import Folds
from accelsim.machines.systolic.traffic import Fetches
from accelsim.machines.systolic.weights import Weights
from accelsim.workload import Operation


class InputStationary(OperandStationary):
    """Columns take output positions; ceil(k/R) ceil(m/C) (2R + C + n - 2) cycles."""

    columns, streams = "m", "n"

    def fetches(self, op: Operation, folds: Folds, file: SystolicFile, weights: Weights, input_bits: int) -> Fetches:
        """The input crosses once by construction; weights once if they fit."""
        fits = weights.stored_bits(op.products().n) <= file.memories.glb_weight.working_bits
        return Fetches(1 if fits else folds.col_folds, 1, "columns", "output positions outside, receptive field inside")
