"""The public SpikeSim script's area, energy and latency restated: closed formulas, choices and oddities included.

A restatement of what the script *does*, for reproducing figures that were published with it; the machine model of
this package is `accelsim.machines.spikeflow`. Only convolutions are mapped; neither spikes nor weights nor the
precision matter; energy counts PE cycles, latency counts neurons, and the two do not agree. Areas in um2, energies in
pJ, times in ns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Literal

from pydantic import Field

from accelsim.core.errors import InputError, Problem
from accelsim.core.files import read_yaml
from accelsim.core.settings import Section, validate
from accelsim.studies.reproduce.sata_sim import DATA

Device = Literal["rram", "sram"]


class Parts(Section):
    """One figure for each part that has an area and needs energy."""

    crossbar: dict[str, float]
    adc: float
    mux: float
    subtract: float
    temp_buffer: float
    tile_buffer: float
    htree: float


class Areas(Parts):
    """Areas in um2."""

    memory_bit: float


class Energies(Parts):
    """Energies in pJ."""

    fetch: float
    neuron: float


class Constants(Section):
    """What the script computes with (``data/spikesim_ela.yaml``)."""

    source: str
    columns_per_adc: int = Field(ge=1)
    value_bits: int = Field(ge=1)
    cycles_per_pe_cycle: int = Field(ge=1)
    neuron_layers: int = Field(ge=1)
    overlap: float = Field(ge=0, le=1)
    overlap_layers: int = Field(ge=1)
    area_um2: Areas
    energy_pj: Energies


@cache
def constants() -> Constants:
    """The script as published."""
    return validate(Constants, read_yaml(DATA / "spikesim_ela.yaml"))


@dataclass(frozen=True)
class Layer:
    """A convolution on square images; `out_size` is taken after the pooling that follows it."""

    in_channels: int
    out_channels: int
    in_size: int
    out_size: int

    @property
    def neurons(self) -> int:
        """Outputs after pooling."""
        return self.out_size**2 * self.out_channels


@dataclass(frozen=True)
class Setting:
    """The script's options."""

    crossbar: int = 64
    kernel: int = 3
    pes_per_tile: int = 8
    timesteps: int = 5
    clock_mhz: float = 250
    device: Device = "rram"

    @property
    def pe_cycle_ns(self) -> float:
        """One cycle of a processing element."""
        return constants().cycles_per_pe_cycle * 1e3 / self.clock_mhz

    @property
    def ports(self) -> float:
        """The X/8 of the script: converters of a crossbar, and turns of a multiplexer at once."""
        return self.crossbar / constants().columns_per_adc

    def check(self) -> None:
        """Refuse what has no meaning (the script checks nothing).

        Raises:
            InputError: everything that is wrong.
        """
        problems = [
            Problem(f"found {value}, allowed: 1 or more", where=name)
            for name, value in (
                ("crossbar", self.crossbar),
                ("kernel", self.kernel),
                ("pes_per_tile", self.pes_per_tile),
                ("timesteps", self.timesteps),
            )
            if value < 1
        ]
        if not self.clock_mhz > 0:
            problems.append(Problem(f"found {self.clock_mhz:g}, allowed: above 0", where="clock_mhz"))
        if self.device not in constants().energy_pj.crossbar:
            problems.append(Problem(f"found '{self.device}', allowed: rram, sram", where="device"))
        if problems:
            raise InputError(problems)


@dataclass(frozen=True)
class Mapping:
    """Processing elements of each layer, of the network, and tiles; layers share tiles."""

    pes: Sequence[int]
    tiles: int


def mapped(layers: Iterable[Layer], setting: Setting) -> Mapping:
    """Processing elements and tiles.

    Raises:
        InputError: bad settings or sizes, or layers out of order (see `_in_order`).
    """
    layers = _checked(layers, setting)
    pes = [_pes(layer, setting) for layer in layers]
    _in_order(pes)
    return Mapping(pes, math.ceil(sum(pes) / setting.pes_per_tile))


def _checked(layers: Iterable[Layer], setting: Setting) -> list[Layer]:
    setting.check()
    layers = list(layers)
    if not layers:
        raise InputError(Problem("a network needs a convolution", where="layers"))
    for index, layer in enumerate(layers):
        if min(layer.in_channels, layer.out_channels, layer.in_size, layer.out_size) < 1:
            raise InputError(Problem("sizes of a layer must be 1 or more", where=f"layers[{index}]"))
    return layers


def _pes(layer: Layer, setting: Setting) -> int:
    return math.ceil(layer.in_channels / setting.crossbar) * math.ceil(layer.out_channels / setting.crossbar)


def _in_order(pes: Sequence[float]) -> None:
    """The script gives up on a network whose layers need fewer processing elements further in."""
    for index, (before, after) in enumerate(pairwise(pes)):
        if after < before:
            raise InputError(
                Problem(
                    f"needs {after:g} PEs after a layer with {before:g}: the SpikeSim script refuses networks whose "
                    "PE count ever falls (the original prints 'Check layer order' and then fails)",
                    where=f"layers[{index + 1}]",
                )
            )


@dataclass(frozen=True)
class Area:
    """Areas in um2, and the components that sum to `total`."""

    pe: float
    tile: float
    tiles: float
    components: dict[str, float]
    input_memory_by_layer: Sequence[float]

    @property
    def total(self) -> float:
        """What the script prints."""
        return self.tiles + self.components["input_feature_memory"] + self.components["neuron_memory"]


