"""What the PEs do in a layer: arithmetic, operands handed on, scratchpads. How many PEs there are does not matter.

Moving data costs the same for zeros and ones; only what an accumulation itself reads and writes is gated. Where zeros
are skipped they do not travel; the weights do, for the rows that need them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from accelsim.core.types import FloatArray
from accelsim.ledger.counts import LayerLedger
from accelsim.machines.systolic.core import Core
from accelsim.machines.systolic.dataflows.folded import FoldedDataflow, PeCycles
from accelsim.machines.systolic.description import SystolicPe


def pe_actions(
    flow: FoldedDataflow, core: Core, pe: SystolicPe, gates: bool, weights: float, taken: FloatArray
) -> LayerLedger:
    """Actions of all PEs.

    Args:
        flow: the dataflow.
        core: the operation.
        pe: the processing element.
        gates: a zero input stops the accumulation.
        weights: share of the weights that stops none.
        taken: [T] PE-cycles in which an operand is there: what is not even tried costs nothing.
    """
    ledger, dense = LayerLedger(core.op.name, core.op.kind, len(core.executions)), core.dense_cycles
    worked = np.minimum((core.busy * core.executions if gates else dense) * weights, taken)
    if core.multiplies:
        ledger.add("pe.multiply", worked)
    else:
        ledger.add("pe.operate", taken)
        ledger.add("pe.accumulate", worked)
    for action, amount in flow.moves(core, pe, PeCycles(dense, taken, worked)):
        ledger.add(action, amount)
    ledger.freeze()
    return ledger


@lru_cache(maxsize=1024)  # the designs of a sweep share it
def dense_pe_actions(flow: FoldedDataflow, core: Core, pe: SystolicPe, gates: bool, weights: float) -> LayerLedger:
    """Actions of all PEs where no zero is skipped."""
    return pe_actions(flow, core, pe, gates, weights, core.dense_cycles)
