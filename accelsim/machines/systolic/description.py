"""``kind: systolic``: the sparsity-aware systolic array (the SATA design) and its conventional relatives."""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import Field

from accelsim.core.settings import Section
from accelsim.costs.parts import (
    DramSpec,
    SramSpec,
)
from accelsim.costs.table import CostSection
from accelsim.machines.machine import MachineFile

S = TypeVar("S", bound=Section)
SPADS = ("spad_spike", "spad_weight", "spad_psum")


class ArraySpec(Section):
    """Processing elements (PEs)."""

    rows: int = Field(ge=1)
    """PEs along the output positions (`os`, `tick-batch`) or the receptive field (`ws`, `is`)."""
    cols: int = Field(ge=1)
    """PEs along the output channels (`os`, `ws`, `tick-batch`) or the output positions (`is`)."""


class SystolicPe(Section):
    """One processing element."""

    accumulator_bits: int = Field(16, ge=2, le=32)
    """Width of the accumulator register, and of partial sums that leave the array."""
    psum_bits: int = Field(8, ge=1, le=32)
    """Width of one timestep's entry in the partial-sum scratchpad (tick batching)."""
    multiplier_bits: Literal[0, 2, 4, 8, 16, 32] = 0
    """Width of the multiplier. 0: the PE only adds, and multi-bit activations are worked through one
    bit-plane per cycle."""


class Sparsity(Section):
    """What the array makes of zeros."""

    spikes: Literal["none", "gate", "skip"] = "gate"
    """`none`: every operand costs the same; `gate`: a zero spike stops the accumulation's energy, not
    its cycle and not its fetch; `skip`: zeros take no cycles either, and the slowest PE sets the pace."""
    sync: Literal["fold", "timestep"] = "fold"
    """`os`, `tick-batch` with `skip`: where PEs wait for the slowest, at the end of every fold or of every timestep
    (tick-batch: of every timestep with the weights that the scratchpad holds)."""
    weights: Literal["none", "gate", "skip"] = "none"
    """The same for weights that are zero."""
    weight_density: float | None = Field(None, gt=0.0, le=1.0)
    """Share of the weights that are not zero; by default that of the network's own weights."""
    weight_format: Literal["dense", "bitmap", "csr"] = "dense"
    """How weights are stored: all of them, or those that are not zero with a bitmap or their places."""
    weight_seed: int = Field(0, ge=0)
    """For `weight_density`: which weights are zero, where that matters."""


class SystolicLif(Section):
    """LIF units and the membranes they keep."""

    share: int = Field(1, ge=1)
    """C#n: one unit serves n output channels, one after another."""
    units: int | None = Field(None, ge=1)
    """Number of units; by default rows x ceil(cols / share)."""
    membrane_sharing: int = Field(1, ge=1)
    """EfficientLIF-Net: n channels share one stored membrane potential."""


class SpadSpec(Section):
    """A scratchpad of registers in every PE; 0 bytes: there is none."""

    size_bytes: int = Field(ge=0)
    """Capacity in one PE; 0: there is none."""


class ChannelSpec(DramSpec):
    """Off-chip memory behind one channel, shared by reads and write-backs."""

    latency_ns: float = Field(0.0, ge=0.0)
    """`--fidelity cycle`: from the first request of a layer to its first bit. The access pattern is known, so later
    requests are issued that much ahead."""


class SystolicMemories(Section):
    """Three levels: DRAM, global buffers, scratchpads in each PE."""

    spad_spike: SpadSpec = SpadSpec(size_bytes=0)
    spad_weight: SpadSpec = SpadSpec(size_bytes=0)
    spad_psum: SpadSpec = SpadSpec(size_bytes=0)
    glb_weight: SramSpec
    glb_ifmap: SramSpec
    glb_ofmap: SramSpec
    """Output spikes, membranes, spilled partial sums."""
    dram: ChannelSpec


class SystolicFile(MachineFile):
    """A systolic array, without what its dataflow adds (`accelsim.machines.systolic.schema`)."""

    format: Literal["accelsim.hardware/1"] = "accelsim.hardware/1"
    """Format of the file, with its version; may be left out."""
    kind: Literal["systolic"]
    """Selects this schema."""
    name: str = Field(min_length=1)
    """Name in results."""
    description: str = ""
    """What it is, for `accelsim list hardware`."""
    source: str = ""
    """Where the design comes from."""
    technology_nm: int = Field(28, ge=1)
    """Technology node in nm; cells and memories must have figures for it."""
    clock_mhz: float = Field(gt=0)
    """Clock of the whole machine."""
    array: ArraySpec
    dataflow: str
    """Output-, weight-, input-stationary, tick-batch (weights stay for all timesteps), or that of a related
    accelerator, which needs the section of its name."""
    drain: Literal["overlapped", "serial"] = "overlapped"
    """`os`, `tick-batch`: whether results leave while the next fold enters, or row by row after each fold. No
    difference to `ws` and `is`, whose results leave with the stream."""
    schedule: Literal["layer-by-layer", "step-by-step"] = "layer-by-layer"
    """All timesteps of a layer first, or all layers of a timestep first."""
    sparsity: Sparsity = Sparsity()
    maps: Literal["dram", "chip"] = "dram"
    """Where a layer's output waits for the next layer: always in DRAM, or in the next layer's input buffer where
    it fits there and nobody else needs it."""
    static_input: Literal["reuse", "recompute"] = "reuse"
    """A direct-encoded first layer: computed once and its sums kept, or computed at every timestep."""
    pe: SystolicPe = SystolicPe()
    lif: SystolicLif = SystolicLif()
    memories: SystolicMemories
    costs: CostSection

    def section(self, kind: type[S]) -> S:
        """The dataflow's own section."""
        found = getattr(self, self.dataflow)
        assert isinstance(found, kind)
        return found

    @property
    def pes(self) -> int:
        """Processing elements."""
        return self.array.rows * self.array.cols

    @property
    def lif_units(self) -> int:
        """LIF units on the chip."""
        return self.lif.units or self.array.rows * -(-self.array.cols // self.lif.share)
