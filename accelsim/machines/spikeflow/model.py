"""One run on the crossbar machine, as far as both fidelities share it.

`Model.build` follows a network onto the machine: rows and columns of each layer onto crossbars (`mapping`), these into
tiles and tiles onto the mesh (`placement`), what is read of them (`zero_skipping`), the cycles of each stage of a tile
(`timing`), and what everything does (`peripherals`, `counts`). Network delays (`network`) and the pipeline's schedule
(`pipeline`) are for the fidelity to find; `Model.ledger` makes of them the result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from accelsim.core.memo import memo
from accelsim.core.timesteps import even, first_and_later
from accelsim.core.types import FloatArray
from accelsim.costs.parts import Demand
from accelsim.ledger.counts import LayerLedger, Ledger
from accelsim.machines.spikeflow import buffers
from accelsim.machines.spikeflow.counts import count_crossbars, count_movement, count_off_crossbars
from accelsim.machines.spikeflow.description import SpikeflowFile
from accelsim.machines.spikeflow.mapping import is_on_crossbars
from accelsim.machines.spikeflow.network import PacketNetwork, network_of
from accelsim.machines.spikeflow.peripherals import count_peripherals
from accelsim.machines.spikeflow.pipeline import NetworkDelays, Schedule, schedule
from accelsim.machines.spikeflow.placement import Placed, PlacedChip, place
from accelsim.machines.spikeflow.timing import StageTiming, WindowTiming, stage_timing, window_timings
from accelsim.machines.spikeflow.windows import windows_of
from accelsim.machines.spikeflow.zero_skipping import ActiveReads, active_reads
from accelsim.workload import Stage, Workload
from accelsim.workload.affine import channels_of


@dataclass(frozen=True)
class OnCrossbars:
    """The weighted operation of a stage on its crossbars."""

    placed: Placed
    reads: ActiveReads
    window: WindowTiming


@dataclass(frozen=True)
class StageModel:
    """A stage on the chip: its counts (all but time, which follows from the pipeline) and its timing."""

    stage: Stage
    ledger: LayerLedger
    timing: StageTiming | None
    """None without a weighted operation."""
    crossbars: OnCrossbars | None

    def asked(self, flits: float) -> float:
        """What the stage asks of the resources that all share: its flits, and time of neurons."""
        timing = self.timing
        if timing is None:
            return 0.0
        asked = flits + timing.neurons * timing.windows * len(timing.runs)
        return asked if self.crossbars is not None else asked + self.ledger.busy_cycles

    def details(self) -> dict[str, Any]:
        """Where the weights lie, and cycles of a window from stage to stage."""
        if self.crossbars is None or self.timing is None:
            return {}
        placed, reads, window = self.crossbars.placed, self.crossbars.reads, self.crossbars.window
        pe = window.overhead + reads.mean_planes * window.plane  # linear in bit-planes, so of their mean
        down, longest = _spread(window.distribute)
        return {
            "crossbars": placed.crossbars,
            "pes": placed.pes,
            "tiles": placed.tiles.reshape(-1).tolist(),  # in order, no two copies in one
            "copies": placed.copies,
            "cell_utilization": placed.mapping.blocks.cell_utilization,
            "stage_cycles": {
                "tile_buffer_and_htree_down": longest,
                "pe": pe,
                "htree_up": window.collect,
                "neuronal_module": self.timing.neurons,
            },
            "window_cycles": self.timing.mean_interval,
            "window_depth_cycles": down + pe + window.collect,
        }


@dataclass(frozen=True)
class Model:
    """A network on a machine: everything but time."""

    workload: Workload
    hardware: SpikeflowFile
    chip: PlacedChip
    stages: list[StageModel]
    network: PacketNetwork
    from_trace: bool
    """Zero skipping goes by spikes, not by densities."""

    @cached_property
    def ledgers(self) -> list[LayerLedger]:
        """Of the stages in order."""
        return [model.ledger for model in self.stages]

    @cached_property
    def timings(self) -> dict[str, StageTiming]:
        """Of each weighted operation."""
        return {model.stage.name: model.timing for model in self.stages if model.timing is not None}

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
            from_trace: find crossbars without a spike in the trace, if there is one.
            array_pj: [T] energy of a layer's arrays by name, where it was computed from their weights.
        """
        traced = from_trace and workload.trace is not None and not workload.is_ann
        chip, crossbars = _on_chip(workload, hardware, traced)
        stages = []
        for stage in workload.stages:
            found, energy = crossbars.get(stage.name), (array_pj or {}).get(stage.name)
            peripherals = count_peripherals(workload, stage, hardware)
            timing = peripherals.timing
            if found is None:
                ledger = count_off_crossbars(peripherals)
            else:
                ledger = count_crossbars(peripherals, found.placed, found.reads, hardware, energy)
                count_movement(ledger, found.placed, chip, hardware)
                timing = stage_timing(found.placed, found.window, found.reads.planes, peripherals.neuron_cycles)
            if timing is not None and stage.core is not None:
                ledger.busy_cycles = timing.busy(windows_of(stage.core).width)
            stages.append(StageModel(stage, ledger, timing, found))
        _count_input(workload, hardware, stages)
        network = network_of(chip, hardware.noc, hardware.accumulator_bits)
        return cls(workload, hardware, chip, stages, network, traced)

    # -- time ------------------------------------------------------------------------------------------

    def schedule(
        self,
        delays: Mapping[str, NetworkDelays],
        extra: Mapping[str, FloatArray] | None = None,
        *,
        each_window: bool = True,
    ) -> Schedule:
        """The schedule for given network delays, with the times of each window where asked for.

        `extra`: [T, rows] by layer, further wait in the neuronal module.
        """
        return schedule(
            self.workload.graph,
            self.timings,
            self.workload.timesteps,
            self.hardware.pipeline,
            delays=delays,
            extra=extra,
            input_rows=_input_rows(self.workload, self._dram_bits_per_cycle),
            each_window=each_window,
        )

    @property
    def _dram_bits_per_cycle(self) -> float:
        return self.hardware.memories.dram.bandwidth_gbps * 1e3 / self.hardware.clock_mhz

    def network_details(self, links: FloatArray, end: float) -> dict[str, float | int]:
        """What the mesh carried over its `links` [nodes, 5] until the `end` of the run."""
        mesh, busiest = self.chip.mesh, float(links.max(initial=0.0))
        return {
            "rows": mesh.rows,
            "cols": mesh.cols,
            "flits": float(links[:, 4].sum()),
            "flit_hops": float(links[:, :4].sum()),
            "busiest_link_flits": busiest,
            "busiest_link_load": busiest / max(end, 1.0),
        }

    def neuron_load(self) -> float:
        """Cycles per image of the neuronal module (ANN: of the activation units)."""
        return sum(timing.neurons * timing.steps * timing.windows for timing in self.timings.values())

    def loads(self, link_flits: FloatArray) -> dict[str, float]:
        """Cycles per image in which each resource works: the largest one is the pace of a stream of images."""
        work = {f"layer {layer.name}": layer.busy_cycles for layer in self.ledgers if layer.busy_cycles}
        matmuls = [self.timings[op.name] for op in self.workload.graph.weighted if op.kind == "matmul"]
        if matmuls:
            work["digital unit"] = sum(float(timing.work() @ timing.runs) for timing in matmuls)
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
        for model, layer in zip(self.stages, self.ledgers, strict=True):
            finish = max(reached, finished.get(layer.name, reached))
            shares = model.timing.shares() if model.timing is not None else even(layer.timesteps)
            layer.cycles = (finish - reached) * shares
            reached = finish
        excess = np.ceil(shared) - reached
        if excess > 0:
            placed = self.chip.placed
            flits = dict(zip(placed, self.chip.exchanged.flits_of_layers(len(placed)).tolist(), strict=True))
            asked = np.array([model.asked(flits.get(model.stage.name, 0.0)) for model in self.stages])
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
        for model, layer in zip(self.stages, self.ledgers, strict=True):
            layer.details.update(model.details())
        needed = buffers.required(self.workload, self.hardware, self.chip.placed, plan)
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
        matmuls = [op for op in weighted if op.kind == "matmul"]
        multiplied = [op for op in weighted if op.kind != "matmul" and not is_on_crossbars(op, hardware.first_layer)]
        adds = matmuls or any(op.in_types[0].spikes_later for op in multiplied)
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
        if multiplied:
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
        streaming = [name for name, item in chip.placed.items() if item.traffic.buffer.streams]
        if streaming:
            notes.append(f"tile buffers too small for the rows of a window, rows fetched again: {', '.join(streaming)}")
        if any(op.kind == "matmul" for op in self.workload.graph.weighted):
            notes.append(
                "products of two activations run on the digital unit: crossbars cannot be reprogrammed each step"
            )
        if self.hardware.zero_skipping != "none" and not self.from_trace:
            notes.append("silent crossbars: expected from densities, spikes taken as independent")
        return notes


