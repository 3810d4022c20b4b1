"""The dense array that spiking accelerators are compared with, after Eyeriss (Chen et al., ISCA 2016)."""

from __future__ import annotations

from accelsim.machines.systolic.dataflows.related import own_zeros
from accelsim.machines.systolic.dataflows.weight_stationary import WeightStationary
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.layer import SystolicLayer
from accelsim.machines.systolic.related.sections import EyerissSpec
from accelsim.workload import Workload


class Eyeriss(WeightStationary):
    """Weight-stationary as far as buffers and registers go; see `accelsim.machines.systolic.related.eyeriss`."""

    section = EyerissSpec

    def layer_model(self) -> type[SystolicLayer]:
        """Loads compiled kernels."""
        from accelsim.machines.systolic.related.eyeriss import EyerissLayer

        return EyerissLayer

    def complaint(self, file: SystolicFile) -> str | None:
        """Zeros are worked on like all others."""
        return own_zeros(file)

    def remarks(self, workload: Workload, file: SystolicFile) -> list[str]:
        """Nothing: its cycles are those of the work."""
        return []
