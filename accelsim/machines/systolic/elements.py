"""What the PEs do in a layer: arithmetic, operands handed on, scratchpads. How many PEs there are does not matter.

Moving data costs the same for zeros and ones; only what an accumulation itself reads and writes is gated. Where zeros
are skipped they do not travel; the weights do, for the rows that need them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from accelsim.core.timesteps import FloatArray
from accelsim.ledger.counts import LayerLedger
from accelsim.machines.systolic.core import Core
from accelsim.workload.graph import ceil_div


class Rules(NamedTuple):
    """What decides the PEs' actions, beside the operation."""

    dataflow: str
    gates: bool
    """A zero input stops the accumulation."""
    weights: float
    """Share of the weights that stops none."""
    accumulator_bits: int
    psum_bits: int


@dataclass(frozen=True)
class Elements:
    """The PEs in one layer."""

    ledger: LayerLedger
    taken: float
    """PE-cycles in which an operand is there, over all timesteps."""


def slots_of(core: Core) -> FloatArray:
    """[T] PE-cycles with an operand where nothing is skipped."""
    return core.gemm.macs * core.serial_in_time * core.executions


def elements(core: Core, rules: Rules, taken: FloatArray | None = None) -> Elements:
    """Actions of all PEs; `taken` [T] PE-cycles where zeros are skipped: what is not even tried costs nothing."""
    ledger, slots = LayerLedger(core.op.name, core.op.kind, len(core.executions)), slots_of(core)
    worked = (core.busy * core.executions if rules.gates else slots) * rules.weights
    taken = slots if taken is None else taken
    worked = np.minimum(worked, taken)
    if core.multiplies:
        ledger.add("pe.multiply", worked)
    else:
        ledger.add("pe.operate", taken)
        ledger.add("pe.accumulate", worked)
    hop = core.bits_in_time / core.serial_in_time
    held = slots / core.serial_in_time  # what meets an operand waits for all of its bit-planes
    if rules.dataflow == "ws":
        ledger.add("pe.forward_bits", taken * hop)
    elif rules.dataflow == "is":
        ledger.add("pe.forward_bits", taken / core.serial_in_time * core.weight_bits)
    elif core.ticks is None:
        ledger.add("pe.forward_bits", taken * hop + held * core.weight_bits)
    else:
        loads = float(core.gemm.macs * core.passes)  # each PE takes each weight once per pass
        chunks = ceil_div(core.gemm.k, core.ticks.chunk) / core.gemm.k
        ledger.add("pe.forward_bits", taken * hop)
        ledger.add("pe.forward_bits", loads * core.weight_bits)
        ledger.add("spad_weight.write_bits", loads * core.weight_bits)
        ledger.add("spad_weight.read_bits", worked * core.weight_bits)
        # Zeros are found in the scratchpad: it is written and read in full.
        ledger.add("spad_spike.write_bits", slots * hop)
        ledger.add("spad_spike.read_bits", slots * hop)
        # The running sum stays in the accumulator within a chunk (all bit-planes) and is parked between chunks.
        ledger.add("spad_psum.write_bits", held * chunks * rules.psum_bits)
        ledger.add("spad_psum.read_bits", held * chunks * rules.psum_bits)
    if rules.dataflow in ("ws", "is"):
        # The sum moves on from PE to PE; where it changes, its register is part of the accumulation. What does
        # not enter the array takes no sum along.
        ledger.add("pe.forward_bits", (taken - worked) / core.serial_in_time * rules.accumulator_bits)
    ledger.freeze()
    return Elements(ledger, float(np.add.reduce(taken)))
