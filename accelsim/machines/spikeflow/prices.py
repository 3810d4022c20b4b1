"""Costs of the crossbar machine, from its description, a cost table and the network's demands.

Each part is a function of the values it depends on, and kept: machines of a sweep share the parts that no key of it
changes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

from accelsim.core.errors import InputError, Problem
from accelsim.costs.cells import cell, cell_source
from accelsim.costs.parts import (
    Demand,
    cells_component,
    digital_helpers,
    lif_component,
    per_bit,
    time_affine_components,
)
from accelsim.costs.table import Action, Category, Component, CostFile, CostTable, entry, from_file
from accelsim.machines.spikeflow.description import CrossbarSpec, DeviceSpec, SpikeflowFile

ROUTER_PORTS = 5  # four neighbours and the tile
FAN_OUT = 4  # of each stage of a driver's buffer, the usual compromise between delay and energy
DRIVER_GATES = 3
COUNTERS, COUNTER_BITS = 3, 16


def cost_table(machine: SpikeflowFile, file: CostFile, demand: Demand) -> CostTable:
    """Costs for a network with the given demands."""
    node, wide, precision = machine.technology_nm, machine.accumulator_bits, demand.precision
    crossbar, adder = machine.crossbar, _adder("add", wide, node)
    inputs = machine.pe.crossbars * crossbar.rows
    components = {
        **from_file(file),
        "crossbar": _crossbar(crossbar, machine.device, node, file),
        "driver": _driver(crossbar, node, file),
        "switch_matrix": _gates("select_bits", "one gate per wordline passes the input bit on", node),
        "skip_detector": _skip_detector(crossbar.rows, node),
        "control": _control(node),
        "adc": _adc(machine.adc.bits, file),
        "mux": entry(file, "mux"),
        "shift_add": adder,
        "diff": _diff(wide, node),
        "pe_accumulator": adder,
        "tile_accumulator": adder,
        "global_accumulator": adder,
        "mac_unit": _mac_unit(max(precision.weight_bits, precision.activation_bits, 2), wide, node),
        "first_layer": machine.first_layer_macros(demand).component,
        "digital_unit": _adder("accumulate", wide, node),
        "lif": lif_component(precision.membrane_bits, wide, node),
        **time_affine_components(node),
        **digital_helpers(precision, wide, node),
        "pe_buffer": _input_registers(inputs, node),
        "tile_buffer": machine.memories.tile_buffer.component("memories.tile_buffer", node),
        "global_buffer": machine.global_macros(demand).component,
        "membrane": machine.membrane_macros(demand).component,
    }
    side_um = tile_side_um(machine, components)
    components["htree"] = _htree(side_um, machine.tile.pes, machine.tile.bus_bits, file)
    noc = machine.noc
    buffered = ROUTER_PORTS * (noc.vcs * noc.buffer_flits + 1) * noc.flit_bits
    components["noc"] = _noc(side_um, buffered, node, file)
    return CostTable(components)


@lru_cache
def _crossbar(crossbar: CrossbarSpec, spec: DeviceSpec, node: int, file: CostFile) -> Component:
    device = spec.device()
    voltage, pulse = device.read_voltage_v, device.read_pulse_ns
    assert voltage is not None
    assert pulse is not None
    conductance = device.mean_conductance_s(crossbar.cell_bits)
    cells = crossbar.rows * crossbar.cols
    known = file.parameters.get("cell_leakage_nw")
    leakage_nw = known.value if known else 0.0
    leakage = f"{known.value:g} nW per cell: {known.source}" if known else "none: the cells are not volatile"
    cell_area = crossbar.cell_height_f * crossbar.cell_width_f * (node * 1e-3) ** 2
    return Component(
        "converter",
        {
            "cell_read": Action(
                voltage**2 * conductance * pulse * 1e3,  # V^2 S ns = nJ
                f"V^2 G t of one cell on an active wordline: {voltage:g} V, {conductance * 1e6:.1f} uS (mean over "
                f"all {crossbar.cell_bits}-bit codes of the cell '{device.name}'), {pulse:g} ns",
            ),
            "array_pj": Action(
                1.0,
                "picojoules themselves, from the exact solution of each programmed array with its wires: "
                "sum((V Y) V) x read pulse, for every read of the trace",
            ),
            "reference_read": Action(
                voltage**2 * device.offset_s(crossbar.cell_bits) * pulse * 1e3,
                f"V^2 G t of a cell at code 0 in the reference column: {voltage:g} V, "
                f"{device.offset_s(crossbar.cell_bits) * 1e6:.3g} uS, {pulse:g} ns",
            ),
        },
        leakage_nw * cells * 1e-6,
        cells * cell_area,
        f"cell of {crossbar.cell_height_f:g} F x {crossbar.cell_width_f:g} F at {node} nm (1T1R of "
        "NeuroSim V1.3: 12 F x 4 F; 8T SRAM: 20 F x 8 F); the public SpikeSim constants of 26.2144 um2 (RRAM) and "
        "671.089 um2 (SRAM) per 64x64 array are 1.5 and 39 F^2 per cell, and do not grow with the array; "
        f"leakage {leakage}",
    )


@lru_cache
def _adder(action: str, wide: int, node: int) -> Component:
    """Adder, and register for the sum."""
    parts = [("adder", wide), ("register", wide)]
    return cells_component("compute", {action: parts}, parts, node)


@lru_cache
def _mac_unit(operand: int, wide: int, node: int) -> Component:
    """One multiply-accumulate: multiplier as wide as the wider operand, adder and register for the sum."""
    parts = [("multiplier", operand), ("adder", wide), ("register", wide)]
    return cells_component("compute", {"multiply_add": parts}, parts, node)


@lru_cache
def _driver(crossbar: CrossbarSpec, node: int, file: CostFile) -> Component:
    wire, supply = _parameter(file, "wire_ff_per_um"), _parameter(file, "supply_v")
    pitch_um = crossbar.cell_width_f * node * 1e-3
    energy = crossbar.cols * pitch_um * wire * supply**2 * 1e-3  # fF V^2 = fJ
    gate = cell("and_gate", 8, node)
    return Component(
        "converter",
        {
            "row_drive": Action(
                energy * (1 + 1 / (FAN_OUT - 1)),
                f"C V^2 of one wordline: {crossbar.cols} cells x {pitch_um:g} um x {wire:g} fF/um at "
                f"{supply:g} V (wire capacitance of NeuroSim V1.3), and 1/{FAN_OUT - 1} more for the stages of a "
                f"fan-out-of-{FAN_OUT} buffer before it",
            )
        },
        DRIVER_GATES / 8 * gate.leakage_mw,
        DRIVER_GATES / 8 * gate.area_um2,
        f"estimate: a buffer as large as {DRIVER_GATES} AND gates for each wordline, "
        + cell_source("and_gate 8b / 8", node),
    )


@lru_cache
def _gates(action: str, what: str, node: int) -> Component:
    """One AND gate for each count of `action`."""
    gate = cell("and_gate", 8, node)
    text = f"{what}; {cell_source('and_gate 8b / 8', node)}"
    return Component(
        "converter", {action: Action(gate.energy_pj / 8, text)}, gate.leakage_mw / 8, gate.area_um2 / 8, text
    )


@lru_cache
def _skip_detector(rows: int, node: int) -> Component:
    """An OR over the rows of one crossbar."""
    one = _gates("check_bits", "an OR over the input bits, as many AND gates", node)
    return replace(one, leakage_mw=one.leakage_mw * rows, area_um2=one.area_um2 * rows)


@lru_cache
def _control(node: int) -> Component:
    """Sequencer of one tile: counters of output row, output column and multiplexer turn."""
    counters = COUNTERS * [("adder", COUNTER_BITS), ("register", COUNTER_BITS)]
    return cells_component(
        "compute", {"step": counters}, counters, node, "; the clock tree is an explicit zero: no source"
    )


@lru_cache
def _adc(bits: int, file: CostFile) -> Component:
    points = sorted(file.converters, key=lambda point: point.bits)
    if not points:
        raise InputError(Problem(f"the cost table '{file.name}' has no converters", where="costs.table"))
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
    return replace(
        entry(file, "adc"),
        actions={"convert": Action(low.energy_pj * (above.energy_pj / low.energy_pj) ** share, source)},
        area_um2=low.area_um2 * (above.area_um2 / low.area_um2) ** share,
        source=source,
    )


@lru_cache
def _diff(wide: int, node: int) -> Component:
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


@lru_cache
def _byte(category: Category, node: int) -> Component:
    """A register of 8 bits."""
    return cells_component(category, {}, [("register", 8)], node)


def _input_registers(bits: int, node: int) -> Component:
    access, one = per_bit("register", 8, node), _byte("buffer", node)
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


def _htree(side_um: float, pes: int, bus_bits: int, file: CostFile) -> Component:
    """Wires from the middle of the tile to its PEs: level i of the tree is s / 2^(ceil(i/2)+1) long."""
    levels = math.ceil(math.log2(pes))
    lengths = [side_um / 2 ** (math.ceil(level / 2) + 1) for level in range(1, levels + 1)]
    path_mm = sum(lengths) * 1e-3
    total_um = sum(2**level * length for level, length in enumerate(lengths, start=1))
    pitch, wire = _parameter(file, "wire_pitch_um"), _wire(file)
    return Component(
        "interconnect",
        {"move_bits": Action(path_mm * wire.energy_pj, f"{path_mm:.3f} mm of wire, {wire.source}")},
        0.0,
        total_um * bus_bits * pitch,
        f"{bus_bits} wires of {pitch:g} um pitch, {total_um:.0f} um in all, from the tile's own area; "
        "no repeaters. The public constants (157.12 pJ per PE cycle, 433660 um2 per tile) have no stated source",
    )


def _noc(side_um: float, bits: int, node: int, file: CostFile) -> Component:
    """A router passed: into an input buffer, out of it, through the switch; a link: one tile's side of wire."""
    register, one, wire = per_bit("register", 8, node), _byte("interconnect", node), _wire(file)
    link_mm = side_um * 1e-3
    return Component(
        "interconnect",
        {
            "router_bits": Action(
                3 * register.energy_pj,
                f"3 register accesses per bit (into the input buffer, out of it, through the switch's output "
                f"register): {register.source}",
            ),
            "link_bits": Action(
                link_mm * wire.energy_pj, f"{link_mm:.3f} mm of wire, one side of a tile, {wire.source}"
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


@lru_cache
def _wire(file: CostFile) -> Action:
    """One bit over one millimetre: a quarter of C V^2, for random data."""
    capacitance, supply = _parameter(file, "wire_ff_per_um"), _parameter(file, "supply_v")  # fF/um = pF/mm
    return Action(0.25 * capacitance * supply**2, f"C V^2 / 4 per random bit: {capacitance:g} fF/um at {supply:g} V")
