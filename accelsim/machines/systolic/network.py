"""The layers of a network on the array, with what is decided for the whole network."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from accelsim.machines.systolic.dataflows.registry import DATAFLOWS
from accelsim.machines.systolic.description import SPADS, SystolicFile
from accelsim.machines.systolic.layer import EpilogueLayer, Residency, SystolicLayer
from accelsim.machines.systolic.weights import WeightStore
from accelsim.workload import Operation, Stage, Workload
from accelsim.workload.graph import VIEWS
from accelsim.workload.neurons import stored_membranes
from accelsim.workload.outputs import is_constant, source


def build(workload: Workload, hardware: SystolicFile, from_trace: bool = False) -> list[SystolicLayer]:
    """The layers with all their counts; `from_trace` looks at the spikes themselves where there are any."""
    stages, outputs = workload.stages, workload.outputs
    residency = _residency(workload, hardware)
    weights = WeightStore(workload, hardware)
    flow = DATAFLOWS[hardware.dataflow]
    model: Callable[..., SystolicLayer] = flow.layer_model()
    layers: list[SystolicLayer] = []
    for stage in stages:
        common = (workload, hardware, stage, outputs[stage.name], residency, from_trace)
        layer = model(*common, flow=flow, weights=weights) if stage.core else EpilogueLayer(*common)
        layers.append(layer.fill())
    return layers


def instances(workload: Workload, hardware: SystolicFile) -> dict[str, float]:
    """What stands on the chip."""
    scales = not workload.is_ann and any(op.kind == "time_affine" for op in workload.graph.operations)
    return {
        "pe": hardware.pes,
        "lif": 0 if workload.is_ann else hardware.lif_units,
        **(dict.fromkeys(("time_affine", "time_affine_registers"), hardware.lif_units) if scales else {}),
        **{name: hardware.pes for name in SPADS if getattr(hardware.memories, name).size_bytes},
        "glb_weight": 1,
        "glb_ifmap": 1,
        "glb_ofmap": 1,
        "dram": 1,
        "control": 1,
        **dict.fromkeys(DATAFLOWS[hardware.dataflow].parts(hardware), 1.0),
    }


def notes(workload: Workload, hardware: SystolicFile, from_trace: bool = False) -> list[str]:
    """What a reader of the figures should know."""
    remarks, sparsity = [], hardware.sparsity
    if sparsity.spikes == "skip" and not (from_trace and workload.trace is not None and not workload.is_ann):
        why = "with --fidelity cycle and a trace the spikes themselves are counted"
        remarks.append(
            "skipped spikes: taken to be spread at random, the slowest PE to need the expected maximum of binomial "
            f"numbers; {why}"
        )
    if sparsity.weights == "skip" and sparsity.weight_density is not None:
        remarks.append(f"skipped weights: which of them are zero is drawn with seed {sparsity.weight_seed}")
    remarks += DATAFLOWS[hardware.dataflow].remarks(workload, hardware)
    serial = [op for op in workload.graph.weighted if op.in_types[0].planes > 1]
    if serial and not hardware.pe.multiplier_bits:
        names = ", ".join(op.name for op in serial[:4]) + (", ..." if len(serial) > 4 else "")
        remarks.append(f"PEs without multipliers work through multi-bit inputs one bit-plane per cycle: {names}")
    return remarks


def _residency(workload: Workload, hardware: SystolicFile) -> Residency:
    precision, memories = workload.precision, hardware.memories
    weights = sum(op.weights for op in workload.graph.weighted) * precision.weight_bits
    kept = [_kept_bits(workload, hardware, stage) for stage in workload.stages]
    alive = sum(kept) if hardware.schedule == "step-by-step" else max(kept, default=0)
    return Residency(
        weights_stay=hardware.schedule == "step-by-step" and weights <= memories.glb_weight.working_bits,
        membranes_stay=alive <= memories.glb_ofmap.working_bits,
        maps_stay=_maps_that_stay(workload, hardware) if hardware.maps == "chip" else frozenset(),
    )


def _kept_bits(workload: Workload, hardware: SystolicFile, stage: Stage) -> int:
    """What a stage keeps from one timestep to the next: membranes, and reused sums outside the PEs."""
    neurons = [op for op in stage.of_kind("neuron") if not _borrows(op)]
    membranes = sum(stored_membranes(op, hardware.lif.membrane_sharing) for op in neurons)
    bits = membranes * workload.precision.membrane_bits
    core = stage.core
    reuses = hardware.static_input == "reuse" and not DATAFLOWS[hardware.dataflow].keeps_reused_sums
    if reuses and core is not None and is_constant(core) and stage.of_kind("neuron"):
        bits += core.out_elements * hardware.pe.accumulator_bits
    return bits


def _borrows(op: Operation) -> bool:
    """Whether the neurons reuse the stored membranes of an earlier layer."""
    return op.neuron is not None and op.neuron.shares_state_with is not None


def _maps_that_stay(workload: Workload, hardware: SystolicFile) -> frozenset[str]:
    """Maps whose only reader is the weighted operation of the next layer, and that fit its input buffer.

    Layer by layer that is the map of all timesteps, since the next layer starts when this one is through.
    """
    graph, stages = workload.graph, workload.stages
    readers: dict[str, list[str]] = {}
    for op in graph.operations:
        if op.kind not in VIEWS:
            for name in op.inputs:
                readers.setdefault(source(graph, name), []).append(op.name)
    steps = workload.timesteps if hardware.schedule == "layer-by-layer" else 1
    stay = set()
    for stage, following in pairwise(stages):
        for op in stage.members:
            wanted = following.core is not None and readers.get(op.name) == [following.core.name]
            if wanted and op.out_type.kind != "current":
                bits = op.out_elements * op.out_type.planes * (1 if is_constant(op) else steps)
                if bits <= hardware.memories.glb_ifmap.working_bits:
                    stay.add(op.name)
    return frozenset(stay)
