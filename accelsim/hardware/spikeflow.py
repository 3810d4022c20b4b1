"""``kind: spikeflow``: tiles of RRAM crossbars (the SpikeFlow design of SpikeSim)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from pydantic import Field, field_validator, model_validator

from accelsim.crossbar.devices import Device, preset_names
from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.hardware.costs import Action, Component, CostFile, CostSection, CostTable, from_file
from accelsim.hardware.parts import (
    Demand,
    DramSpec,
    Macros,
    SramSpec,
    cells_component,
    digital_helpers,
    lif_component,
    macros,
    per_bit,
)
from accelsim.settings import Section

ROUTER_PORTS = 5  # four neighbours and the tile


class CrossbarSpec(Section):
    """One array of memory cells with its wires."""

    rows: int = Field(ge=1)
    """Wordlines: inputs."""
    cols: int = Field(ge=1)
    """Bitlines: outputs."""
    cell_bits: int = Field(ge=1)
    """Bits of a weight that one cell holds."""
    wordline_ohm: float = Field(0.0, ge=0)
    """Wire resistance between two cells of a wordline. Loses accuracy (IR drop); energy and latency do
    not depend on it."""
    bitline_ohm: float = Field(0.0, ge=0)
    """Wire resistance between two cells of a bitline (see `wordline_ohm`)."""
    driver_ohm: float = Field(0.0, ge=0)
    """Resistance of a wordline driver (see `wordline_ohm`)."""
    sense_ohm: float = Field(0.0, ge=0)
    """Resistance at the foot of a bitline (see `wordline_ohm`)."""
    cell_height_f: float = Field(12.0, gt=0)
    """Height of a cell along the bitline in feature sizes."""
    cell_width_f: float = Field(4.0, gt=0)
    """Width of a cell along the wordline in feature sizes."""


class DeviceSpec(Section):
    """The memory cell."""

    preset: str
    """Name of a cell (`accelsim list devices`)."""
    read_noise: float | None = Field(None, ge=0, lt=1)
    """Relative sigma of one read; the preset's where not given. Loses accuracy, not energy."""
    read_voltage_v: float | None = Field(None, gt=0)
    """Voltage of an active wordline; the preset's where not given."""
    read_pulse_ns: float | None = Field(None, gt=0)
    """Time a bitline conducts in one read; the preset's where not given."""

    @field_validator("preset")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in preset_names():
            known = preset_names()
            raise ValueError(f"no cell '{name}', allowed: {', '.join(known)}{did_you_mean(name, known)}")
        return name

    @model_validator(mode="after")
    def _complete(self) -> DeviceSpec:
        for key in ("read_voltage_v", "read_pulse_ns"):
            if getattr(self, key) is None and getattr(Device.preset(self.preset), key) is None:
                raise ValueError(f"the source of the cell '{self.preset}' states no {key}; give device.{key}")
        return self

    def device(self) -> Device:
        """The cell with the changes of this file."""
        changes = {
            "read_noise_sigma": self.read_noise,
            "read_voltage_v": self.read_voltage_v,
            "read_pulse_ns": self.read_pulse_ns,
        }
        return Device.preset(self.preset).replace(**{key: value for key, value in changes.items() if value is not None})


class AdcSpec(Section):
    """Analog-to-digital converters at the foot of the bitlines."""

    bits: int = Field(ge=1, le=16)
    columns_per_adc: int = Field(ge=1)
    """Bitlines that share one converter through a multiplexer, one after another."""
    cycles_per_conversion: int = Field(3, ge=1)
    """Clock cycles of one multiplexer turn: select and settle, integrate, convert."""


class WeightSpec(Section):
    """How signed weights lie on the cells."""

    signed: Literal["diff", "differential_pair", "offset_column"] = "diff"
    """`diff`: the DIFF module, negative codes stored with an offset of 2^(b-1) that is subtracted for the
    spikes on negative weights; `differential_pair`: two arrays; `offset_column`: one reference column."""
    sign_sum: Literal["column", "popcount"] = "column"
    """`diff`: where the number of spikes on negative weights comes from: a 1-bit sign column per weight
    column, read and converted like any other, or a digital population count."""


class PeSpec(Section):
    """A processing element: crossbars and their converters."""

    crossbars: int = Field(9, ge=1)
    """Crossbars of one PE (9: one for each position of a 3x3 kernel)."""


