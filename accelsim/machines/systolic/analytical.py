"""The systolic array in closed form: layer after layer, exact counts, no simulation of single cycles."""

from __future__ import annotations

import math

from accelsim.ledger.counts import LayerLedger, Ledger
from accelsim.machines.systolic.cycle.plan import evenly
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.layer import SystolicLayer
from accelsim.machines.systolic.network import build, instances, notes
from accelsim.workload import Workload


def simulate(workload: Workload, hardware: SystolicFile) -> Ledger:
    """Counts of one inference (the mean image of the workload's trace).

    Compute cycles follow SCALE-Sim's fold arithmetic (`accelsim.machines.systolic.dataflows.folded`); a layer lasts as
    long as the slowest of array, LIF units, pooling and DRAM transfers, which overlap thanks to double
    buffering.
    """
    layers = [_closed(layer) for layer in build(workload, hardware)]
    return Ledger(layers, hardware.clock_mhz, instances(workload, hardware), notes(workload, hardware))


def _closed(layer: SystolicLayer) -> LayerLedger:
    ledger, hardware = layer.ledger, layer.hardware
    compute = layer.array_cycles()
    array = float(compute.sum())
    bits_per_cycle = layer.memories.dram.bandwidth_gbps * 1e3 / hardware.clock_mhz
    work = max(layer.lif_bound(compute, layer.lif_cycles), layer.epilogue_cycles)
    total = max(work, math.ceil(layer.dram_bits / bits_per_cycle))
    ledger.cycles = compute + evenly(total - array, layer.steps)
    ledger.busy_cycles = work
    ledger.stall_cycles = total - work
    ledger.utilization = layer.useful_cycles / total if total else 0.0
    return ledger
