"""MINT (Yin et al., ASP-DAC 2024)."""

from __future__ import annotations

from accelsim.machines.systolic.dataflows.related import SpikingDataflow, one_row
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.layer import SystolicLayer
from accelsim.machines.systolic.related.sections import MintSpec


class Mint(SpikingDataflow):
    """See `accelsim.machines.systolic.related.spikewise`."""

    section = MintSpec

    def layer_model(self) -> type[SystolicLayer]:
        """Loads compiled kernels."""
        from accelsim.machines.systolic.related.spikewise import MintLayer

        return MintLayer

    def complaint(self, file: SystolicFile) -> str | None:
        """One row of PEs."""
        return super().complaint(file) or one_row(file)
