"""How long running a network fold by fold will take, and what that holds.

The rates are measured on one core of a server processor under load (digits_snn, digits_resnet, VGG-9, VGG-16; arrays of
1 x 1 to 16 x 16 and the related machines): orders of magnitude.
"""

from __future__ import annotations

from accelsim.core.effort import Work
from accelsim.machines.systolic.core import Core, core_of
from accelsim.machines.systolic.description import SystolicFile
from accelsim.machines.systolic.related.description import SECTIONS
from accelsim.workload import Workload

SEGMENT_S = 2e-6
"""For a fold in a pass, with its transfers: 1.3e-6 to 4e-6."""
SEGMENT_BYTES = 220
"""What a fold leaves until the end: its cycles, transfers and place in the timeline."""
FIELD_S = 5e-8
"""For an element of a receptive field whose spikes are looked at, in one timestep of one image: 3e-8 to 8e-8."""
STATIONARY = 3.0
"""So many times longer where weights or inputs stand and sums pass (ws, is): 1.4e-7 to 1.6e-7."""
MASKED_S = 1e-10
"""For a weight of a receptive field that may be zero, in one timestep of one image: a product of single precision."""
FIELD_BYTES = 6
"""For an element of the receptive fields of a layer, copies included."""


def cycle_work(workload: Workload, hardware: SystolicFile) -> Work:
    """For all layers; spikes are looked at where zeros are skipped and a trace is there."""
    seconds = fields = segments = 0.0
    looks = _looks_at_spikes(workload, hardware)
    images = workload.images if looks else 1
    for op in workload.graph.weighted:
        core = core_of(workload, hardware, op)
        if hardware.dataflow not in SECTIONS:
            folds = core.passes * core.gemm.groups * core.folds.number
            segments += folds
            seconds += SEGMENT_S * folds * images
        if looks:
            mine = core.gemm.groups * core.gemm.m * core.gemm.k
            fields = max(fields, mine)
            seconds += images * core.executed * mine * _each(core, hardware)
    return Work(seconds, SEGMENT_BYTES * segments + FIELD_BYTES * fields)


def _looks_at_spikes(workload: Workload, hardware: SystolicFile) -> bool:
    if workload.trace is None or workload.is_ann:
        return False
    skips = "skip" in (hardware.sparsity.spikes, hardware.sparsity.weights)
    return hardware.dataflow != "eyeriss" if hardware.dataflow in SECTIONS else skips


def _each(core: Core, hardware: SystolicFile) -> float:
    masked = hardware.sparsity.weights == "skip" and not core.is_dynamic
    stands = STATIONARY if hardware.dataflow in ("ws", "is") else 1.0
    return FIELD_S * stands + (MASKED_S * core.gemm.n if masked else 0.0)
