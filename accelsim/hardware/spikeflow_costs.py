"""Costs of the crossbar machine, from its description, a cost table and the network's demands."""

from __future__ import annotations

import math
from dataclasses import replace

from accelsim.errors import InputError, Problem
from accelsim.hardware.cells import cell, cell_source
from accelsim.hardware.costs import Action, Component, CostFile, CostTable, from_file
from accelsim.hardware.parts import (
    Demand,
    cells_component,
    digital_helpers,
    lif_component,
    per_bit,
    time_affine_components,
)
from accelsim.hardware.spikeflow import SpikeflowFile

ROUTER_PORTS = 5  # four neighbours and the tile
FAN_OUT = 4  # of each stage of a driver's buffer, the usual compromise between delay and energy
DRIVER_GATES = 3
COUNTERS, COUNTER_BITS = 3, 16


def cost_table(machine: SpikeflowFile, file: CostFile, demand: Demand) -> CostTable:
    """Costs for a network with the given demands."""
    node, wide = machine.technology_nm, machine.accumulator_bits
    add_store = [("adder", wide), ("register", wide)]
    components = {
        **from_file(file),
        "crossbar": _crossbar(machine, file),
        "driver": _driver(machine, file),
        "switch_matrix": _gates(machine, "select_bits", 1, "one gate per wordline passes the input bit on"),
        "skip_detector": _skip_detector(machine),
        "control": _control(machine),
        "adc": _adc(machine, file),
        "shift_add": cells_component("compute", {"add": add_store}, add_store, node),
        "diff": _diff(machine),
        "pe_accumulator": cells_component("compute", {"add": add_store}, add_store, node),
        "tile_accumulator": cells_component("compute", {"add": add_store}, add_store, node),
        "global_accumulator": cells_component("compute", {"add": add_store}, add_store, node),
        "mac_unit": _mac_unit(demand, wide, node),
        "first_layer": replace(machine.first_layer_macros(demand).component, category="buffer"),
        "digital_unit": cells_component("compute", {"accumulate": add_store}, add_store, node),
        "lif": lif_component(demand.precision.membrane_bits, wide, node),
        **time_affine_components(node),
        **digital_helpers(demand.precision, wide, node),
        "pe_buffer": _input_registers(machine),
        "tile_buffer": machine.memories.tile_buffer.component("tile_buffer", node),
        "global_buffer": machine.global_macros(demand).component,
        "membrane": replace(machine.membrane_macros(demand).component, category="lif"),
    }
    components["htree"] = _htree(machine, file, components)
    components["noc"] = _noc(machine, file, components)
    return CostTable(components)


def _crossbar(machine: SpikeflowFile, file: CostFile) -> Component:
    device, node = machine.device.device(), machine.technology_nm
    voltage, pulse = device.read_voltage_v, device.read_pulse_ns
    assert voltage is not None
    assert pulse is not None
    conductance = device.mean_conductance_s(machine.crossbar.cell_bits)
    cells = machine.crossbar.rows * machine.crossbar.cols
    known = file.parameters.get("cell_leakage_nw")
    leakage_nw = known.value if known else 0.0
    leakage = f"{known.value:g} nW per cell: {known.source}" if known else "none: the cells are not volatile"
    cell_area = machine.crossbar.cell_height_f * machine.crossbar.cell_width_f * (node * 1e-3) ** 2
    return Component(
        "converter",
        {
            "cell_read": Action(
                voltage**2 * conductance * pulse * 1e3,  # V^2 S ns = nJ
                f"V^2 G t of one cell on an active wordline: {voltage:g} V, {conductance * 1e6:.1f} uS (mean over "
                f"all {machine.crossbar.cell_bits}-bit codes of the cell '{device.name}'), {pulse:g} ns",
            ),
            "array_pj": Action(
                1.0,
                "picojoules themselves, from the exact solution of each programmed array with its wires: "
                "sum((V Y) V) x read pulse, for every read of the trace",
            ),
            "reference_read": Action(
                voltage**2 * device.offset_s(machine.crossbar.cell_bits) * pulse * 1e3,
                f"V^2 G t of a cell at code 0 in the reference column: {voltage:g} V, "
                f"{device.offset_s(machine.crossbar.cell_bits) * 1e6:.3g} uS, {pulse:g} ns",
            ),
        },
        leakage_nw * cells * 1e-6,
        cells * cell_area,
        f"cell of {machine.crossbar.cell_height_f:g} F x {machine.crossbar.cell_width_f:g} F at {node} nm (1T1R of "
        "NeuroSim V1.3: 12 F x 4 F; 8T SRAM: 20 F x 8 F); the public SpikeSim constants of 26.2144 um2 (RRAM) and "
        "671.089 um2 (SRAM) per 64x64 array are 1.5 and 39 F^2 per cell, and do not grow with the array; "
        f"leakage {leakage}",
    )


