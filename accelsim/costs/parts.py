"""Pieces that the schemas of several machines share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from pydantic import Field

from accelsim.core.memo import memo
from accelsim.core.settings import Section
from accelsim.costs.cells import cell, cell_source
from accelsim.costs.sram import largest_macro_bytes, smallest_macro_bytes, sram
from accelsim.costs.table import Action, Category, Component
from accelsim.workload import Workload
from accelsim.workload.affine import WORD_BITS, parameter_bits
from accelsim.workload.schema import Precision

THRESHOLD_BITS = 4  # width of the threshold register in the SATA LIF unit


@dataclass(frozen=True)
class Demand:
    """What a network asks of a machine whose parts grow with it."""

    precision: Precision = field(default_factory=Precision)
    neurons: int = 1
    """Neurons whose membranes are stored."""
    sharing: tuple[tuple[int, int], ...] = ()
    """Of these, how many share one membrane among how many by the network's own rule: (neurons, number)."""
    map_bits: int = 1
    """Bits of all feature maps of one timestep."""
    analog_weights: int = 0
    """Weights of layers with analog inputs."""
    affine_bits: int = 0
    """Bits of all gains and offsets of each timestep's own."""

    @classmethod
    def of(cls, workload: Workload) -> Demand:
        """Of a workload, found once."""
        return _demand(workload)

    def stored_membranes(self, membrane_sharing: int) -> int:
        """Membranes kept, on hardware that shares one among `membrane_sharing` neurons (`workload.neurons`)."""
        plain = self.neurons - sum(size for size, _ in self.sharing)
        shared = sum(-(-size // max(number, membrane_sharing)) for size, number in self.sharing)
        return -(-plain // membrane_sharing) + shared


@memo
def _demand(workload: Workload) -> Demand:
    graph, precision = workload.graph, workload.precision
    records = [(op.out_elements, op.neuron) for op in graph.operations if op.neuron is not None]
    own = [(size, record.channel_sharing) for size, record in records if not record.shares_state_with]
    maps = sum(op.in_elements * op.in_types[0].planes for op in graph.weighted)
    analog = sum(op.weights for op in graph.weighted if op.kind != "matmul" and not op.in_types[0].is_spiking)
    shared = tuple((size, number) for size, number in own if number > 1)
    scaled = [] if workload.is_ann else [op for op in graph.operations if op.kind == "time_affine"]
    affine = workload.timesteps * sum(parameter_bits(op) for op in scaled)
    return Demand(precision, sum(size for size, _ in own), shared, maps, analog, affine)


class SramSpec(Section):
    """An on-chip SRAM; one access is one line."""

    size_bytes: int = Field(ge=1)
    """Capacity, all banks together."""
    width_bytes: int = Field(ge=1)
    """Bytes of one line."""
    banks: int = Field(1, ge=1)
    """Banks of the memory; CACTI's figures are for so many, leakage counts all."""
    double_buffered: bool = True
    """Half of the memory is filled while the other half is worked from."""

    @property
    def line_bits(self) -> int:
        """Bits of one access."""
        return self.width_bytes * 8

    @property
    def working_bits(self) -> int:
        """Bits that can be held for reuse."""
        return self.size_bytes * 8 // (2 if self.double_buffered else 1)

    def component(self, where: str, node_nm: int) -> Component:
        """Costs of the whole memory; `where` is its dotted key in the description."""
        return _sram_component(self.size_bytes, self.width_bytes, self.banks, node_nm, where, "buffer")


@lru_cache
def _sram_component(
    size_bytes: int, width_bytes: int, banks: int, node_nm: int, where: str, category: Category
) -> Component:
    costs = sram(size_bytes, width_bytes, banks, node_nm, where)
    return Component(
        category,
        {"read": Action(costs.read_pj, costs.source), "write": Action(costs.write_pj, costs.source)},
        costs.leakage_mw,
        costs.area_um2,
        costs.source,
    )


class DramSpec(Section):
    """Off-chip memory."""

    width_bytes: int = Field(64, ge=1)
    """Bytes of one burst, the smallest transfer."""
    bandwidth_gbps: float = Field(gt=0)
    """Peak bandwidth in gigabits per second."""

    @property
    def line_bits(self) -> int:
        """Bits of one burst."""
        return self.width_bytes * 8


@dataclass(frozen=True)
class Macros:
    """A memory of any size, cut into equal SRAM macros that CACTI has figures for."""

    number: int
    size_bytes: int
    component: Component


@lru_cache
def macros(bits: int, width_bytes: int, banks: int, node_nm: int, where: str, category: Category = "buffer") -> Macros:
    """As many SRAM macros as `bits` need; an access goes to one of them, and its energy is shown under `category`.

    Raises:
        InputError: a line width, number of banks or node without CACTI figures.
    """
    needed = max(1, -(-bits // 8))
    sram(1 << 16, width_bytes, banks, node_nm, where)  # complains about width, banks and node by name
    largest = largest_macro_bytes(width_bytes, banks, node_nm)
    number = -(-needed // largest)
    size = max(smallest_macro_bytes(width_bytes, banks, node_nm), -(-needed // number))
    return Macros(number, size, _sram_component(size, width_bytes, banks, node_nm, where, category))


@lru_cache
def lif_component(membrane_bits: int, wide: int, node_nm: int) -> Component:
    """One LIF unit (the SATA design): comparator and subtractor at the width of the incoming sum,
    threshold and membrane registers; the leak by shift and subtraction, or a multiplier where the
    factor is no sum of two powers of two."""
    parts = [("comparator", wide), ("adder", wide), ("register", THRESHOLD_BITS), ("register", membrane_bits)]
    actions = {
        "update": parts,
        "leak_subtract": [("adder", membrane_bits)],
        "leak_multiply": [("multiplier", membrane_bits)],
        "reset_subtract": [("adder", membrane_bits)],
    }
    return cells_component("lif", actions, parts, node_nm)


@lru_cache
def digital_helpers(precision: Precision, wide: int, node_nm: int) -> Mapping[str, Component]:
    """Pooling, residual adds and (ANN only) ReLU with requantisation, as on every machine."""
    gate, add = per_bit("and_gate", 8, node_nm), per_bit("adder", 8, node_nm)
    few = "a few gates beside the output buffer: area and leakage counted as zero"
    return {
        "pool": Component("compute", {"max_bits": gate, "add_bits": add}, source=few),
        "residual": Component("compute", {"add_bits": add}, source=few),
        "activation": cells_component(
            "compute",
            {
                "relu": [("comparator", wide)],
                "requantize": [("multiplier", precision.activation_bits), ("adder", wide)],
            },
            [],
            node_nm,
            extra_area="; ANN only: not part of the chip's area",
        ),
    }


@lru_cache
def time_affine_components(node_nm: int) -> Mapping[str, Component]:
    """One unit for gains and offsets of each timestep's own, and the registers that hold one channel's pair of them."""
    parts = [("multiplier", WORD_BITS), ("adder", WORD_BITS)]
    registers = register_file(2 * WORD_BITS // 8, node_nm)
    return {
        "time_affine": cells_component("lif", {"apply": parts}, parts, node_nm),
        "time_affine_registers": replace(registers, category="lif"),
    }


def cells_component(
    category: Category,
    actions: dict[str, list[tuple[str, int]]],
    parts: list[tuple[str, int]],
    node_nm: int,
    extra_area: str = "",
) -> Component:
    """A component made of standard cells.

    Args:
        category: where its energy is shown.
        actions: for each action, the (cell, width in bits) that work in it.
        parts: the (cell, width) one instance consists of: leakage and area.
        node_nm: technology node.
        extra_area: remark added to the source.
    """

    def text(cells: list[tuple[str, int]]) -> str:
        return " + ".join(f"{name} {width}b" for name, width in cells) or "no cell"

    return Component(
        category,
        {
            action: Action(
                sum(cell(name, width, node_nm).energy_pj for name, width in cells), cell_source(text(cells), node_nm)
            )
            for action, cells in actions.items()
        },
        sum(cell(name, width, node_nm).leakage_mw for name, width in parts),
        sum(cell(name, width, node_nm).area_um2 for name, width in parts),
        cell_source(text(parts), node_nm) + extra_area,
    )


@lru_cache
def per_bit(name: str, width_bits: int, node_nm: int) -> Action:
    """Energy per bit of a cell of the given width."""
    return Action(
        cell(name, width_bits, node_nm).energy_pj / width_bits,
        cell_source(f"{name} {width_bits}b / {width_bits}", node_nm),
    )


@lru_cache
def register_file(size_bytes: int, node_nm: int) -> Component:
    """A scratchpad made of 8-bit registers, priced per bit moved.

    An access switches the accessed word only; the public SATA tool charges all bytes of the
    scratchpad for each access.
    """
    register = cell("register", 8, node_nm)
    access = per_bit("register", 8, node_nm)
    return Component(
        "scratchpad",
        {"read_bits": access, "write_bits": access},
        register.leakage_mw * size_bytes,
        register.area_um2 * size_bytes,
        cell_source(f"{size_bytes} x register 8b", node_nm),
    )
