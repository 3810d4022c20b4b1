"""What weight- and input-stationary share: one operand stands in the array, the other streams, sums move down."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from accelsim.core.types import BoolArray, FloatArray
from accelsim.machines.systolic.array import ArrayLayer
from accelsim.machines.systolic.core import Core, FoldedCore
from accelsim.machines.systolic.cycle.streams import Streams, expected_by_row, sizes, traced_by_row
from accelsim.machines.systolic.dataflows.folded import FoldedDataflow, FoldShares, PeCycles
from accelsim.machines.systolic.description import SystolicFile, SystolicPe
from accelsim.machines.systolic.layer import SystolicLayer
from accelsim.machines.systolic.traffic import Fetches, fetched, folded_window_lines
from accelsim.workload import Workload
from accelsim.workload.trace import Record


class OperandStationary(FoldedDataflow):
    """Rows take the receptive field; a column's sum passes through all of its PEs.

    All positions of a fold pass before the next fold, so the sums of all but the last fold along k wait outside.
    """

    rows = "k"

    def layer_model(self) -> type[SystolicLayer]:
        """The common one."""
        return ArrayLayer

    @property
    def weights_stand(self) -> bool:
        """The weights stand in the array; else the inputs do."""
        return self.streams == "m"

    def remarks(self, workload: Workload, file: SystolicFile) -> list[str]:
        """Keys that make no difference."""
        found = []
        if file.drain == "serial":
            found.append(f"drain: serial makes no difference to {file.dataflow}, whose results leave with the stream")
        if file.sparsity.spikes == "skip" and file.sparsity.sync == "timestep":
            found.append(
                f"sync: timestep makes no difference to {file.dataflow}, where a sum passes through all PEs of a column"
            )
        return found

    def overhead(self, rows: int, cols: int, drain: str) -> int:
        """R to load what stands, and the skew; results leave with the stream in any case."""
        return rows + rows + cols - 2

    def expected(self, folded: FoldedCore, spikes: FloatArray | None, weights: float | None) -> Streams:
        """Rows without work for any column are left out, as are streaming operands without work in any row."""
        return expected_by_row(folded, spikes, weights, self.weights_stand)

    def traced(
        self, folded: FoldedCore, record: Record, image: int, skip_spikes: bool, mask: BoolArray | None
    ) -> Streams:
        """The same, spike by spike."""
        return traced_by_row(folded, record, image, skip_spikes, mask, self.weights_stand)

    def across(self, folded: FoldedCore) -> int:
        """Columns of all column folds."""
        columns: int = getattr(folded.gemm, self.columns)
        return columns

    def last_sums(self, folded: FoldedCore) -> FloatArray | None:
        """A column fold's sums are complete in its last fold along k."""
        return sizes(self.across(folded), folded.cols)

    def window_lines(self, folded: FoldedCore, bits: int, line_bits: int) -> int:
        """A window is cut into the pieces of the row folds."""
        return folded_window_lines(folded.core.op, bits, line_bits, folded.rows)

    def shares(self, folded: FoldedCore, plan: Fetches) -> FoldShares:
        """What stands is used in one fold only, what streams in all column folds; the last row fold completes sums."""
        folds, along, across = folded.folds, sizes(folded.gemm.k, folded.rows), sizes(self.across(folded), folded.cols)
        row = np.arange(folds.row_folds)
        last = row == folds.row_folds - 1
        times = plan.inputs if self.weights_stand else plan.weights
        standing, streaming = np.outer(along, across), np.outer(along, fetched(folds.col_folds, times))
        weights, inputs = (standing, streaming) if self.weights_stand else (streaming, standing)
        outputs = np.outer(last, across * folds.stream)
        return FoldShares(outputs, weights, inputs, np.outer(~last, across), np.outer(row > 0, across))

    def parked(self, folded: FoldedCore) -> tuple[int, int] | None:
        """The sums of all that streams, for every column."""
        return None if folded.folds.row_folds == 1 else (folded.folds.stream, self.across(folded))

    def moves(self, core: Core, pe: SystolicPe, cycles: PeCycles) -> Iterator[tuple[str, FloatArray | float]]:
        """What streams goes along the rows, sums along the columns."""
        if self.weights_stand:
            yield "pe.forward_bits", cycles.taken * (core.bits_in_time / core.serial_in_time)
        else:
            yield "pe.forward_bits", cycles.taken / core.serial_in_time * core.weight_bits
        # The sum moves on from PE to PE; where it changes, its register is part of the accumulation. What does
        # not enter the array takes no sum along.
        idle = (cycles.taken - cycles.worked) / core.serial_in_time
        yield "pe.forward_bits", idle * pe.accumulator_bits

    def loading(self, folded: FoldedCore) -> FloatArray | None:
        """What stands enters at the top: what belongs to row r passes r + 1 registers."""
        core, gemm, rows = folded.core, folded.gemm, folded.rows
        full, rest = divmod(gemm.k, rows)
        moved = gemm.groups * self.across(folded)
        moved *= full * rows * (rows + 1) // 2 + rest * (rest + 1) // 2
        return moved * (core.weight_bits if self.weights_stand else core.bits_in_time) * core.executions
