"""What both fidelities share: the chip, the layers' counts and services, and how a schedule becomes a ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from accelsim.core.timesteps import even, first_and_later
from accelsim.costs.parts import Demand
from accelsim.ledger.counts import LayerLedger, Ledger
from accelsim.machines.spikeflow import buffers
from accelsim.machines.spikeflow.arrays import Scheme, count_arrays
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.spikeflow.first_layer import is_digital
from accelsim.machines.spikeflow.layer import LayerModel, Standing
from accelsim.machines.spikeflow.network import Network, noc_spec
from accelsim.machines.spikeflow.pipeline import Schedule, Service
from accelsim.machines.spikeflow.placement import Chip, place
from accelsim.machines.spikeflow.silence import Spoken, spoken_of
from accelsim.machines.spikeflow.surroundings import Setting, Surroundings
from accelsim.machines.spikeflow.timing import WindowTiming, window_timings
from accelsim.workload import Stage, Workload
from accelsim.workload.affine import channels_of

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """A network on a machine: everything but time."""

    workload: Workload
    hardware: SpikeflowFile
    chip: Chip
    layers: list[LayerModel]
    network: Network
    from_trace: bool
    """Silence comes from spikes, not from densities."""

    @cached_property
    def ledgers(self) -> list[LayerLedger]:
        """Of the layers in order."""
        return [layer.ledger for layer in self.layers]

    @cached_property
    def services(self) -> dict[str, Service]:
        """Of each weighted operation."""
        return {layer.stage.name: layer.service for layer in self.layers if layer.service is not None}

    @classmethod
    def build(
        cls,
        workload: Workload,
        hardware: SpikeflowFile,
        *,
        from_trace: bool = False,
        array_pj: Mapping[str, FloatArray] | None = None,
    ) -> Model:
        """Place the network and count what its layers do.

        Args:
            workload: the network.
            hardware: the machine.
            from_trace: find silent crossbars in the spikes of the trace, if there is one.
            array_pj: [T] energy of a layer's arrays by name, where it was computed from their weights.
        """
        traced = from_trace and workload.trace is not None and not workload.is_ann
        setting, scheme = Setting.of(hardware), Scheme.of(hardware, workload.precision.weight_bits)
        chip, spoken, timings = _placed(workload, hardware, scheme.skips, traced)
        lines = hardware.memories.tile_buffer.line_bits, hardware.memories.global_buffer.line_bits
        flit_bits, layers = hardware.noc.flit_bits, []
        standing = _standing(workload, chip, setting, scheme, spoken, traced, array_pj)
        for stage, whatever_tiles in zip(workload.stages, standing, strict=True):
            layer = LayerModel(stage, whatever_tiles)
            name, placed = stage.name, chip.placed.get(stage.name)
            if placed is not None:
                layer.lay(placed, timings[name], spoken[name])
                layer.count_movement(chip, *lines, flit_bits)
            layer.count_time()
            layers.append(layer)
        _image_from_dram(workload, hardware, layers)
        spec = noc_spec(hardware)
        network = workload.derived(("network", chip.key, spec), lambda: Network.of(chip, hardware))
        return cls(workload, hardware, chip, layers, network, traced)

    # -- time ------------------------------------------------------------------------------------------

    def input_rows(self) -> FloatArray:
        """[T, rows] when the rows of the network's input have come from DRAM."""
        rate = self._dram_bits_per_cycle
        return self.workload.derived(("input rows", rate), lambda: self._input_rows(rate))

    def _input_rows(self, bits_per_cycle: float) -> FloatArray:
        graph, steps = self.workload.graph, self.workload.timesteps
        rows = graph.input_shape[1] if len(graph.input_shape) == 3 else 1
        bits = float(np.prod(graph.input_shape)) / rows * graph.input_type.planes_in_time(steps)
        order = np.cumsum(np.repeat(bits[: 1 if graph.input_type.static else steps], rows))
        there = np.ceil(order / bits_per_cycle).reshape(-1, rows)
        return np.ascontiguousarray(np.broadcast_to(there, (steps, rows)))

    @property
    def _dram_bits_per_cycle(self) -> float:
        return self.hardware.memories.dram.bandwidth_gbps * 1e3 / self.hardware.clock_mhz

    def neuron_load(self) -> float:
        """Cycles per image of the neuronal module (ANN: of the activation units)."""
        return sum(service.neurons * service.steps * service.windows for service in self.services.values())

    def loads(self, link_flits: FloatArray) -> dict[str, float]:
        """Cycles per image in which each resource works: the largest one is the pace of a stream of images."""
        work = {f"layer {layer.name}": layer.busy_cycles for layer in self.ledgers if layer.busy_cycles}
        matmuls = [self.services[op.name] for op in self.workload.graph.weighted if op.kind == "matmul"]
        if matmuls:
            work["digital unit"] = sum(float(service.work() @ service.runs) for service in matmuls)
        work["activation units" if self.workload.is_ann else "neuronal module"] = self.neuron_load()
        work["busiest link of the mesh"] = float(link_flits.max(initial=0.0))
        work["module ports"] = float(self.network.sent_by_ports.max(initial=0.0))
        moved = sum(layer.total("dram.read_bits") for layer in self.ledgers)
        work["DRAM"] = moved / self._dram_bits_per_cycle
        return work

    def attribute_time(self, plan: Schedule, shared: float = 0.0) -> None:
        """Give each layer the cycles by which it moves the end of the run; they sum to the run's length.

        `shared`: cycles that the busiest resource of all layers needs; where they exceed the rest, its users wait
        in proportion to what they ask of it.
        """
        finished, reached = plan.finished, 0.0
        for model, layer in zip(self.layers, self.ledgers, strict=True):
            finish = max(reached, finished.get(layer.name, reached))
            shares = model.service.shares() if model.service is not None else even(layer.timesteps)
            layer.cycles = (finish - reached) * shares
            reached = finish
        excess = np.ceil(shared) - reached
        if excess > 0:
            placed = self.chip.placed
            flits = dict(zip(placed, self.chip.exchanged.flits_of_layers(len(placed)).tolist(), strict=True))
            asked = np.array([model.asked(flits.get(model.stage.name, 0.0)) for model in self.layers])
            asked = asked if asked.sum() else np.ones(len(asked))
            for layer, part in zip(self.ledgers, excess * asked / asked.sum(), strict=True):
                layer.stall_cycles += float(part)
                layer.cycles = layer.cycles + part / layer.timesteps

    # -- the ledger --------------------------------------------------------------------------------------

    def ledger(self, plan: Schedule, work: Mapping[str, float], details: dict[str, Any]) -> Ledger:
        """Counts, instances, notes and details of the run; `work` as of `loads`."""
        pace = max(work, key=lambda name: work[name])
        cycles = float(sum(layer.cycles.sum() for layer in self.ledgers))
        per_image = max(work[pace], 1.0)
        if self.hardware.pipeline == "none":  # nothing overlaps, images neither
            pace, per_image = "pipeline: none", max(cycles, 1.0)
        for model, layer in zip(self.layers, self.ledgers, strict=True):
            layer.details.update(_layer_details(model))
        needed = buffers.required(self.workload, self.hardware, self.layers, plan)
        instances = self._instances()
        instances["global_buffer"] = needed["global_buffer"]["macros"]
        details = {
            "latency_cycles": cycles,
            "throughput": {
                "cycles_per_image": per_image,
                "images_per_s": self.hardware.clock_mhz * 1e6 / per_image,
                "paced_by": pace,
            },
            "busy_cycles": dict(work),
            "buffers": needed,
            "paid_in_silence": self._unconditional(),
            **details,
        }
        return Ledger(self.ledgers, self.hardware.clock_mhz, instances, self._notes(), details)

    def _unconditional(self) -> list[str]:
        """Actions that a silent input costs just as much."""
        spikes = {"crossbar.cell_read", "crossbar.reference_read", "crossbar.array_pj", "driver.row_drive"}
        spikes |= {"digital_unit.accumulate"}
        if self.hardware.zero_skipping != "none":
            spikes |= {"adc.convert", "mux.switch", "sample_hold.sample"}
        return sorted({action for layer in self.ledgers for action in layer.actions} - spikes)

    def _instances(self) -> dict[str, float]:
        """What stands on the chip; slots left empty in a tile exist too."""
        hardware, chip, workload, demand = self.hardware, self.chip, self.workload, Demand.of(self.workload)
        pes = chip.tiles * hardware.tile.pes
        crossbars = pes * hardware.pe.crossbars
        adcs = crossbars * hardware.adcs_per_crossbar
        weighted = workload.graph.weighted
        adds = any(op.kind == "matmul" or (is_digital(op, hardware) and op.in_types[0].spikes_later) for op in weighted)
        found: dict[str, float] = {
            "crossbar": crossbars,
            "driver": crossbars * hardware.crossbar.rows,
            "switch_matrix": crossbars * hardware.crossbar.rows,
            "adc": adcs,
            "mux": adcs,
            "sample_hold": crossbars * hardware.crossbar.cols if hardware.adc.sample_hold else 0,
            "shift_add": adcs,
            "diff": pes * hardware.adcs_per_crossbar,
            "pe_accumulator": pes * hardware.adcs_per_crossbar,
            "pe_buffer": pes,
            "skip_detector": crossbars if hardware.zero_skipping != "none" else 0,
            "tile_accumulator": chip.tiles * hardware.adcs_per_crossbar,
            "tile_buffer": chip.tiles,
            "htree": chip.tiles,
            "noc": chip.mesh.nodes,
            # As many adders as partial sums can come in by the module's ports in a cycle.
            "global_accumulator": len(chip.ports) * max(1, hardware.noc.flit_bits // hardware.accumulator_bits),
            "lif": 0 if workload.is_ann else hardware.lif_units,
            "global_buffer": hardware.global_macros(demand).number,
            "membrane": 0 if workload.is_ann else hardware.membrane_macros(demand).number,
            "digital_unit": hardware.digital.lanes if adds else 0,
            "dram": 1,
            "control": chip.tiles + 1,
        }
        if any(is_digital(op, hardware) for op in weighted):
            found["mac_unit"] = hardware.digital.macs
            found["first_layer"] = hardware.first_layer_macros(demand).number
        scaled = [] if workload.is_ann else [op for op in workload.graph.operations if op.kind == "time_affine"]
        if scaled:
            found |= {"time_affine": hardware.lif_units, "time_affine_registers": sum(map(channels_of, scaled))}
        return found

    def _notes(self) -> list[str]:
        chip, mesh = self.chip, self.chip.mesh
        crossbars = sum(item.crossbars for item in chip.placed.values())
        pes = sum(item.pes for item in chip.placed.values())
        shape = f"{mesh.rows}x{mesh.cols} {'torus' if mesh.torus else 'mesh'}"
        notes = [f"{crossbars} crossbars in {pes} PEs, {chip.tiles} tiles on a {shape}"]
        copied = [f"{name} x{item.copies}" for name, item in chip.placed.items() if item.copies > 1]
        if copied:
            notes.append(f"copies of weights: {', '.join(copied)}")
        streaming = [model.stage.name for model in self.layers if model.placed and model.placed.traffic.buffer.streams]
        if streaming:
            notes.append(f"tile buffers too small for the rows of a window, rows fetched again: {', '.join(streaming)}")
        if any(op.kind == "matmul" for op in self.workload.graph.weighted):
            notes.append(
                "products of two activations run on the digital unit: crossbars cannot be reprogrammed each step"
            )
        if self.hardware.zero_skipping != "none" and not self.from_trace:
            notes.append("silent crossbars: expected from densities, spikes taken as independent")
        return notes


def _standing(
    workload: Workload,
    chip: Chip,
    setting: Setting,
    scheme: Scheme,
    spoken: Mapping[str, Spoken],
    traced: bool,
    array_pj: Mapping[str, FloatArray] | None,
) -> list[Standing]:
    """Of every stage what does not depend on its tiles; designs alike in all else share it."""

    def around(stage: Stage) -> Surroundings:
        key = "surroundings", stage.name, setting
        return workload.derived(key, lambda: Surroundings(workload, stage, workload.outputs[stage.name], setting))

    def make() -> list[Standing]:
        found = []
        for stage in workload.stages:
            placed, arrays = chip.placed.get(stage.name), None
            if placed is not None:
                accumulations = np.asarray(workload.activity[stage.name].mean_accumulations)
                energy = (array_pj or {}).get(stage.name)
                arrays = count_arrays(placed, scheme, spoken[stage.name], accumulations, energy)
            found.append(Standing.of(around(stage), arrays))
        return found

    if array_pj:
        return make()
    placed = next(iter(chip.placed.values()), None)
    cut = None if placed is None else (placed.mapping.blocks.crossbar, placed.mapping.pe_crossbars)
    return workload.derived(("standing", setting, scheme, cut, traced), make)


def _placed(
    workload: Workload, hardware: SpikeflowFile, skips: bool, traced: bool
) -> tuple[Chip, dict[str, Spoken], dict[str, WindowTiming]]:
    """The chip; where there is room for copies, after finding out which layers are slow without."""
    chip = place(workload, hardware)
    spoken = {name: spoken_of(workload, item.mapping.blocks, skips, traced) for name, item in chip.placed.items()}
    timings = window_timings(chip, hardware)
    if hardware.placement.extra_tiles:
        times = {}
        for name, item in chip.placed.items():
            interval, _ = timings[name].of(spoken[name].planes)
            times[name] = Service(item.runs, interval, interval, item.windows).busy(item.windows)
        chip = place(workload, hardware, times)
        timings = window_timings(chip, hardware)
    return chip, spoken, timings


def _image_from_dram(workload: Workload, hardware: SpikeflowFile, layers: list[LayerModel]) -> None:
    """The first layer to read the network's input has it brought in, once for each timestep at which it changes."""
    graph, steps, memories = workload.graph, workload.timesteps, hardware.memories
    bits = math.prod(graph.input_shape) * graph.input_type.planes_in_time(steps)
    when = first_and_later(steps, 1.0, 0.0 if graph.input_type.static else 1.0)
    for layer in layers:
        if any("input" in op.inputs for op in layer.stage.members):
            layer.image_from_dram(bits, when, memories.dram.line_bits, memories.global_buffer.line_bits)
            return


def _spread(value: FloatArray | float) -> tuple[float, float]:
    """Mean and largest of what may differ in time, or does not."""
    return (value, value) if isinstance(value, int | float) else (float(value.mean()), float(value.max()))


def _layer_details(model: LayerModel) -> dict[str, Any]:
    placed, timing, service = model.placed, model.timing, model.service
    if placed is None or timing is None or service is None:
        return {}
    assert model.spoken is not None
    pe = timing.overhead + model.spoken.mean_planes * timing.plane  # linear in bit-planes, so of their mean
    down, longest = _spread(timing.distribute)
    return {
        "crossbars": placed.crossbars,
        "pes": placed.pes,
        "tiles": placed.tiles.reshape(-1).tolist(),  # in order, no two copies in one
        "copies": placed.copies,
        "cell_utilization": placed.mapping.blocks.cell_utilization,
        "stage_cycles": {
            "tile_buffer_and_htree_down": longest,
            "pe": pe,
            "htree_up": timing.collect,
            "neuronal_module": service.neurons,
        },
        "window_cycles": service.mean_interval,
        "window_depth_cycles": down + pe + timing.collect,
    }
