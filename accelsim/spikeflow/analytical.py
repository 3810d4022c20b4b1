"""The crossbar machine in closed form: exact counts, finishing times from the row pipeline."""

from __future__ import annotations

import numpy as np

from accelsim.hardware.parts import Demand
from accelsim.hardware.spikeflow import SpikeflowFile
from accelsim.results import LayerLedger, Ledger
from accelsim.spikeflow.layer import LayerModel, Placed, chip
from accelsim.spikeflow.mapping import Mapping, Mesh, map_layer
from accelsim.spikeflow.pipeline import Schedule, schedule
from accelsim.workload import Stage, Workload
from accelsim.workload.outputs import stage_outputs


def simulate(workload: Workload, hardware: SpikeflowFile) -> Ledger:
    """Counts of one inference (the mean image of the workload's trace).

    Latency is physical: one PE cycle per output position, all PEs of a layer in parallel, layers
    pipelined by rows; the neuronal module (its units and its ports to the mesh) serves all layers and
    bounds the whole.
    """
    stages = workload.stages
    placed, mesh = place(workload, hardware)
    outputs = stage_outputs(workload.graph, stages)
    models = [LayerModel(workload, hardware, stage, outputs[stage.name], placed.get(stage.name)) for stage in stages]
    layers = [model.fill() for model in models]
    for model in models:
        if any("input" in op.inputs for op in model.stage.members):
            model.image_from_dram()
            break
    services = {model.stage.name: model.service for model in models if model.service is not None}
    timing = schedule(workload.graph, services, workload.timesteps, hardware.pipeline)
    _attribute_time(stages, models, layers, timing, hardware)
    demand = Demand.of(workload)
    instances = {
        **chip(placed, mesh, hardware),
        "lif": 0 if workload.is_ann else hardware.lif_units,
        "global_buffer": hardware.global_macros(demand).number,
        "membrane": 0 if workload.is_ann else hardware.membrane_macros(demand).number,
        "digital_unit": hardware.digital.lanes if any(op.kind == "matmul" for op in workload.graph.weighted) else 0,
        "dram": 1,
        "control": 1,
    }
    return Ledger(layers, hardware.clock_mhz, instances, _notes(workload, placed, mesh))


def place(workload: Workload, hardware: SpikeflowFile) -> tuple[dict[str, Placed], Mesh]:
    """Map every layer with weights and lay the tiles out in network order."""
    mappings: dict[str, Mapping] = {
        op.name: map_layer(op, hardware, workload.precision.weight_bits)
        for op in workload.graph.weighted
        if op.kind != "matmul"
    }
    mesh = Mesh(sum(mapping.tiles for mapping in mappings.values()))
    placed: dict[str, Placed] = {}
    first = 0
    for name, mapping in mappings.items():
        placed[name] = Placed(mapping, mesh.hops(range(first, first + mapping.tiles)))
        first += mapping.tiles
    return placed, mesh


def _attribute_time(
    stages: tuple[Stage, ...],
    models: list[LayerModel],
    layers: list[LayerLedger],
    timing: Schedule,
    hardware: SpikeflowFile,
) -> None:
    """Give each layer the cycles by which it moves the end of the run; they sum to the run's length."""
    reached = 0.0
    for stage, model, layer in zip(stages, models, layers, strict=True):
        finish = max(reached, timing.finished.get(stage.name, reached))
        if model.service is not None and model.service.row_cycles.sum():
            share = model.service.row_cycles / model.service.row_cycles.sum()
        else:
            share = np.full(layer.timesteps, 1.0 / layer.timesteps)
        layer.cycles = (finish - reached) * share
        reached = finish
    ports = hardware.noc.module_ports * hardware.noc.flit_bits
    shared = max(sum(model.lif_cycles for model in models), sum(model.module_bits for model in models) / ports)
    excess = np.ceil(shared) - reached
    if excess > 0:  # the neuronal module is the bottleneck: its users wait in proportion to what they ask of it
        use = np.array([model.module_bits / ports + model.lif_cycles for model in models])
        for layer, part in zip(layers, excess * use / use.sum(), strict=True):
            layer.stall_cycles += float(part)
            layer.cycles = layer.cycles + part / layer.timesteps


def _notes(workload: Workload, placed: dict[str, Placed], mesh: Mesh) -> list[str]:
    crossbars = sum(item.mapping.crossbars for item in placed.values())
    pes = sum(item.mapping.pes for item in placed.values())
    notes = [f"{crossbars} crossbars in {pes} PEs, {mesh.tiles} tiles on a {mesh.side}x{mesh.side} mesh"]
    if len(placed) < len(workload.graph.weighted):
        notes.append("products of two activations run on the digital unit: crossbars cannot be reprogrammed each step")
    return notes
