"""How long running a network fold by fold will take, and what that holds.

The rates are measured on one core of a server processor under load (digits_snn, digits_resnet, VGG-9, VGG-16; arrays of
1 x 1 to 16 x 16 and the related machines): orders of magnitude.
"""

from __future__ import annotations

from accelsim.core.effort import Work
from accelsim.machines.systolic.dataflows.base import Dataflow
from accelsim.machines.systolic.dataflows.folded import FoldedDataflow
from accelsim.machines.systolic.dataflows.registry import DATAFLOWS
from accelsim.machines.systolic.dataflows.related import SpikingDataflow
from accelsim.machines.systolic.dataflows.stationary import OperandStationary
from accelsim.machines.systolic.description import SystolicFile
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
    flow, array = DATAFLOWS[hardware.dataflow], hardware.array
    looks = _looks_at_spikes(workload, hardware, flow)
    images = workload.images if looks else 1
    seconds = fields = segments = 0.0
    for op in workload.graph.weighted:
        gemm = op.products()
        executed = 1 if op.in_types[0].static and hardware.static_input == "reuse" else workload.timesteps
        if isinstance(flow, FoldedDataflow) and flow.section is None:
            ticks = flow.batch(hardware, op, workload.timesteps, workload.precision.weight_bits)
            passes = len(ticks.passes) if ticks else executed
            folds = passes * gemm.groups * flow.folds(gemm, array.rows, array.cols).number
            segments += folds
            seconds += SEGMENT_S * folds * images
        if looks:
            mine = gemm.groups * gemm.m * gemm.k
            fields = max(fields, mine)
            masked = hardware.sparsity.weights == "skip" and op.kind != "matmul"
            stands = STATIONARY if isinstance(flow, OperandStationary) else 1.0
            seconds += images * executed * mine * (FIELD_S * stands + (MASKED_S * gemm.n if masked else 0.0))
    return Work(seconds, SEGMENT_BYTES * segments + FIELD_BYTES * fields)


def _looks_at_spikes(workload: Workload, hardware: SystolicFile, flow: Dataflow) -> bool:
    if workload.trace is None or workload.is_ann:
        return False
    skips = "skip" in (hardware.sparsity.spikes, hardware.sparsity.weights)
    return isinstance(flow, SpikingDataflow) or (flow.section is None and skips)
