"""SATO (Liu et al., DAC 2022)."""

from __future__ import annotations

from accelsim.costs.parts import per_bit
from accelsim.costs.table import Component
from accelsim.machines.systolic.dataflows.related import SpikingDataflow
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.layer import SystolicLayer
from accelsim.machines.systolic.related.sections import SatoSpec


class Sato(SpikingDataflow):
    """See `accelsim.machines.systolic.related.sato`."""

    section = SatoSpec

    def layer_model(self) -> type[SystolicLayer]:
        """Loads compiled kernels."""
        from accelsim.machines.systolic.related.sato import SatoLayer

        return SatoLayer

    def complaint(self, file: SystolicFile) -> str | None:
        """One column of PEs, each with a copy of the weights."""
        found, array = super().complaint(file), file.array
        if found is None and array.cols != 1:
            return f"has one column of PEs, among which rows are dealt; array.cols is {array.cols}, must be 1"
        if found is None and not file.memories.spad_weight.size_bytes:
            return "keeps weights in each PE; memories.spad_weight.size_bytes is 0"
        return found

    def parts(self, file: SystolicFile) -> dict[str, Component]:
        """The dispatcher that counts the spikes of the rows."""
        few = "a few adders beside the PEs: area and leakage counted as zero"
        actions = {"count_bits": per_bit("adder", 2, file.technology_nm)}
        return {"dispatcher": Component("compute", actions, source=few)}
