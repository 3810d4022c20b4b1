"""Prosperity (Wei et al., HPCA 2025)."""

from __future__ import annotations

from dataclasses import replace

from accelsim.costs.parts import cells_component, per_bit
from accelsim.costs.table import Component
from accelsim.machines.systolic.dataflows.related import SpikingDataflow, one_row, several
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.layer import SystolicLayer
from accelsim.machines.systolic.related.sections import ProsperitySpec


class Prosperity(SpikingDataflow):
    """See `accelsim.machines.systolic.related.prosperity`."""

    section = ProsperitySpec

    def layer_model(self) -> type[SystolicLayer]:
        """Loads compiled kernels."""
        from accelsim.machines.systolic.related.prosperity import ProsperityLayer

        return ProsperityLayer

    def complaint(self, file: SystolicFile) -> str | None:
        """One row of PEs."""
        return super().complaint(file) or one_row(file)

    def parts(self, file: SystolicFile) -> dict[str, Component]:
        """The detector that finds prefixes."""
        spec = file.section(ProsperitySpec)
        return {"detector": _detector(spec, file.technology_nm)} if spec.sparsity == "product" else {}


def _detector(spec: ProsperitySpec, node_nm: int) -> Component:
    """A content-addressable memory of one tile, made of registers and gates: no CAM cell is in the table.

    A search compares one row with every row of the tile, bit by bit.
    """
    byte = cells_component("compute", {}, [("register", 8), ("and_gate", 8)], node_nm)
    actions = {
        "write_bits": per_bit("register", 8, node_nm),
        "compare_bits": per_bit("and_gate", 8, node_nm),
        "count_bits": per_bit("adder", 2, node_nm),
    }
    return replace(several(spec.tile_rows * spec.tile_columns / 8, byte), actions=actions)
