"""What the related spiking accelerators have beyond the plain array: one section each, chosen by `dataflow`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, model_validator

from accelsim.core.settings import Section
from accelsim.costs.parts import cells_component, per_bit
from accelsim.costs.table import Component

RelatedDataflow = Literal["ptb", "sato", "mint", "eyeriss", "prosperity", "spinalflow"]


class PtbSpec(Section):
    """Parallel time batching: array rows take (time window, output position) pairs, columns output channels."""

    window: int = Field(4, ge=1, le=64)
    """Timesteps of one time window; a PE works through them one per cycle with the same weight."""
    pairing: bool = True
    """StSAP: two inputs that spike in no common row of the array pass through it at the same time."""
    lif_cycles: int = Field(3, ge=1)
    """Cycles of a LIF unit per neuron and timestep."""


class SatoSpec(Section):
    """SATO: rows (output position, timestep) are dealt to PEs; one output channel at a time."""


class MintSpec(Section):
    """MINT: one input spike per cycle, added to all PEs' output channels."""

    lif_cycles: int = Field(3, ge=1)
    """Cycles of a LIF unit per neuron and timestep."""


class EyerissSpec(Section):
    """The dense array that SNN accelerators are compared with: every input is multiplied, spike or not."""

    published_rounding: bool = False
    """As in the public Prosperity simulator: passes that do not fill the array are rounded down, and LIF
    updates take no time where there are fewer timesteps than array columns."""


class ProsperitySpec(Section):
    """Prosperity: product sparsity within tiles of the (position, timestep) x receptive field matrix."""

    sparsity: Literal["product", "bit", "none"] = "product"
    """`product`: rows reuse the sums of a row whose spikes are a subset of theirs; `bit`: zeros are
    skipped; `none`: every element takes a cycle."""
    tile_rows: int = Field(256, ge=1, le=65536)
    """Rows among which prefixes are looked for."""
    tile_columns: int = Field(16, ge=1, le=64)
    """Spikes of a row in one tile: a row is one word."""
    popcounts: int = Field(8, ge=1)
    """Rows whose spikes are counted in one cycle."""
    lif_cycles: int = Field(2, ge=1)
    """Cycles of a LIF unit per neuron and timestep."""


class SpinalflowSpec(Section):
    """SpinalFlow: spikes sorted by time enter one per cycle; each PE is one output neuron, all T in one go."""

    tick_cycles: int = Field(1, ge=0)
    """Cycles at the end of each timestep in which the PEs leak, compare and fire; 0 for neurons that need none
    (temporal coding without leak)."""
    merge_lists: int = Field(16, ge=1)
    """Sorted lists that the min-find unit merges at once."""
    time_bits: int = Field(8, ge=1, le=32)
    """Width of a spike's time stamp."""
    address_bits: int = Field(16, ge=1, le=32)
    """Width of the address that a spike carries."""


SECTIONS: dict[str, type[Section]] = {
    "ptb": PtbSpec,
    "sato": SatoSpec,
    "mint": MintSpec,
    "eyeriss": EyerissSpec,
    "prosperity": ProsperitySpec,
    "spinalflow": SpinalflowSpec,
}
"""``dataflow`` -> the section of the same name that it needs."""


