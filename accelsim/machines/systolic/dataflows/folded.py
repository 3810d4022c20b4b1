"""Dataflows that cut a matrix product into folds of R x C, which the array works through one after another.

Names: m output positions, k receptive field, n output channels. A dataflow lays two of these dimensions on the rows
and columns of the array and streams the third. What follows from that alone is here: folds, how often operands are
read from the global buffers. With the results leaving while the next fold enters (`drain: overlapped`), the cycles of
the three classical dataflows equal those of SCALE-Sim 3.0.0, count for count (its printed total is the index of the
last cycle: one less).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from accelsim.core.types import BoolArray, FloatArray
from accelsim.machines.systolic.core import Core, FoldedCore
from accelsim.machines.systolic.cycle.streams import Streams
from accelsim.machines.systolic.dataflows.base import Dataflow
from accelsim.machines.systolic.description import SystolicFile, SystolicPe
from accelsim.machines.systolic.folds import Folds, TickBatch
from accelsim.machines.systolic.traffic import Fetches
from accelsim.machines.systolic.weights import Weights
from accelsim.workload import Gemm, Operation
from accelsim.workload.graph import ceil_div
from accelsim.workload.trace import Record

Dimension = Literal["m", "k", "n"]


@dataclass(frozen=True)
class PeCycles:
    """PE-cycles of a layer, [T] each."""

    dense: FloatArray
    """With an operand, where nothing is skipped."""
    taken: FloatArray
    """With an operand that is not skipped."""
    worked: FloatArray
    """In which the operand is accumulated."""


@dataclass(frozen=True)
class FoldShares:
    """What happens at each fold, [row folds, column folds] each; relative sizes but for `outputs`."""

    outputs: FloatArray
    """Sums of one timestep that are complete after the fold."""
    weights: FloatArray
    """Weights that come from DRAM for the fold."""
    inputs: FloatArray
    """Likewise the input."""
    parked: FloatArray
    """Partial sums that wait after the fold for another one."""
    resumed: FloatArray
    """Partial sums that the fold goes on with."""


class FoldedDataflow(Dataflow):
    """A dataflow of `accelsim.machines.systolic.array.ArrayLayer`."""

    rows: ClassVar[Dimension]
    """What lies along the rows of the array."""
    columns: ClassVar[Dimension]
    """What lies along its columns."""
    streams: ClassVar[Dimension]
    """What passes through each fold, operand after operand."""

    # -- folds and cycles ------------------------------------------------------------------------------

    def folds(self, gemm: Gemm, rows: int, cols: int, drain: str = "overlapped") -> Folds:
        """Cut one group of `gemm`: an array of `rows` x `cols`, and the machine's `drain`."""
        return Folds(
            ceil_div(getattr(gemm, self.rows), rows),
            ceil_div(getattr(gemm, self.columns), cols),
            getattr(gemm, self.streams),
            self.overhead(rows, cols, drain),
        )

    def cycles(self, gemm: Gemm, rows: int, cols: int, drain: str = "overlapped") -> int:
        """Cycles of one timestep of a matrix product, all groups, without stalls."""
        return gemm.groups * self.folds(gemm, rows, cols, drain).cycles

    @abstractmethod
    def overhead(self, rows: int, cols: int, drain: str) -> int:
        """Cycles of each fold beyond its stream: skew, loading of the stationary operand, serial drain."""

    def batch(self, file: SystolicFile, op: Operation, timesteps: int, weight_bits: int) -> TickBatch | None:
        """The timesteps that PEs work through together; None: one after another."""
        return None

    @abstractmethod
    def expected(self, folded: FoldedCore, spikes: FloatArray | None, weights: float | None) -> Streams:
        """Cycles where zeros are skipped, from densities.

        Args:
            folded: the operation.
            spikes: share of ones at each timestep; None: not skipped.
            weights: share of the weights that are not zero; None: not skipped.
        """

    @abstractmethod
    def traced(
        self, folded: FoldedCore, record: Record, image: int, skip_spikes: bool, mask: BoolArray | None
    ) -> Streams:
        """The same from one image of a trace; `mask` [groups, k, n]: weights that are not zero (None: not skipped)."""

    def last_sums(self, folded: FoldedCore) -> FloatArray | None:
        """[column folds]: sums that come with the last row fold of each and only then; None: they come fold by fold."""
        return None

    # -- traffic -----------------------------------------------------------------------------------------

    @abstractmethod
    def fetches(self, folded: FoldedCore, weights: Weights, input_bits: int) -> Fetches:
        """Loop nest of the buffers: crossings from DRAM in one pass, whose inputs have `input_bits` per element.

        Groups follow one another, so the operands of one group are what has to fit.
        """

    def sweeps(self, folds: Folds) -> tuple[int, int]:
        """How often weights, and inputs, are read from their global buffers: once per fold of what they lack."""
        by_dimension = {self.rows: folds.row_folds, self.columns: folds.col_folds, self.streams: 1}
        return by_dimension["m"], by_dimension["n"]

    @abstractmethod
    def window_lines(self, folded: FoldedCore, bits: int, line_bits: int) -> int:
        """Lines of the input buffer that a window touches in one sweep, at `bits` per element."""

    @abstractmethod
    def shares(self, folded: FoldedCore, plan: Fetches) -> FoldShares:
        """What each fold is the first to use and completes."""

    def parked(self, folded: FoldedCore) -> tuple[int, int] | None:
        """Partial sums that wait between row folds: (at a time for each column, columns); None: there are none."""
        return None

    # -- actions of the PEs --------------------------------------------------------------------------------

    @abstractmethod
    def moves(self, core: Core, pe: SystolicPe, cycles: PeCycles) -> Iterator[tuple[str, FloatArray | float]]:
        """Actions beside the arithmetic: what is handed on from PE to PE, scratchpads."""

    def loading(self, folded: FoldedCore) -> FloatArray | None:
        """[T] bits handed on from row to row until what stands in all folds is in place; None: nothing stands."""
        return None