class TileSpec(Section):
    """A tile: PEs, a buffer, an H-tree, accumulators, and its router."""

    pes: int = Field(ge=1)
    bus_bits: int = Field(64, ge=1)
    """Wires of the H-tree."""


class TimingSpec(Section):
    """Clock cycles of a PE beside the conversions."""

    fetch_cycles: int = Field(1, ge=0)
    """Input rows into the drivers."""
    accumulate_cycles: int = Field(1, ge=0)
    """Last shift-add, DIFF and hand-over."""


class LifSpec(Section):
    """The neuronal module."""

    share: int = Field(1, ge=1)
    """C#n: one LIF unit serves n output channels, one after another."""
    units: int | None = Field(None, ge=1)
    """Number of LIF units; by default ceil(crossbar.cols / share)."""
    membrane_sharing: int = Field(1, ge=1)
    """EfficientLIF-Net: n channels share one stored membrane potential."""


class NocSpec(Section):
    """Mesh between tiles and the neuronal module."""

    flit_bits: int = Field(64, ge=1)
    buffer_flits: int = Field(4, ge=1)
    """Depth of each router input buffer."""
    module_ports: int = Field(4, ge=1)
    """Links between the mesh and the neuronal module."""


class GrowingSram(Section):
    """A memory as large as the network needs, in macros of CACTI sizes."""

    size_bytes: int | None = Field(None, ge=1)
    """Fixed size; by default what the network needs."""
    width_bytes: int = Field(ge=1)
    banks: int = Field(1, ge=1)

    @property
    def line_bits(self) -> int:
        """Bits of one access."""
        return self.width_bytes * 8


class Memories(Section):
    """Buffers of the machine."""

    tile_buffer: SramSpec
    global_buffer: GrowingSram
    """Spikes of all layers on their way (one timestep), and the input image."""
    membrane: GrowingSram
    """Membrane potentials of all neurons."""
    dram: DramSpec


class DigitalSpec(Section):
    """Adders for products that cannot be mapped: both operands of spiking attention change."""

    lanes: int = Field(64, ge=1)
    """Accumulations per cycle."""


