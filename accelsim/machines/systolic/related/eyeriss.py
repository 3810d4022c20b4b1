"""The dense array that spiking accelerators are compared with, after Eyeriss (Chen et al., ISCA 2016)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from accelsim.core.types import FloatArray
from accelsim.machines.systolic.array import ArrayLayer
from accelsim.machines.systolic.cycle.plan import ArrayWork
from accelsim.machines.systolic.related import cycles
from accelsim.machines.systolic.related.layer import evenly, handing_over
from accelsim.machines.systolic.related.sections import EyerissSpec


class EyerissLayer(ArrayLayer):
    """Rows take the receptive field, columns output channels; every input is worked on, spike or not.

    Buffers, registers and DRAM see a weight-stationary array; its folds follow one another without
    gaps, so cycles are those of the work divided by the PEs, as the public Prosperity simulator has it.
    """

    @property
    def _published_rounding(self) -> bool:
        return self.hardware.section(EyerissSpec).published_rounding

    def array_cycles(self) -> FloatArray:
        """[T]: all timesteps together are rounded once."""
        array, gemm = self.hardware.array, self.gemm
        macs = gemm.k * gemm.m * self.executed * self.core.serial
        total = gemm.groups * cycles.eyeriss_cycles(macs, gemm.n, array.rows, array.cols, self._published_rounding)
        taken = np.zeros(self.steps)
        taken[: self.executed] = evenly(total, self.executed)
        return taken

    def work(self) -> ArrayWork:
        """The folds of a weight-stationary array share the cycles; the PEs turn to the neurons at the end."""
        work = super().work()
        share = work.cycles[0] / work.cycles[0].sum()
        stream = np.diff(np.round(np.concatenate([[0.0], np.cumsum(share)]) * self.array_cycles().sum()))
        whole = replace(work, stream=stream[None], ideal=stream[None], overhead=np.zeros((1, len(share))))
        return handing_over(whole, True, self.hardware.schedule == "step-by-step")

    def cycles_of_units(self) -> float:
        """The PEs update the neurons, one per cycle each."""
        if not super().cycles_of_units():
            return 0.0
        array = self.hardware.array
        return float(
            cycles.eyeriss_lif_cycles(self.updates, self.steps, array.rows, array.cols, self._published_rounding)
        )

    def lif_bound(self, array: FloatArray, lif: float) -> float:
        """The array's own PEs are the LIF units."""
        return float(array.sum()) + lif
