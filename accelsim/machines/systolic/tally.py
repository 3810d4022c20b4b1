"""Counts of a layer or of a part of it, and what of them crosses the DRAM interface."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from accelsim.core import timesteps as steps
from accelsim.core.types import FloatArray
from accelsim.ledger.counts import LayerLedger
from accelsim.machines.systolic.description import SystolicMemories
from accelsim.workload.graph import ceil_div


class Lines(NamedTuple):
    """Bits of one access of each memory, of one burst from DRAM."""

    glb_weight: int
    glb_ifmap: int
    glb_ofmap: int
    dram: int

    @classmethod
    def of(cls, memories: SystolicMemories) -> Lines:
        """Those of a machine."""
        return cls(*(getattr(memories, name).line_bits for name in cls._fields))


class LayerTally:
    """Fills a ledger; keeps when what crosses the DRAM interface."""

    def __init__(self, ledger: LayerLedger, line_bits: Lines) -> None:
        self.ledger, self.line_bits = ledger, line_bits
        self.moved: dict[str, FloatArray] = {}
        """DRAM bits by kind of transfer (`cycle.memory.COLUMNS`) and timestep at which they move."""

    def load(self, column: str, buffer: str, bits: float | FloatArray, when: FloatArray | None = None) -> None:
        """From DRAM into a buffer."""
        self.dram(column, bits, when)
        self.ledger.add(f"{buffer}.write", bits / getattr(self.line_bits, buffer))

    def dram(self, column: str, bits: float | FloatArray, when: FloatArray | None = None) -> None:
        """Count DRAM traffic; `when` says at which timestep it happens where `bits` is a sum over all."""
        self.ledger.add(f"dram.{'write' if column.endswith('_write') else 'read'}_bits", bits)
        if when is None:
            alike = steps.ones(self.ledger.timesteps)
            when = bits if isinstance(bits, np.ndarray) else alike * (bits / self.ledger.timesteps)
        known = self.moved.get(column)
        self.moved[column] = when if known is None else known + when

    def bursts(self, bits: float) -> float:
        """Bits really transferred: whole DRAM bursts."""
        return ceil_div(int(bits), self.line_bits.dram) * self.line_bits.dram

    def merge(self, other: LayerTally) -> None:
        """Add all that another part of the layer does."""
        self.ledger.merge(other.ledger)
        for column, when in other.moved.items():
            known = self.moved.get(column)
            self.moved[column] = when if known is None else known + when

    @property
    def dram_bits(self) -> float:
        """All bits across the DRAM interface."""
        return float(sum(np.add.reduce(bits) for bits in self.moved.values()))
