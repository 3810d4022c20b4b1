"""``kind: spikeflow``: tiles of RRAM crossbars (the SpikeFlow design of SpikeSim)."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from pydantic import Field, field_validator, model_validator

from accelsim.core.errors import InputError, Problem, did_you_mean
from accelsim.core.settings import Section
from accelsim.costs.parts import (
    Demand,
    DramSpec,
    Macros,
    SramSpec,
    macros,
)
from accelsim.costs.table import Category, CostSection
from accelsim.crossbar.devices import Device, preset_names
from accelsim.machines.machine import MachineFile


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
        return _device(self.preset, self.read_noise, self.read_voltage_v, self.read_pulse_ns)


@lru_cache
def _device(preset: str, read_noise: float | None, read_voltage_v: float | None, read_pulse_ns: float | None) -> Device:
    changes = {"read_noise_sigma": read_noise, "read_voltage_v": read_voltage_v, "read_pulse_ns": read_pulse_ns}
    return Device.preset(preset).replace(**{key: value for key, value in changes.items() if value is not None})


class AdcSpec(Section):
    """Analog-to-digital converters at the foot of the bitlines."""

    bits: int = Field(ge=1, le=16)
    """Resolution."""
    columns_per_adc: int = Field(ge=1)
    """Bitlines that share one converter through a multiplexer, one after another."""
    cycles_per_conversion: int = Field(3, ge=1)
    """Clock cycles of one multiplexer turn: select and settle, integrate, convert."""
    sample_hold: bool = False
    """All bitlines are read at once and held while the converter works through them; otherwise a bitline
    conducts only in its own multiplexer turn."""


class WeightSpec(Section):
    """How signed weights lie on the cells."""

    signed: Literal["diff", "differential_pair", "offset_column"] = "diff"
    """`diff`: the DIFF module, negative codes stored with an offset of 2^(b-1) that is subtracted for the
    spikes on negative weights; `differential_pair`: two arrays; `offset_column`: one reference column."""
    sign_sum: Literal["column", "popcount"] = "column"
    """`diff`: where the number of spikes on negative weights comes from: a 1-bit sign column per weight
    column, read and converted like any other, or a digital population count."""
    baseline: Literal["none", "column"] = "none"
    """`column`: one column of each array stays at code 0; what its cells conduct is sampled in a conversion slot of its
    own and subtracted from the other columns before they are converted."""


class CrossbarPeSpec(Section):
    """A processing element: crossbars and their converters."""

    crossbars: int = Field(9, ge=1)
    """Crossbars of one PE (9: one for each position of a 3x3 kernel)."""


class TileSpec(Section):
    """A tile: PEs, a buffer, an H-tree, accumulators, and its router."""

    pes: int = Field(ge=1)
    """PEs of one tile."""
    bus_bits: int = Field(512, ge=1)
    """Wires of the H-tree, a bit on each per cycle; inputs and sums take turns."""


class TimingSpec(Section):
    """Clock cycles of a PE beside the conversions."""

    fetch_cycles: int = Field(1, ge=0)
    """Input rows into the drivers."""
    accumulate_cycles: int = Field(1, ge=0)
    """Last shift-add, DIFF and hand-over."""


class NeuronalModuleSpec(Section):
    """The neuronal module."""

    share: int = Field(1, ge=1)
    """C#n: one LIF unit serves n output channels, one after another."""
    units: int | None = Field(None, ge=1)
    """Number of LIF units; by default ceil(crossbar.cols / share)."""
    membrane_sharing: int = Field(1, ge=1)
    """EfficientLIF-Net: n channels share one stored membrane potential."""


class MeshSpec(Section):
    """Mesh between tiles and the neuronal module."""

    flit_bits: int = Field(64, ge=1)
    """Wires of a link; one flit passes in a cycle."""
    vcs: int = Field(2, ge=1, le=64)
    """Virtual channels of each router port."""
    buffer_flits: int = Field(8, ge=1)
    """Depth of each router input buffer, per virtual channel."""
    packet_flits: int = Field(32, ge=1)
    """Longest packet; what is longer travels as several."""
    header_bits: int = Field(16, ge=0)
    """Bits of the first flit of a packet that say where it goes."""
    torus: bool = False
    """Link the ends of each row and column."""
    module_ports: int = Field(4, ge=1)
    """Routers of the mesh that belong to the neuronal module instead of a tile."""

    @model_validator(mode="after")
    def _room(self) -> MeshSpec:
        if self.header_bits >= self.flit_bits:
            raise ValueError(f"a header of {self.header_bits} bits does not fit a flit of {self.flit_bits}")
        if self.torus and self.vcs < 2:
            raise ValueError("a torus needs 2 virtual channels or more: its rings would deadlock with one")
        return self


class PlacementSpec(Section):
    """Which tile holds which layer, and where it lies on the mesh."""

    order: Literal["snake", "nearest"] = "nearest"
    """`snake`: tiles in network order, row after row; `nearest`: the tile with the most traffic lies closest to
    the neuronal module, which makes the sum of flits x links as small as it can be."""
    share_tiles: bool = False
    """Layers follow one another without a gap; otherwise a tile holds one layer only."""
    extra_tiles: int = Field(0, ge=0)
    """Area budget for copies: tiles that further copies of the slowest layers may take. Each copy works on its
    own part of every output row."""


class GrowingSram(Section):
    """A memory as large as the network needs, in macros of CACTI sizes."""

    size_bytes: int | None = Field(None, ge=1)
    """Fixed size; by default what the network needs."""
    width_bytes: int = Field(ge=1)
    """Bytes of one line."""
    banks: int = Field(1, ge=1)
    """Banks of each macro."""

    @property
    def line_bits(self) -> int:
        """Bits of one access."""
        return self.width_bytes * 8


