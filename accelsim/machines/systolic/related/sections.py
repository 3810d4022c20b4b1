"""The sections of a description that belong to one related machine each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from accelsim.core.settings import Section


class PtbSpec(Section):
    """Parallel time batching: array rows take (time window, output position) pairs, columns output channels."""

    window: int = Field(4, ge=1, le=64)
    """Timesteps of one time window; a PE works through them one per cycle with the same weight."""
    pairing: bool = True
    """StSAP: two inputs that spike in no common row of the array pass through it at the same time."""
    lif_cycles: int = Field(3, ge=1)
    """Cycles of a LIF unit per neuron and timestep."""


class SatoSpec(Section):
    """SATO: rows (output position, timestep) are dealt to PEs; one output channel at a time."""


class MintSpec(Section):
    """MINT: one input spike per cycle, added to all PEs' output channels."""

    lif_cycles: int = Field(3, ge=1)
    """Cycles of a LIF unit per neuron and timestep."""


class EyerissSpec(Section):
    """The dense array that SNN accelerators are compared with: every input is multiplied, spike or not."""

    published_rounding: bool = False
    """As in the public Prosperity simulator: passes that do not fill the array are rounded down, and LIF
    updates take no time where there are fewer timesteps than array columns."""


class ProsperitySpec(Section):
    """Prosperity: product sparsity within tiles of the (position, timestep) x receptive field matrix."""

    sparsity: Literal["product", "bit", "none"] = "product"
    """`product`: rows reuse the sums of a row whose spikes are a subset of theirs; `bit`: zeros are
    skipped; `none`: every element takes a cycle."""
    tile_rows: int = Field(256, ge=1, le=65536)
    """Rows among which prefixes are looked for."""
    tile_columns: int = Field(16, ge=1, le=64)
    """Spikes of a row in one tile: a row is one word."""
    popcounts: int = Field(8, ge=1)
    """Rows whose spikes are counted in one cycle."""
    lif_cycles: int = Field(2, ge=1)
    """Cycles of a LIF unit per neuron and timestep."""


class SpinalflowSpec(Section):
    """SpinalFlow: spikes sorted by time enter one per cycle; each PE is one output neuron, all T in one go."""

    tick_cycles: int = Field(1, ge=0)
    """Cycles at the end of each timestep in which the PEs leak, compare and fire; 0 for neurons that need none
    (temporal coding without leak)."""
    merge_lists: int = Field(16, ge=1)
    """Sorted lists that the min-find unit merges at once."""
    time_bits: int = Field(8, ge=1, le=32)
    """Width of a spike's time stamp."""
    address_bits: int = Field(16, ge=1, le=32)
    """Width of the address that a spike carries."""