def _mac_unit(demand: Demand, wide: int, node: int) -> Component:
    """One multiply-accumulate: multiplier as wide as the wider operand, adder and register for the sum."""
    operand = max(demand.precision.weight_bits, demand.precision.activation_bits, 2)
    parts = [("multiplier", operand), ("adder", wide), ("register", wide)]
    return cells_component("compute", {"multiply_add": parts}, parts, node)


def _driver(machine: SpikeflowFile, file: CostFile) -> Component:
    wire, supply = _parameter(file, "wire_ff_per_um"), _parameter(file, "supply_v")
    pitch_um = machine.crossbar.cell_width_f * machine.technology_nm * 1e-3
    energy = machine.crossbar.cols * pitch_um * wire * supply**2 * 1e-3  # fF V^2 = fJ
    gate = cell("and_gate", 8, machine.technology_nm)
    return Component(
        "converter",
        {
            "row_drive": Action(
                energy * (1 + 1 / (FAN_OUT - 1)),
                f"C V^2 of one wordline: {machine.crossbar.cols} cells x {pitch_um:g} um x {wire:g} fF/um at "
                f"{supply:g} V (wire capacitance of NeuroSim V1.3), and 1/{FAN_OUT - 1} more for the stages of a "
                f"fan-out-of-{FAN_OUT} buffer before it",
            )
        },
        DRIVER_GATES / 8 * gate.leakage_mw,
        DRIVER_GATES / 8 * gate.area_um2,
        f"estimate: a buffer as large as {DRIVER_GATES} AND gates for each wordline, "
        + cell_source("and_gate 8b / 8", machine.technology_nm),
    )


def _gates(machine: SpikeflowFile, action: str, gates: int, what: str) -> Component:
    """So many AND gates for each count of `action`."""
    node = machine.technology_nm
    gate = cell("and_gate", 8, node)
    text = f"{what}; {cell_source('and_gate 8b / 8', node)}"
    scale = gates / 8
    return Component(
        "converter",
        {action: Action(gate.energy_pj * scale, text)},
        gate.leakage_mw * scale,
        gate.area_um2 * scale,
        text,
    )


def _skip_detector(machine: SpikeflowFile) -> Component:
    """An OR over the rows of one crossbar."""
    one = _gates(machine, "check_bits", 1, "an OR over the input bits, as many AND gates")
    rows = machine.crossbar.rows
    return replace(one, leakage_mw=one.leakage_mw * rows, area_um2=one.area_um2 * rows)


def _control(machine: SpikeflowFile) -> Component:
    """Sequencer of one tile: counters of output row, output column and multiplexer turn."""
    counters = COUNTERS * [("adder", COUNTER_BITS), ("register", COUNTER_BITS)]
    return cells_component(
        "compute",
        {"step": counters},
        counters,
        machine.technology_nm,
        "; the clock tree is an explicit zero: no source",
    )


def _adc(machine: SpikeflowFile, file: CostFile) -> Component:
    points = sorted(file.converters, key=lambda point: point.bits)
    bits = machine.adc.bits
    if bits > points[-1].bits:
        raise InputError(
            Problem(f"no source for a converter of {bits} bits, known up to {points[-1].bits}", where="adc.bits")
        )
    above = next(point for point in points if point.bits >= bits)
    below = [point for point in points if point.bits <= bits]
    low = below[-1] if below else above
    share = 0.0 if above.bits == low.bits else (bits - low.bits) / (above.bits - low.bits)
    source = (
        above.source
        if above.bits == low.bits
        else f"log-linear between {low.bits} b and {above.bits} b: {low.source}; {above.source}"
    )
    if not below:
        source = f"{bits} b priced as {above.bits} b, the smallest known: {source}"
    known = from_file(file)["adc"]
    return replace(
        known,
        actions={"convert": Action(low.energy_pj * (above.energy_pj / low.energy_pj) ** share, source)},
        area_um2=low.area_um2 * (above.area_um2 / low.area_um2) ** share,
        source=source,
    )