class SpikeflowMemories(Section):
    """Buffers of the machine."""

    tile_buffer: SramSpec
    global_buffer: GrowingSram
    """Spikes of all layers on their way (one timestep), and the input image."""
    membrane: GrowingSram
    """Membrane potentials of all neurons."""
    first_layer: GrowingSram = GrowingSram(width_bytes=32)
    """Weights of layers with analog inputs where `first_layer` is `digital`."""
    dram: DramSpec


class DigitalSpec(Section):
    """Digital arithmetic: adders for products that cannot be mapped (both operands of spiking attention
    change), multipliers for layers with analog inputs where `first_layer` is `digital`."""

    lanes: int = Field(64, ge=1)
    """Accumulations per cycle."""
    macs: int = Field(64, ge=1)
    """Multiply-accumulates per cycle."""
    activations_per_cycle: int = Field(64, ge=1)
    """ANN only: outputs through ReLU and requantisation in one cycle."""


class SpikeflowFile(MachineFile):
    """RRAM crossbars in PEs, PEs in tiles, tiles on a mesh around the neuronal module."""

    format: Literal["accelsim.hardware/1"] = "accelsim.hardware/1"
    """Format of the file, with its version; may be left out."""
    kind: Literal["spikeflow"]
    """Selects this schema."""
    name: str = Field(min_length=1)
    """Name in results."""
    description: str = ""
    """What it is, for `accelsim list hardware`."""
    source: str = ""
    """Where the design comes from."""
    technology_nm: int = Field(65, ge=1)
    """Technology node in nm; cells and memories must have figures for it."""
    clock_mhz: float = Field(gt=0)
    """Clock of the whole machine."""
    crossbar: CrossbarSpec
    device: DeviceSpec
    adc: AdcSpec
    weights: WeightSpec = WeightSpec()
    pe: CrossbarPeSpec = CrossbarPeSpec()
    tile: TileSpec
    timing: TimingSpec = TimingSpec()
    accumulator_bits: int = Field(16, ge=2, le=32)
    """Width of partial sums after the converters."""
    pipeline: Literal["rows", "none"] = "rows"
    """`rows`: a layer starts as soon as the rows its window needs exist; `none`: layer after layer."""
    zero_skipping: Literal["none", "crossbar"] = "none"
    """`crossbar`: a crossbar none of whose rows has a spike is neither read nor converted, and a window without
    any spike takes no conversion time; an OR over the input bits finds out."""
    static_input: Literal["reuse", "recompute"] = "reuse"
    """A direct-encoded first layer: computed once and its sums kept, or computed at every timestep."""
    first_layer: Literal["crossbar", "digital"] = "crossbar"
    """Layers with analog inputs: bit by bit on crossbars, or on digital multipliers beside the neuronal module."""
    lif: NeuronalModuleSpec = NeuronalModuleSpec()
    noc: MeshSpec = MeshSpec()
    placement: PlacementSpec = PlacementSpec()
    digital: DigitalSpec = DigitalSpec()
    memories: SpikeflowMemories
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
        turns = self.adc.columns_per_adc if self.adc.sample_hold else 1  # held: the next read during these conversions
        slot_ns = turns * self.adc.cycles_per_conversion * 1e3 / self.clock_mhz
        pulse = self.device.device().read_pulse_ns
        if pulse is not None and pulse > slot_ns:
            what = f"{turns} conversions" if turns > 1 else "one conversion"
            raise ValueError(
                f"the read pulse of {pulse:g} ns does not fit the {slot_ns:g} ns of {what} "
                f"(adc.cycles_per_conversion {self.adc.cycles_per_conversion} at {self.clock_mhz:g} MHz)"
            )
        if self.usable_cols < 1:
            raise ValueError(
                f"{self.reference_columns} reference columns leave none of crossbar.cols {self.crossbar.cols} "
                "for weights"
            )
        return self

    @property
    def reference_columns(self) -> int:
        """Columns of each crossbar that hold no weight: the offset of all of them, and the baseline of code 0."""
        return (self.weights.signed == "offset_column") + (self.weights.baseline == "column")

    @property
    def usable_cols(self) -> int:
        """Columns of a crossbar that hold weights: all but reference columns."""
        return self.crossbar.cols - self.reference_columns

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
        """The membrane memory for a network; gains and offsets of each timestep's own lie there, too."""
        stored = demand.stored_membranes(self.lif.membrane_sharing) * demand.precision.membrane_bits
        return self._grown("membrane", self.memories.membrane, stored + demand.affine_bits, "lif")

    def global_macros(self, demand: Demand) -> Macros:
        """The global buffer for a network."""
        return self._grown("global_buffer", self.memories.global_buffer, demand.map_bits)

    def first_layer_macros(self, demand: Demand) -> Macros:
        """The weight memory of a digital first layer."""
        stored = demand.analog_weights * demand.precision.weight_bits
        return self._grown("first_layer", self.memories.first_layer, stored)

    def _grown(self, name: str, spec: GrowingSram, bits: int, category: Category = "buffer") -> Macros:
        if spec.size_bytes is not None and spec.size_bytes * 8 < bits:
            raise InputError(
                Problem(
                    f"{spec.size_bytes} bytes are too few, this network needs {-(-bits // 8)}",
                    where=f"memories.{name}.size_bytes",
                )
            )
        size = bits if spec.size_bytes is None else spec.size_bytes * 8
        return macros(size, spec.width_bytes, spec.banks, self.technology_nm, f"memories.{name}", category)
