"""The systolic array in closed form: layer after layer, exact counts, no simulation of single cycles."""

from __future__ import annotations

from accelsim.hardware.systolic import SPADS, SystolicFile
from accelsim.results import Ledger
from accelsim.systolic.layer import LayerModel, Residency
from accelsim.workload import Operation, Stage, Workload
from accelsim.workload.graph import ceil_div
from accelsim.workload.outputs import is_constant, stage_outputs


def simulate(workload: Workload, hardware: SystolicFile) -> Ledger:
    """Counts of one inference (the mean image of the workload's trace).

    Compute cycles follow SCALE-Sim's fold arithmetic (`accelsim.systolic.folds`); a layer lasts as
    long as the slowest of array, LIF units and DRAM transfers, which overlap thanks to double
    buffering.
    """
    stages = workload.stages
    residency, outputs = _residency(workload, hardware), stage_outputs(workload.graph, stages)
    layers = [LayerModel(workload, hardware, stage, outputs[stage.name], residency).fill() for stage in stages]
    instances: dict[str, float] = {
        "pe": hardware.pes,
        "lif": 0 if workload.is_ann else hardware.lif_units,
        **{name: hardware.pes for name in SPADS if getattr(hardware.memories, name).size_bytes},
        "glb_weight": 1,
        "glb_ifmap": 1,
        "glb_ofmap": 1,
        "dram": 1,
        "control": 1,
    }
    return Ledger(layers, hardware.clock_mhz, instances, _notes(workload, hardware))


def _residency(workload: Workload, hardware: SystolicFile) -> Residency:
    precision, memories = workload.precision, hardware.memories
    weights = sum(op.weights for op in workload.graph.weighted) * precision.weight_bits
    kept = [_kept_bits(workload, hardware, stage) for stage in workload.stages]
    alive = sum(kept) if hardware.schedule == "step-by-step" else max(kept, default=0)
    return Residency(
        weights_stay=hardware.schedule == "step-by-step" and weights <= memories.glb_weight.working_bits,
        membranes_stay=alive <= memories.glb_ofmap.working_bits,
    )


def _kept_bits(workload: Workload, hardware: SystolicFile, stage: Stage) -> int:
    """What a stage keeps from one timestep to the next: membranes, and reused sums outside the PEs."""
    neurons = [op for op in stage.of_kind("neuron") if not _borrows(op)]
    membranes = sum(ceil_div(op.out_elements, hardware.lif.membrane_sharing) for op in neurons)
    bits = membranes * workload.precision.membrane_bits
    core = stage.core
    reuses = hardware.static_input == "reuse" and hardware.dataflow != "tick-batch"
    if reuses and core is not None and is_constant(core) and stage.of_kind("neuron"):
        bits += core.out_elements * hardware.pe.accumulator_bits
    return bits


def _borrows(op: Operation) -> bool:
    """Whether the neurons reuse the stored membranes of an earlier layer."""
    return op.neuron is not None and op.neuron.shares_state_with is not None


def _notes(workload: Workload, hardware: SystolicFile) -> list[str]:
    notes = []
    serial = [op for op in workload.graph.weighted if op.in_types[0].planes > 1]
    if serial and not hardware.pe.multiplier_bits:
        names = ", ".join(op.name for op in serial[:4]) + (", ..." if len(serial) > 4 else "")
        notes.append(f"PEs without multipliers work through multi-bit inputs one bit-plane per cycle: {names}")
    return notes
