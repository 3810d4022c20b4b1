"""SpinalFlow (Narayanan et al., ISCA 2020)."""

from __future__ import annotations

from accelsim.costs.parts import cells_component
from accelsim.costs.table import Component
from accelsim.machines.systolic.dataflows.related import SpikingDataflow, one_row, several
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.layer import SystolicLayer
from accelsim.machines.systolic.related.sections import SpinalflowSpec


class Spinalflow(SpikingDataflow):
    """See `accelsim.machines.systolic.related.spikewise`."""

    section = SpinalflowSpec

    def layer_model(self) -> type[SystolicLayer]:
        """Loads compiled kernels."""
        from accelsim.machines.systolic.related.spikewise import SpinalflowLayer

        return SpinalflowLayer

    def complaint(self, file: SystolicFile) -> str | None:
        """One row of PEs."""
        return super().complaint(file) or one_row(file)

    def parts(self, file: SystolicFile) -> dict[str, Component]:
        """The min-find unit that merges sorted lists."""
        spec = file.section(SpinalflowSpec)
        stage = [("comparator", spec.time_bits), ("register", spec.time_bits), ("register", spec.address_bits)]
        unit = cells_component("compute", {"compare": stage}, stage, file.technology_nm)
        return {"sorter": several(max(spec.merge_lists - 1, 1), unit)}
