"""SpikeSim's energy as SpikingJelly applies it to any convolutional network: PE cycles x the energy of one."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field

from accelsim.core.settings import Section
from accelsim.core.types import IntArray
from accelsim.estimate.evidence import Evidence
from accelsim.estimate.tally import Convention, NotApplicable, Tally, named
from accelsim.workload import Operation, Record
from accelsim.workload.kinds import ConvFields


class Crossbar(Section):
    """Constants of one PE (k x k crossbars, one per kernel position) in one cycle; energies in pJ."""

    xbar_size: int = Field(ge=1)
    """Rows and columns X of a crossbar."""
    columns_per_adc: int = Field(ge=1)
    """The divisor 8 of the script, wherever it stands."""
    tile_buffer_pj: float = Field(ge=0)
    """Tile buffer, once."""
    htree_pj: float = Field(ge=0)
    """H-tree, once."""
    fetch_pj: float = Field(ge=0)
    """Memory fetch, once."""
    neuron_pj: float = Field(ge=0)
    """Neuronal module, once."""
    temp_buffer_pj: float = Field(ge=0)
    """Registers of sums, X / columns_per_adc times."""
    subtract_pj: float = Field(ge=0)
    """DIFF subtraction, 16 X / columns_per_adc times."""
    adc_pj: float = Field(ge=0)
    """Conversion, (X / columns_per_adc)^2 times."""
    mux_pj: float = Field(ge=0)
    """Multiplexer, (X / columns_per_adc)^2 times."""
    array_pj: float = Field(ge=0)
    """Read of an array, X / columns_per_adc times for each of the k x k."""

    @property
    def _ports(self) -> float:
        return self.xbar_size / self.columns_per_adc

    @property
    def control_pj(self) -> float:
        """All of a PE cycle but the arrays and the neuron."""
        ports = self._ports
        converters = ports * ports * (self.adc_pj + self.mux_pj)
        small = ports * (16 * self.subtract_pj + self.temp_buffer_pj)
        return self.htree_pj + self.fetch_pj + self.tile_buffer_pj + small + converters

    def cycle_pj(self, taps: int) -> float:
        """One PE cycle of a kernel with so many positions: 828.486 pJ for 3 x 3 and X = 64."""
        return self.control_pj + self.neuron_pj + self._ports * taps * self.array_pj

    def row_pj(self, channels: int) -> float:
        """One wordline with a spike, in a row block of so many channels that the array is padded to."""
        padded = math.ceil(channels / self.xbar_size) * self.xbar_size
        return self.array_pj / self.columns_per_adc * padded / channels


class SpikeSim(Convention):
    """E = sum over convolutions of PE cycles x E_PE, PE cycles = ceil(C_in/X) ceil(C_out/X) H_out W_out T.

    E_PE is what one PE of the public SpikeSim script spends in one cycle. With `activity: dense` spikes do not
    matter. With `event` a PE's control is charged only for windows with a spike in the row block, an array per
    wordline with a spike, a neuron per output position with any spike in its window; inputs that are not
    0 or 1 stay dense. Grouped convolutions are refused, as by the tool.

    Leaves out fully-connected layers, pooling, the network on chip, leakage, time. Source: SpikeSim (Moitra et al.
    2023), constants of the public ELA script; applied to output positions before pooling by SpikingJelly 2.0.0
    ``estimate_spikesim_energy`` (the script itself charges the positions after pooling).
    """

    formula: Literal["spikesim"]
    activity: Literal["dense", "event"]
    """Whether windows and wordlines without a spike cost as much as others."""
    crossbar: Crossbar

    def tally(self, evidence: Evidence) -> Tally:
        """See the class."""
        weighted = evidence.workload.graph.weighted
        convolutions = [op for op in weighted if isinstance(op.spec, ConvFields)]
        if not convolutions:
            raise NotApplicable("SpikeSim maps convolutions only, and there is none")
        grouped = [op.name for op in convolutions if op.products().groups > 1]
        if grouped:
            raise NotApplicable(f"SpikeSim refuses grouped convolutions: {named(grouped)}")
        if self.activity == "event" and evidence.trace is None:
            raise NotApplicable("SpikeSim by events needs the spikes themselves, a bundle with a trace")
        cycles = 0.0
        bill: dict[str, float] = {}
        for op in convolutions:
            cycles += self._cycles(op) * evidence.workload.timesteps
            for name, energy_pj in self._layer(evidence, op).items():
                bill[name] = bill.get(name, 0.0) + energy_pj
        others = [op.name for op in weighted if not isinstance(op.spec, ConvFields)]
        notes = (f"not counted: {named(others)}",) if others else ()
        return Tally(other={"PE cycles": cycles}, bill_pj=bill, notes=notes)

    def _blocks(self, op: Operation) -> tuple[int, int]:
        """Row blocks (of input channels) and column blocks."""
        return math.ceil(op.in_shapes[0][0] / self.crossbar.xbar_size), math.ceil(
            op.out_shape[0] / self.crossbar.xbar_size
        )

    def _cycles(self, op: Operation) -> float:
        return float(math.prod(self._blocks(op)) * op.products().m)

    def _layer(self, evidence: Evidence, op: Operation) -> dict[str, float]:
        taps, steps = op.field.taps, evidence.workload.timesteps
        if self.activity == "dense":
            return {"PE cycles": self._cycles(op) * steps * self.crossbar.cycle_pj(taps)}
        rows, columns = self._blocks(op)
        size, channels, positions = self.crossbar.xbar_size, op.in_shapes[0][0], op.products().m * steps
        widths = [min(size, channels - start) for start in range(0, channels, size)]
        record = evidence.record(op)
        if record is not None and evidence.only(op, (0.0, 1.0)):
            windows, lines, sites = _active(op, record, size)
            scale = evidence.repeats(record) / record.images
            active_windows, active_sites = windows * scale, sites * scale
            active_lines = [float(line) * scale for line in lines]
        else:
            active_windows, active_sites = float(positions * rows), float(positions)
            active_lines = [float(positions * width * taps) for width in widths]
        arrays = sum(line * self.crossbar.row_pj(width) for line, width in zip(active_lines, widths, strict=True))
        return {
            "PE control": columns * active_windows * self.crossbar.control_pj,
            "crossbars": columns * arrays,
            "neurons": rows * columns * active_sites * self.crossbar.neuron_pj,
        }


def _active(op: Operation, record: Record, size: int) -> tuple[float, IntArray, float]:
    """Windows with a spike (per row block), wordlines with one by row block, output positions with one in any.

    Summed over the stored timesteps and images.
    """
    spikes = record.dense().reshape(-1, *record.shape).astype(np.int32)
    starts = np.arange(0, record.shape[0], size)
    blocks = np.add.reduceat(spikes, starts, axis=1)
    occupancy = np.zeros((*blocks.shape[:2], *op.field.out), dtype=np.int32)
    for seen in op.field.taps_of(blocks):
        occupancy += seen
    busy = occupancy > 0
    lines = np.moveaxis(occupancy, 1, 0).reshape(occupancy.shape[1], -1).sum(axis=1, dtype=np.int64)
    return float(busy.sum()), lines, float(busy.any(axis=1).sum())
