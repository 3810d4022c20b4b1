"""The public SATA inference-energy tool restated: its counts, cycles and energies, choices and oddities included.

A restatement of what the tool *does*, for reproducing figures that were published with it; the machine model of
this package is `accelsim.machines.systolic`. The tool counts operations with every layer padded by one pixel (a
fully-connected layer becomes nine outputs), but cycles and memory without padding; it charges a 32-byte access
per element; neither timesteps nor spikes change its memory traffic; cycles never depend on sparsity. Energies in
nJ, times in cycles; figures carry the tool's own names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from accelsim.core.errors import InputError, Problem
from accelsim.core.files import read_yaml
from accelsim.core.settings import Section, validate
from accelsim.studies.reproduce.kernels import flushed_fetches

DATA = Path(__file__).parent / "data"
PADDING = 1  # of the operation counts, whatever the layer

Figures = dict[str, float]


class Array(Section):
    """Processing elements."""

    rows: int = Field(ge=1)
    cols: int = Field(ge=1)

    @property
    def pes(self) -> int:
        """How many."""
        return self.rows * self.cols


class Kernel(Section):
    """Power of one group of cells in one processing element."""

    ungated_mw: float = Field(ge=0)
    gated_mw: float = Field(ge=0)
    leakage_mw: float = Field(ge=0)


class Memory(Section):
    """One global buffer."""

    size_bytes: int = Field(ge=1)
    access_nj: float = Field(ge=0)
    leakage_mw: float = Field(ge=0)


class Estimate(Section):
    """Cells and clock of the estimated column of Table II."""

    adder_8b_mw: float
    register_8b_mw: float
    multiplier_8b_mw: float
    clock_mhz: float

    def e_ac_pj(self, clock_mhz: float | None = None) -> float:
        """One 8-bit accumulation: power of adder and register x one clock period."""
        return (self.adder_8b_mw + self.register_8b_mw) * 1e3 / (clock_mhz or self.clock_mhz)


class Machine(Section):
    """What the tool computes with (``data/sata_sim.yaml``)."""

    source: str
    array: Array
    clock_mhz: float = Field(gt=0)
    kernels: dict[str, Kernel]
    memories: dict[str, Memory]
    dram_access_nj: float = Field(ge=0)
    estimate: Estimate


@cache
def machine() -> Machine:
    """The tool as published."""
    return validate(Machine, read_yaml(DATA / "sata_sim.yaml"))


@dataclass(frozen=True)
class Layer:
    """A layer as the tool's workload file gives it; a fully-connected one is a 1x1 image with a 1x1 filter."""

    name: str
    height: int
    width: int
    kernel_height: int
    kernel_width: int
    channels: int
    filters: int
    stride: int = 1

    @classmethod
    def conv(cls, name: str, size: int, channels: int, filters: int, kernel: int = 3, stride: int = 1) -> Layer:
        """A convolution on a square image."""
        return cls(name, size, size, kernel, kernel, channels, filters, stride)

    @classmethod
    def linear(cls, name: str, inputs: int, outputs: int) -> Layer:
        """A fully-connected layer."""
        return cls(name, 1, 1, 1, 1, inputs, outputs)

    @property
    def out_size(self) -> tuple[int, int]:
        """Output rows and columns without padding, as cycles and memory see them."""
        return (
            -(-(self.height - self.kernel_height + self.stride) // self.stride),
            -(-(self.width - self.kernel_width + self.stride) // self.stride),
        )

    @property
    def padded_outputs(self) -> int:
        """Output pixels with one pixel of padding, as the operation counts see them."""
        rows = (self.height + 2 * PADDING - self.kernel_height) // self.stride + 1
        return rows * ((self.width + 2 * PADDING - self.kernel_width) // self.stride + 1)

    @property
    def window(self) -> int:
        """Elements of one filter."""
        return self.kernel_height * self.kernel_width * self.channels

    @property
    def dense_macs(self) -> int:
        """The tool's multiply-accumulates of one dense timestep."""
        return self.filters * self.padded_outputs * self.window

    def check(self) -> None:
        """Refuse what makes the original stop.

        Raises:
            InputError: sizes that are not positive, or a filter larger than its image.
        """
        sizes = (self.height, self.width, self.kernel_height, self.kernel_width, self.channels, self.filters)
        if min(*sizes, self.stride) < 1:
            raise InputError(Problem("sizes of a layer must be 1 or more", where=self.name))
        if self.kernel_height > self.height or self.kernel_width > self.width:
            raise InputError(
                Problem(
                    f"the SATA tool cannot simulate a {self.kernel_height}x{self.kernel_width} filter on a "
                    f"{self.height}x{self.width} image: it knows no padding (the original stops with an assertion)",
                    where=self.name,
                )
            )


@cache
def cycle_stat(layer: Layer, array_rows: int, array_cols: int, ifmap_bytes: int, ofmap_bytes: int) -> Figures:
    """Accesses and cycles of one layer by the tool's two systolic passes, under the tool's own names.

    Inputs and outputs come from an output-stationary pass, weights from a weight-stationary one; neither knows
    timesteps or spikes, and a word is a byte.

    Raises:
        InputError: see `Layer.check`.
    """
    layer.check()
    rows, cols = array_rows, array_cols
    out_rows, out_cols = layer.out_size
    pixels, window, filters = out_rows * out_cols, layer.window, layer.filters
    row_folds, col_folds = -(-pixels // rows), -(-filters // cols)
    folds, fold_lines = row_folds * col_folds, window + rows + cols - 2
    start = window - 1 + (rows - min(rows, pixels))
    last_filters = filters - (col_folds - 1) * cols
    last_pixels = pixels - (row_folds - 1) * rows
    stop = (folds - 1) * fold_lines + window - 1 + (rows - 1) + (last_filters - 1)
    weight_folds = -(-window // rows) * col_folds
    weight_lines = 2 * rows + cols + pixels - 2
    weights = float(window * filters)
    return {
        "SRAM IFMAP Reads": float(col_folds * window * pixels),
        "SRAM IFMAP Cycles": float((folds - 1) * fold_lines + window - 1 + last_pixels - 1),
        # The second term is an addition made twice in the original.
        "SRAM OFMAP Writes": float(pixels * filters + folds * (rows + cols)),
        "SRAM OFMAP Start Cycle": float(start),
        "SRAM OFMAP Cycles": float(stop - start),
        "DRAM IFMAP Reads": float(_ifmap_fetches(layer, rows, col_folds, ifmap_bytes)),
        "DRAM OFMAP Writes": float(pixels * filters + _ofmap_surplus(pixels * filters, cols, ofmap_bytes)),
        "SRAM Filter Reads": weights,
        "DRAM Filter Reads": weights,
        "SRAM Filter Cycles": float((weight_folds - 1) * weight_lines + (rows - 1) - (rows - min(rows, window))),
    }


def _ifmap_fetches(layer: Layer, rows: int, col_folds: int, buffer_bytes: int) -> int:
    """DRAM reads of inputs: half the buffer is active, and is forgotten as a whole when full."""
    capacity = 50 * (buffer_bytes // 100)
    if capacity < 1:
        raise InputError(Problem("the input buffer of the SATA tool needs 100 bytes or more", where="ifmap.size_bytes"))
    touched = layer.channels
    for size, kernel, outputs in zip(
        (layer.height, layer.width), (layer.kernel_height, layer.kernel_width), layer.out_size, strict=True
    ):
        starts = range(0, outputs * layer.stride, layer.stride)
        touched *= len({start + tap for start in starts for tap in range(kernel) if start + tap < size})
    if touched < capacity:
        return touched
    return int(
        flushed_fetches(
            layer.height,
            layer.width,
            layer.kernel_height,
            layer.kernel_width,
            layer.channels,
            layer.stride,
            rows,
            col_folds,
            capacity,
        )
    )


def _ofmap_surplus(outputs: int, cols: int, buffer_bytes: int) -> int:
    """Writes that the original adds when its output buffer is flushed with a partly filled line."""
    half = buffer_bytes // 2
    return cols - 1 if outputs > half + 1 and half % cols == 0 else 0


@dataclass(frozen=True)
class Run:
    """The tool's figures for a network, and those for each layer on its own, in nJ, cycles and accesses."""

    network: Figures
    per_layer: Sequence[Figures]
    layers: Sequence[Layer]

    @property
    def energy_nj(self) -> float:
        """Everything together."""
        return self.network["grand_total"]


def simulate(layers: Iterable[Layer], timesteps: int, sparsity: float, tool: Machine | None = None) -> Run:
    """Counts and energies of a network.

    Args:
        layers: the network.
        timesteps: T; larger ones than the 8 spikes of a byte cost the tool no further traffic.
        sparsity: share of zero spikes, one figure for all layers.
        tool: what to compute with, by default the published settings.

    Raises:
        InputError: no layer, bad timesteps or sparsity, and what `Layer.check` refuses.
    """
    tool = tool or machine()
    layers = list(layers)
    if not layers:
        raise InputError(Problem("a network needs a layer", where="layers"))
    if timesteps < 1:
        raise InputError(Problem(f"found {timesteps}, allowed: 1 or more", where="timesteps"))
    if not 0 <= sparsity <= 1:
        raise InputError(Problem(f"found {sparsity:g}, allowed: 0 to 1", where="sparsity"))
    buffers = tool.memories["ifmap"].size_bytes, tool.memories["ofmap"].size_bytes
    stats = [cycle_stat(layer, tool.array.rows, tool.array.cols, *buffers) for layer in layers]
    per_layer = [_figures([x], [stat], timesteps, sparsity, tool) for x, stat in zip(layers, stats, strict=True)]
    return Run(_figures(layers, stats, timesteps, sparsity, tool), per_layer, layers)


def _figures(
    layers: Sequence[Layer], stats: Sequence[Mapping[str, float]], timesteps: int, sparsity: float, tool: Machine
) -> Figures:
    total = {name: sum(stat[name] for stat in stats) for name in stats[0]}
    # The sums are cut to whole numbers, so the float noise of (1 - sparsity) can lose an operation.
    macs = int(sum(layer.dense_macs * timesteps * (1 - sparsity) for layer in layers))
    lifs = sum(layer.filters * layer.padded_outputs * timesteps for layer in layers)
    cycles = sum(
        (stat["SRAM OFMAP Start Cycle"] + stat["SRAM OFMAP Cycles"]) * timesteps + stat["SRAM Filter Cycles"]
        for stat in stats
    )
    ns = 1e3 / tool.clock_mhz  # 1 mW x 1 ns = 1e-3 nJ
    figures: Figures = {
        "total_mac": macs,
        "total_lif": lifs,
        "total_cycles": cycles,
        "sram_i_reads": total["SRAM IFMAP Reads"],
        "sram_w_reads": total["SRAM Filter Reads"],
        "sram_o_writes": total["SRAM OFMAP Writes"],
        "dram_i_reads": total["DRAM IFMAP Reads"],
        "dram_w_reads": total["DRAM Filter Reads"],
        "dram_o_writes": total["DRAM OFMAP Writes"],
    }
    workload = {"spike-mac": macs, "spad": macs, "lif": lifs}
    groups = dict.fromkeys(("comp", "dram", "sram"), 0.0)

    def charge(group: str, name: str, nj: float) -> None:
        figures[name] = nj
        groups[group] += nj

    for name, kernel in tool.kernels.items():
        charge("comp", f"{name}/operation", kernel.gated_mw * workload[name] * ns * 1e-3)
        charge("comp", f"{name}/ungated", kernel.ungated_mw * cycles * ns * 1e-3 * tool.array.pes)
        charge("comp", f"{name}/leakage", kernel.leakage_mw * cycles * ns * 1e-3 * tool.array.pes)
    for name, short in (("ifmap", "i_reads"), ("weight", "w_reads"), ("ofmap", "o_writes")):
        charge("dram", f"dram/{name}", figures[f"dram_{short}"] * tool.dram_access_nj)
        memory = tool.memories[name]
        charge("sram", f"sram_{name}/dynamic", figures[f"sram_{short}"] * memory.access_nj)
        charge("sram", f"sram_{name}/leakage", memory.leakage_mw * cycles * ns * 1e-3)
    for group, nj in groups.items():
        figures[f"{group}_total"] = nj
    figures["grand_total"] = sum(groups.values())
    return figures


def estimated_nj(macs: float, timesteps: float, sparsity: float, clock_mhz: float | None = None) -> float:
    """The estimated column of Table II: MACs x timesteps x (1 - sparsity) x E_AC, in nJ."""
    return macs * timesteps * (1 - sparsity) * machine().estimate.e_ac_pj(clock_mhz) * 1e-3


def lif_power_share(tool: Machine | None = None, units: int | None = None) -> float:
    """LIF units' share of the power of all computation units (scratchpads are none), with `units` of the former."""
    tool = tool or machine()
    lif, mac = _active_mw(tool.kernels["lif"]), _active_mw(tool.kernels["spike-mac"])
    lif *= tool.array.pes if units is None else units
    return lif / (lif + mac * tool.array.pes)


def _active_mw(kernel: Kernel) -> float:
    return kernel.ungated_mw + kernel.gated_mw


def layer_of(shape: Sequence[Any], name: str = "layer") -> Layer:
    """A layer from ``[H, W, fh, fw, channels, filters, stride]``."""
    return Layer(name, *(int(size) for size in shape))