def _on_chip(workload: Workload, hardware: SpikeflowFile, traced: bool) -> tuple[PlacedChip, dict[str, OnCrossbars]]:
    """The chip; where there is room for copies, after finding out which layers are slow without."""
    chip, skips = place(workload, hardware), hardware.zero_skipping != "none"
    reads = {name: active_reads(workload, item.mapping.blocks, skips, traced) for name, item in chip.placed.items()}
    windows = window_timings(chip, hardware)
    if hardware.placement.extra_tiles:
        times = {}
        for name, item in chip.placed.items():
            times[name] = stage_timing(item, windows[name], reads[name].planes, 0.0).busy(item.windows)
        chip = place(workload, hardware, times)
        windows = window_timings(chip, hardware)
    return chip, {name: OnCrossbars(item, reads[name], windows[name]) for name, item in chip.placed.items()}


def _count_input(workload: Workload, hardware: SpikeflowFile, stages: list[StageModel]) -> None:
    """The first stage to read the network's input has it brought in, once for each timestep at which it changes."""
    graph, steps, memories = workload.graph, workload.timesteps, hardware.memories
    bits = math.prod(graph.input_shape) * graph.input_type.planes_in_time(steps)
    when = first_and_later(steps, 1.0, 0.0 if graph.input_type.static else 1.0)
    burst, line = memories.dram.line_bits, memories.global_buffer.line_bits
    for model in stages:
        if any("input" in op.inputs for op in model.stage.members):
            model.ledger.add("dram.read_bits", np.ceil(bits / burst) * burst * when)
            model.ledger.add("global_buffer.write", np.ceil(bits / line) * when)
            return


@memo
def _input_rows(workload: Workload, bits_per_cycle: float) -> FloatArray:
    """[T, rows] when the rows of the network's input have come from DRAM."""
    graph, steps = workload.graph, workload.timesteps
    rows = graph.input_shape[1] if len(graph.input_shape) == 3 else 1
    bits = float(np.prod(graph.input_shape)) / rows * graph.input_type.planes_in_time(steps)
    order = np.cumsum(np.repeat(bits[: 1 if graph.input_type.static else steps], rows))
    there = np.ceil(order / bits_per_cycle).reshape(-1, rows)
    return np.ascontiguousarray(np.broadcast_to(there, (steps, rows)))


def _spread(value: FloatArray | float) -> tuple[float, float]:
    """Mean and largest of what may differ in time, or does not."""
    return (value, value) if isinstance(value, int | float) else (float(value.mean()), float(value.max()))