def area(layers: Iterable[Layer], setting: Setting | None = None) -> Area:
    """Area: tiles, memory of all feature maps, and neuron memory of the first five layers.

    Raises:
        InputError: see `mapped`.
    """
    setting = setting or Setting()
    layers = list(layers)
    placed = mapped(layers, setting)
    known = constants()
    a, ports, bits = known.area_um2, setting.ports, known.area_um2.memory_bit * known.value_bits
    crossbars = setting.kernel**2 * a.crossbar[setting.device]
    pe = crossbars + ports * (a.adc + a.mux)
    tile = ports * a.subtract + a.temp_buffer + a.tile_buffer + setting.pes_per_tile * pe + a.htree
    slots = placed.tiles * setting.pes_per_tile
    maps = [bits * layer.in_channels * layer.in_size**2 for layer in layers]
    components = {
        "crossbars": slots * crossbars,
        "adc": slots * ports * a.adc,
        "mux": slots * ports * a.mux,
        "sub_diff": placed.tiles * ports * a.subtract,
        "temp_buffer": placed.tiles * a.temp_buffer,
        "tile_buffer": placed.tiles * a.tile_buffer,
        "htree": placed.tiles * a.htree,
        "input_feature_memory": sum(maps),
        "neuron_memory": bits * sum(layer.neurons for layer in layers[: known.neuron_layers]),
    }
    return Area(pe, tile, placed.tiles * tile, components, maps)


@dataclass(frozen=True)
class Energy:
    """Energy in pJ: PE cycles per timestep and layer x the energy of one x timesteps."""

    pe_cycle_pj: float
    pe_cycles: Sequence[int]
    timesteps: int
    parts_pj: dict[str, float]
    """Energy of one PE cycle by component."""

    @property
    def by_layer(self) -> list[float]:
        """Energy of each layer."""
        return [cycles * self.pe_cycle_pj * self.timesteps for cycles in self.pe_cycles]

    @property
    def components(self) -> dict[str, float]:
        """Energy of the network by component."""
        return {name: part * sum(self.pe_cycles) * self.timesteps for name, part in self.parts_pj.items()}

    @property
    def total(self) -> float:
        """What the script prints."""
        return sum(self.by_layer)


def energy(layers: Iterable[Layer], setting: Setting | None = None) -> Energy:
    """Energy; spikes, weights, clock and tiles do not matter, nor the order of layers.

    Raises:
        InputError: bad settings or sizes.
    """
    setting = setting or Setting()
    layers = _checked(layers, setting)
    e, ports = constants().energy_pj, setting.ports
    parts = {
        "htree": e.htree,
        "mem_fetch": e.fetch,
        "neuron": e.neuron,
        "crossbars": ports * setting.kernel**2 * e.crossbar[setting.device],
        # Converters of the PE once more times the turns of their multiplexers.
        "adc": ports * ports * e.adc,
        "mux": ports * ports * e.mux,
        "sub_diff": 16 * ports * e.subtract,
        "temp_buffer": ports * e.temp_buffer,
        "tile_buffer": e.tile_buffer,
    }
    cycles = [_pes(layer, setting) * layer.out_size**2 for layer in layers]
    return Energy(sum(parts.values()), cycles, setting.timesteps, parts)


@dataclass(frozen=True)
class Latency:
    """When each layer starts and ends, in PE cycles."""

    pe_cycle_ns: float
    starts: Sequence[int]
    ends: Sequence[int]
    handed_over: Sequence[int]
    """PE cycles after which the next layer may start."""
    own: Sequence[int]
    """PE cycles a layer takes."""
    fractional_pes: Sequence[float] = field(default_factory=tuple)

    @property
    def total(self) -> float:
        """What the script prints: the end of the last layer, in ns."""
        return self.ends[-1] * self.pe_cycle_ns


def latency(layers: Iterable[Layer], setting: Setting | None = None, *, extend_overlap: bool = False) -> Latency:
    """Latency: one PE cycle per output neuron and timestep, layers overlapping by a quarter of their producer.

    Args:
        layers, setting: the network and the options.
        extend_overlap: go on with the same overlap where the script's list of twelve ends.

    Raises:
        InputError: where the original fails (layers out of order, more than 12 layers) or never returns
            (every layer smaller than one crossbar), and bad settings or sizes.
    """
    setting = setting or Setting()
    layers, known = _checked(layers, setting), constants()
    fractional = [layer.in_channels * layer.out_channels / setting.crossbar**2 for layer in layers]
    _in_order(fractional)  # without rounding up, so this check can differ from that of the area
    if not any(int(pes) for pes in fractional):
        raise InputError(
            Problem(
                f"every layer is smaller than one {setting.crossbar}x{setting.crossbar} crossbar: "
                "the SpikeSim script's latency never returns for such a network",
                where="layers",
            )
        )
    if len(layers) > known.overlap_layers and not extend_overlap:
        raise InputError(
            Problem(
                f"found {len(layers)} layers: the SpikeSim script knows overlaps for {known.overlap_layers} only "
                "(the original ends in an IndexError); extend_overlap goes on with the same overlap",
                where="layers",
            )
        )
    handed = [int(known.overlap * layer.neurons) * setting.timesteps for layer in layers]
    own = [layer.neurons * setting.timesteps for layer in layers]
    starts, ends, before = [], [], 0
    for index in range(len(layers)):
        starts.append(1 + before)
        ends.append(own[index] + before)
        before += handed[index]
    return Latency(setting.pe_cycle_ns, starts, ends, handed, own, fractional)