def _diff(machine: SpikeflowFile) -> Component:
    wide, node = machine.accumulator_bits, machine.technology_nm
    component = cells_component("compute", {"subtract": [("adder", wide)]}, [("adder", wide)], node)
    count = Action(
        per_bit("and_gate", 8, node).energy_pj + per_bit("adder", 8, node).energy_pj,
        "one AND and one adder bit per input: " + per_bit("adder", 8, node).source,
    )
    note = "; the public tool's 1.15e-6 pJ is a slip of units (it takes 7.6 % of the area)"
    return replace(
        component,
        actions={**component.actions, "popcount_bits": count},
        source=component.source + note,
    )


def _input_registers(machine: SpikeflowFile) -> Component:
    bits = machine.pe.crossbars * machine.crossbar.rows
    access = per_bit("register", 8, machine.technology_nm)
    one = cells_component("buffer", {}, [("register", 8)], machine.technology_nm)
    return replace(
        one,
        actions={"write_bits": access, "read_bits": access},
        leakage_mw=one.leakage_mw * bits / 8,
        area_um2=one.area_um2 * bits / 8,
        source=f"{bits} input bits of one PE in registers: {one.source}",
    )


def tile_side_um(machine: SpikeflowFile, components: dict[str, Component]) -> float:
    """Side of a square tile holding its PEs and buffer."""
    crossbar = components["crossbar"].area_um2 + machine.adcs_per_crossbar * (
        components["adc"].area_um2 + components["mux"].area_um2 + components["shift_add"].area_um2
    )
    crossbar += machine.crossbar.rows * (components["driver"].area_um2 + components["switch_matrix"].area_um2)
    pe = machine.pe.crossbars * crossbar + components["pe_buffer"].area_um2 + components["pe_accumulator"].area_um2
    return math.sqrt(machine.tile.pes * pe + components["tile_buffer"].area_um2)


def _htree(machine: SpikeflowFile, file: CostFile, components: dict[str, Component]) -> Component:
    """Wires from the middle of the tile to its PEs: level i of the tree is s / 2^(ceil(i/2)+1) long."""
    side = tile_side_um(machine, components)
    levels = math.ceil(math.log2(machine.tile.pes))
    lengths = [side / 2 ** (math.ceil(level / 2) + 1) for level in range(1, levels + 1)]
    path_mm = sum(lengths) * 1e-3
    total_um = sum(2**level * length for level, length in enumerate(lengths, start=1))
    pitch = _parameter(file, "wire_pitch_um")
    return Component(
        "interconnect",
        {"move_bits": Action(path_mm * _wire_pj(file), f"{path_mm:.3f} mm of wire, {_wire_text(file)}")},
        0.0,
        total_um * machine.tile.bus_bits * pitch,
        f"{machine.tile.bus_bits} wires of {pitch:g} um pitch, {total_um:.0f} um in all, from the tile's own area; "
        "no repeaters. The public constants (157.12 pJ per PE cycle, 433660 um2 per tile) have no stated source",
    )


def _noc(machine: SpikeflowFile, file: CostFile, components: dict[str, Component]) -> Component:
    """A router passed: into an input buffer, out of it, through the switch; a link: one tile's side of wire."""
    register = per_bit("register", 8, machine.technology_nm)
    link_mm = tile_side_um(machine, components) * 1e-3
    bits = ROUTER_PORTS * (machine.noc.vcs * machine.noc.buffer_flits + 1) * machine.noc.flit_bits
    one = cells_component("interconnect", {}, [("register", 8)], machine.technology_nm)
    return Component(
        "interconnect",
        {
            "router_bits": Action(
                3 * register.energy_pj,
                f"3 register accesses per bit (into the input buffer, out of it, through the switch's output "
                f"register): {register.source}",
            ),
            "link_bits": Action(
                link_mm * _wire_pj(file), f"{link_mm:.3f} mm of wire, one side of a tile, {_wire_text(file)}"
            ),
        },
        one.leakage_mw * bits / 8,
        one.area_um2 * bits / 8,
        f"router with {bits} bits of buffer and output registers: {one.source}; switch and arbiter not counted",
    )


def _parameter(file: CostFile, name: str) -> float:
    if name not in file.parameters:
        raise InputError(Problem(f"the cost table '{file.name}' has no parameter '{name}'", where="costs.table"))
    return file.parameters[name].value


def _wire_pj(file: CostFile) -> float:
    """Energy of one bit over one millimetre: a quarter of C V^2, for random data."""
    return 0.25 * _parameter(file, "wire_ff_per_um") * _parameter(file, "supply_v") ** 2  # fF/um = pF/mm


def _wire_text(file: CostFile) -> str:
    return (
        f"C V^2 / 4 per random bit: {_parameter(file, 'wire_ff_per_um'):g} fF/um at {_parameter(file, 'supply_v'):g} V"
    )
