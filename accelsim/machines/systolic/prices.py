"""What the systolic array's counts cost: cells and SRAMs of the description's sizes, prices of the cost table."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from accelsim.costs.parts import (
    Demand,
    SramSpec,
    cells_component,
    digital_helpers,
    lif_component,
    per_bit,
    register_file,
    time_affine_components,
)
from accelsim.costs.table import Component, CostFile, CostTable, from_file
from accelsim.machines.systolic.dataflows.registry import DATAFLOWS
from accelsim.machines.systolic.description import SPADS, SystolicFile, SystolicPe


def cost_table(machine: SystolicFile, file: CostFile, demand: Demand) -> CostTable:
    """Costs for a network of the given word widths; cells and SRAMs of this description's sizes."""
    node, precision = machine.technology_nm, demand.precision
    wide = machine.pe.accumulator_bits
    components: dict[str, Component] = {
        **from_file(file),
        "pe": _pe(machine.pe, precision.weight_bits, node),
        "lif": lif_component(precision.membrane_bits, wide, node),
        **time_affine_components(node),
        **digital_helpers(precision, wide, node),
    }
    for name in SPADS:
        components[name] = register_file(getattr(machine.memories, name).size_bytes, node)
    for name in ("glb_weight", "glb_ifmap", "glb_ofmap"):
        memory: SramSpec = getattr(machine.memories, name)
        components[name] = memory.component(f"memories.{name}", node)
    return CostTable({**components, **DATAFLOWS[machine.dataflow].parts(machine)})


@lru_cache
def _pe(pe: SystolicPe, weight_bits: int, node_nm: int) -> Component:
    forward = per_bit("register", 8, node_nm)
    if pe.multiplier_bits:
        width = max(pe.multiplier_bits, weight_bits)
        parts = [("multiplier", width), ("adder", min(2 * width, 32)), ("register", pe.accumulator_bits)]
        actions = {"multiply": parts}
    else:
        parts = [("and_gate", weight_bits), ("adder", weight_bits), ("register", pe.accumulator_bits)]
        actions = {"operate": parts[:2], "accumulate": parts[2:]}
    component = cells_component("compute", actions, parts, node_nm)
    return replace(component, actions={**component.actions, "forward_bits": forward})