class RelatedSections(Section):
    """The sections of a hardware file that belong to one `dataflow` each."""

    ptb: PtbSpec | None = None
    sato: SatoSpec | None = None
    mint: MintSpec | None = None
    eyeriss: EyerissSpec | None = None
    prosperity: ProsperitySpec | None = None
    spinalflow: SpinalflowSpec | None = None

    @classmethod
    def applies(cls, key: str, data: Mapping[str, Any]) -> bool:
        """A dataflow's section means something to the machines of that dataflow."""
        section = key.partition(".")[0]
        return section not in SECTIONS or data.get("dataflow") == section

    @model_validator(mode="before")
    @classmethod
    def _present(cls, data: Any) -> Any:
        """Before types are checked, so that a section without contents (``sato:``) counts as given."""
        if not isinstance(data, dict):
            return data
        dataflow = data.get("dataflow")
        foreign = [name for name in SECTIONS if data.get(name) is not None and name != dataflow]
        if foreign:
            raise ValueError(
                f"section '{foreign[0]}' belongs to dataflow '{foreign[0]}'; this machine has '{dataflow}'"
            )
        if not isinstance(dataflow, str) or dataflow not in SECTIONS:  # a wrong type is refused by its field
            return data
        if dataflow not in data:
            keys = ", ".join(SECTIONS[dataflow].model_fields)
            raise ValueError(
                f"dataflow '{dataflow}' needs a section '{dataflow}:' ({f'keys: {keys}' if keys else 'no keys'})"
            )
        return data if data[dataflow] is not None else {**data, dataflow: {}}

    @model_validator(mode="after")
    def _fits(self: Any) -> Any:
        if self.dataflow not in SECTIONS:
            return self
        complaint = _complaint(self)
        if complaint:
            raise ValueError(f"dataflow '{self.dataflow}' {complaint}")
        return self


def _complaint(file: Any) -> str | None:
    """What does not fit the dataflow."""
    dataflow, array = file.dataflow, file.array
    if file.sparsity.spikes == "skip" or file.sparsity.weights != "none" or file.sparsity.weight_format != "dense":
        return "has its own way with zeros; sparsity may only say spikes: none or gate"
    if dataflow != "eyeriss" and file.pe.multiplier_bits:
        return f"only adds; pe.multiplier_bits is {file.pe.multiplier_bits}, must be 0"
    if dataflow == "ptb" and array.rows > 64:
        return f"pairs inputs by the rows of the array they need, 64 at the most; array.rows is {array.rows}"
    if dataflow in ("mint", "prosperity", "spinalflow") and array.rows != 1:
        return f"has one row of PEs, one per output channel; array.rows is {array.rows}, must be 1"
    if dataflow == "sato" and array.cols != 1:
        return f"has one column of PEs, among which rows are dealt; array.cols is {array.cols}, must be 1"
    if dataflow == "sato" and not file.memories.spad_weight.size_bytes:
        return "keeps weights in each PE; memories.spad_weight.size_bytes is 0"
    return None


def related_parts(file: Any, node_nm: int) -> dict[str, Component]:
    """Components that only these machines have, by their dataflow."""
    if file.dataflow == "ptb":
        lanes = max(file.array.rows, 2)
        mask = [("and_gate", lanes), ("register", lanes)]
        return {"packer": _several(2, cells_component("compute", {"examine": mask}, mask, node_nm))}
    if file.dataflow == "prosperity" and file.prosperity.sparsity == "product":
        return {"detector": _detector(file.prosperity, node_nm)}
    if file.dataflow == "sato":
        few = "a few adders beside the PEs: area and leakage counted as zero"
        return {"dispatcher": Component("compute", {"count_bits": per_bit("adder", 2, node_nm)}, source=few)}
    if file.dataflow == "spinalflow":
        spec = file.spinalflow
        stage = [("comparator", spec.time_bits), ("register", spec.time_bits), ("register", spec.address_bits)]
        one = cells_component("compute", {"compare": stage}, stage, node_nm)
        return {"sorter": _several(max(spec.merge_lists - 1, 1), one)}
    return {}


def _several(number: float, one: Component) -> Component:
    """That many of one in a component; an action is that of a single one."""
    return replace(
        one,
        leakage_mw=one.leakage_mw * number,
        area_um2=one.area_um2 * number,
        source=f"{number:g} x ({one.source})",
    )


def related_instances(file: Any) -> dict[str, float]:
    """How many of these components there are: one of each."""
    return dict.fromkeys(related_parts(file, file.technology_nm), 1.0)


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
    return replace(_several(spec.tile_rows * spec.tile_columns / 8, byte), actions=actions)
