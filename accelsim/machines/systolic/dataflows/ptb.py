"""Parallel time batching (Lee et al., HPCA 2022)."""

from __future__ import annotations

from accelsim.costs.parts import cells_component
from accelsim.costs.table import Component
from accelsim.machines.systolic.dataflows.related import SpikingDataflow, several
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.layer import SystolicLayer
from accelsim.machines.systolic.related.sections import PtbSpec


class Ptb(SpikingDataflow):
    """See `accelsim.machines.systolic.related.ptb`."""

    section = PtbSpec

    def layer_model(self) -> type[SystolicLayer]:
        """Loads compiled kernels."""
        from accelsim.machines.systolic.related.ptb import PtbLayer

        return PtbLayer

    def complaint(self, file: SystolicFile) -> str | None:
        """Inputs are paired by the rows of the array that they need."""
        found = super().complaint(file)
        if found is None and file.array.rows > 64:
            rows = file.array.rows
            return f"pairs inputs by the rows of the array they need, 64 at the most; array.rows is {rows}"
        return found

    def parts(self, file: SystolicFile) -> dict[str, Component]:
        """A packer that looks at each input's rows."""
        lanes = max(file.array.rows, 2)
        mask = [("and_gate", lanes), ("register", lanes)]
        return {"packer": several(2, cells_component("compute", {"examine": mask}, mask, file.technology_nm))}