class SpikeflowFile(Section):
    """RRAM crossbars in PEs, PEs in tiles, tiles on a mesh around the neuronal module."""

    format: Literal["accelsim.hardware/1"] = "accelsim.hardware/1"
    kind: Literal["spikeflow"]
    name: str = Field(min_length=1)
    description: str = ""
    source: str = ""
    technology_nm: int = Field(65, ge=1)
    clock_mhz: float = Field(gt=0)
    crossbar: CrossbarSpec
    device: DeviceSpec
    adc: AdcSpec
    weights: WeightSpec = WeightSpec()
    pe: PeSpec = PeSpec()
    tile: TileSpec
    timing: TimingSpec = TimingSpec()
    accumulator_bits: int = Field(16, ge=2, le=32)
    """Width of partial sums after the converters."""
    pipeline: Literal["rows", "none"] = "rows"
    """`rows`: a layer starts as soon as the rows its window needs exist; `none`: layer after layer."""
    static_input: Literal["reuse", "recompute"] = "reuse"
    """A direct-encoded first layer: computed once and its sums kept, or computed at every timestep."""
    lif: LifSpec = LifSpec()
    noc: NocSpec = NocSpec()
    digital: DigitalSpec = DigitalSpec()
    memories: Memories
    costs: CostSection

    @model_validator(mode="after")
    def _consistent(self) -> SpikeflowFile:
        cell = Device.preset(self.device.preset)
        if self.crossbar.cell_bits > cell.max_cell_bits:
            raise ValueError(
                f"crossbar.cell_bits is {self.crossbar.cell_bits}; the cell '{cell.name}' holds at most "
                f"{cell.max_cell_bits}"
            )
        if self.adc.columns_per_adc > self.crossbar.cols:
            raise ValueError(
                f"adc.columns_per_adc is {self.adc.columns_per_adc}, but a crossbar has {self.crossbar.cols} columns"
            )
        slot_ns = self.adc.cycles_per_conversion * 1e3 / self.clock_mhz
        pulse = self.device.device().read_pulse_ns
        if pulse is not None and pulse > slot_ns:
            raise ValueError(
                f"the read pulse of {pulse:g} ns does not fit the {slot_ns:g} ns of one conversion "
                f"(adc.cycles_per_conversion {self.adc.cycles_per_conversion} at {self.clock_mhz:g} MHz)"
            )
        return self

    @property
    def lif_units(self) -> int:
        """LIF units of the neuronal module."""
        return self.lif.units or -(-self.crossbar.cols // self.lif.share)

    @property
    def adcs_per_crossbar(self) -> int:
        """Converters of one crossbar."""
        return -(-self.crossbar.cols // self.adc.columns_per_adc)

    def slices(self, weight_bits: int) -> int:
        """Cells that hold the magnitude of one weight."""
        return -(-weight_bits // self.crossbar.cell_bits)

    def arrays_per_weight(self, weight_bits: int) -> int:
        """Columns read for one weight: bit slices, times the signed scheme."""
        slices = self.slices(weight_bits)
        if self.weights.signed == "differential_pair":
            return 2 * slices
        if self.weights.signed == "diff" and self.weights.sign_sum == "column":
            return slices + 1
        return slices

    def membrane_macros(self, demand: Demand) -> Macros:
        """The membrane memory for a network."""
        stored = -(-demand.neurons // self.lif.membrane_sharing) * demand.precision.membrane_bits
        return self._grown("membrane", self.memories.membrane, stored)

    def global_macros(self, demand: Demand) -> Macros:
        """The global buffer for a network."""
        return self._grown("global_buffer", self.memories.global_buffer, demand.map_bits)

    def _grown(self, name: str, spec: GrowingSram, bits: int) -> Macros:
        if spec.size_bytes is not None and spec.size_bytes * 8 < bits:
            raise InputError(
                Problem(
                    f"{spec.size_bytes} bytes are too few, this network needs {-(-bits // 8)}",
                    where=f"memories.{name}.size_bytes",
                )
            )
        size = bits if spec.size_bytes is None else spec.size_bytes * 8
        return macros(size, spec.width_bytes, spec.banks, self.technology_nm, f"memories.{name}")

    # -- costs ---------------------------------------------------------------------------------------

    def cost_table(self, file: CostFile, demand: Demand) -> CostTable:
        """Costs for a network with the given demands."""
        node, wide = self.technology_nm, self.accumulator_bits
        add_store = [("adder", wide), ("register", wide)]
        components = {
            **from_file(file),
            "crossbar": self._crossbar(),
            "driver": self._driver(file),
            "adc": self._adc(file),
            "shift_add": cells_component("compute", {"add": add_store}, add_store, node),
            "diff": self._diff(),
            "pe_accumulator": cells_component("compute", {"add": add_store}, add_store, node),
            "tile_accumulator": cells_component("compute", {"add": add_store}, add_store, node),
            "global_accumulator": cells_component("compute", {"add": add_store}, add_store, node),
            "digital_unit": cells_component("compute", {"accumulate": add_store}, add_store, node),
            "lif": lif_component(demand.precision.membrane_bits, wide, node),
            **digital_helpers(demand.precision, wide, node),
            "pe_buffer": self._input_registers(),
            "tile_buffer": self.memories.tile_buffer.component("tile_buffer", node),
            "global_buffer": self.global_macros(demand).component,
            "membrane": replace(self.membrane_macros(demand).component, category="lif"),
        }
        components["htree"] = self._htree(file, components)
        components["noc"] = self._noc(file, components)
        return CostTable(components)

    def _crossbar(self) -> Component:
        device, node = self.device.device(), self.technology_nm
        voltage, pulse = device.read_voltage_v, device.read_pulse_ns
        assert voltage is not None
        assert pulse is not None
        conductance = device.mean_conductance_s(self.crossbar.cell_bits)
        cell_area = self.crossbar.cell_height_f * self.crossbar.cell_width_f * (node * 1e-3) ** 2
        return Component(
            "converter",
            {
                "cell_read": Action(
                    voltage**2 * conductance * pulse * 1e3,  # V^2 S ns = nJ
                    f"V^2 G t of one cell on an active wordline: {voltage:g} V, {conductance * 1e6:.1f} uS (mean over "
                    f"all {self.crossbar.cell_bits}-bit codes of the cell '{device.name}'), {pulse:g} ns",
                )
            },
            0.0,
            self.crossbar.rows * self.crossbar.cols * cell_area,
            f"cell of {self.crossbar.cell_height_f:g} F x {self.crossbar.cell_width_f:g} F at {node} nm (1T1R cell of "
            "NeuroSim V1.3); the public SpikeSim constant of 26.2144 um2 per 64x64 array is 1.5 F^2 per cell, less "
            "than the 4 F^2 of any crossbar, and does not grow with the array. No leakage: the cells are not volatile",
        )

    def _driver(self, file: CostFile) -> Component:
        wire, supply = _parameter(file, "wire_ff_per_um"), _parameter(file, "supply_v")
        pitch_um = self.crossbar.cell_width_f * self.technology_nm * 1e-3
        energy = self.crossbar.cols * pitch_um * wire * supply**2 * 1e-3  # fF V^2 = fJ
        known = from_file(file)["driver"]
        return replace(
            known,
            actions={
                "row_drive": Action(
                    energy,
                    f"C V^2 of one wordline: {self.crossbar.cols} cells x {pitch_um:g} um x {wire:g} fF/um at "
                    f"{supply:g} V (wire capacitance of NeuroSim V1.3)",
                )
            },
        )

    def _adc(self, file: CostFile) -> Component:
        points = sorted(file.converters, key=lambda point: point.bits)
        bits = self.adc.bits
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

    def _diff(self) -> Component:
        wide, node = self.accumulator_bits, self.technology_nm
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

    def _input_registers(self) -> Component:
        bits = self.pe.crossbars * self.crossbar.rows
        access = per_bit("register", 8, self.technology_nm)
        one = cells_component("buffer", {}, [("register", 8)], self.technology_nm)
        return replace(
            one,
            actions={"write_bits": access, "read_bits": access},
            leakage_mw=one.leakage_mw * bits / 8,
            area_um2=one.area_um2 * bits / 8,
            source=f"{bits} input bits of one PE in registers: {one.source}",
        )

    def tile_side_um(self, components: dict[str, Component]) -> float:
        """Side of a square tile holding its PEs and buffer."""
        crossbar = components["crossbar"].area_um2 + self.adcs_per_crossbar * (
            components["adc"].area_um2 + components["mux"].area_um2 + components["shift_add"].area_um2
        )
        pe = self.pe.crossbars * crossbar + components["pe_buffer"].area_um2 + components["pe_accumulator"].area_um2
        return math.sqrt(self.tile.pes * pe + components["tile_buffer"].area_um2)

    def _htree(self, file: CostFile, components: dict[str, Component]) -> Component:
        """Wires from the middle of the tile to its PEs: level i of the tree is s / 2^(ceil(i/2)+1) long."""
        side, levels = self.tile_side_um(components), math.ceil(math.log2(self.tile.pes)) if self.tile.pes > 1 else 0
        lengths = [side / 2 ** (math.ceil(level / 2) + 1) for level in range(1, levels + 1)]
        path_mm = sum(lengths) * 1e-3
        total_um = sum(2**level * length for level, length in enumerate(lengths, start=1))
        pitch = _parameter(file, "wire_pitch_um")
        return Component(
            "interconnect",
            {"move_bits": Action(path_mm * _wire_pj(file), f"{path_mm:.3f} mm of wire, {_wire_text(file)}")},
            0.0,
            total_um * self.tile.bus_bits * pitch,
            f"{self.tile.bus_bits} wires of {pitch:g} um pitch, {total_um:.0f} um in all, from the tile's own area; "
            "no repeaters. The public constants (157.12 pJ per PE cycle, 433660 um2 per tile) have no stated source",
        )

    def _noc(self, file: CostFile, components: dict[str, Component]) -> Component:
        """A hop: into an input buffer, out of it, through the switch's output register, along one tile's side."""
        register = per_bit("register", 8, self.technology_nm)
        link_mm = self.tile_side_um(components) * 1e-3
        bits = ROUTER_PORTS * (self.noc.buffer_flits + 1) * self.noc.flit_bits
        one = cells_component("interconnect", {}, [("register", 8)], self.technology_nm)
        return Component(
            "interconnect",
            {
                "hop_bits": Action(
                    3 * register.energy_pj + link_mm * _wire_pj(file),
                    f"3 register accesses per bit and {link_mm:.3f} mm of wire, {_wire_text(file)}; {register.source}",
                )
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
