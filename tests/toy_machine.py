"""A third machine: an event-driven processor with a few lanes. Everything that a kind of machine brings, in one file.

A spike is fetched, its weights are read line by line, every lane adds one weight to one sum per cycle; then the neurons
are updated one after another. It can stop after any timestep, because it works timestep by timestep anyway. The
cycle level takes the spikes of each timestep in whole events; the closed form lets them fill the lanes evenly.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from accelsim.core.errors import InputError, Problem
from accelsim.costs.parts import Demand, SramSpec, lif_component, per_bit
from accelsim.costs.table import Component, CostFile, CostSection, CostTable, from_file
from accelsim.ledger.counts import LayerLedger, Ledger
from accelsim.machines import Machine, MachineFile, Stopping
from accelsim.workload import Stage, Workload


class ToyFile(MachineFile):
    """Its description: ``kind: toy``."""

    kind: Literal["toy"]
    name: str = "toy"
    technology_nm: int = Field(28, ge=1)
    """Node of cells and memories."""
    clock_mhz: float = Field(200.0, gt=0)
    """Clock."""
    lanes: int = Field(16, ge=1, le=1024)
    """Additions per cycle."""
    weights: SramSpec
    """Memory of all weights."""
    membranes: SramSpec
    """Memory of all membranes."""
    costs: CostSection


class Toy(Machine[ToyFile]):
    """The machine."""

    schema: ClassVar[type[MachineFile]] = ToyFile
    fidelities: ClassVar[tuple[str, ...]] = ("analytical", "cycle")

    def simulate(self, workload: Workload, fidelity: str) -> Ledger:
        """Layer after layer within each timestep."""
        stored = sum(op.weights for op in workload.graph.weighted) * workload.precision.weight_bits
        if stored > 8 * self.file.weights.size_bytes:
            message = f"{self.file.weights.size_bytes} bytes hold no {-(-stored // 8)} bytes of weights"
            raise InputError(Problem(message, where="weights.size_bytes"))
        layers = [self._layer(workload, stage, fidelity) for stage in workload.graph.stages()]
        instances = {"adder": float(self.file.lanes), "lif": 1.0, "weights": 1.0, "membranes": 1.0, "dram": 1.0}
        return Ledger(layers, self.file.clock_mhz, instances)

    def cost_table(self, costs: CostFile, demand: Demand) -> CostTable:
        """Cells and memories of its own, DRAM from the cost file."""
        file, node, bits = self.file, self.file.technology_nm, demand.precision.membrane_bits
        add = per_bit("adder", bits, node)
        return CostTable(
            {
                "dram": from_file(costs)["dram"],
                "adder": Component("compute", {"add_bits": add}, source="leakage and area in the LIF unit's"),
                "lif": lif_component(bits, bits, node),
                "weights": file.weights.component("weights", node),
                "membranes": file.membranes.component("membranes", node),
            }
        )

    def stopping(self) -> Stopping:
        """It works timestep by timestep; nothing has to change."""
        return Stopping("timestep by timestep", "timestep by timestep")

    def _layer(self, workload: Workload, stage: Stage, fidelity: str) -> LayerLedger:
        steps, precision = workload.timesteps, workload.precision
        layer = LayerLedger(stage.name, stage.kind, steps)
        cycles = np.zeros(steps)
        if stage.core is not None:
            activity = workload.activity[stage.core.name]
            sums = activity.accumulations.mean(axis=1)
            events = activity.ones.mean(axis=1)
            layer.accumulations = float(sums.sum()) if stage.core.in_types[0].is_spiking else 0.0
            layer.macs = 0.0 if layer.accumulations else float(sums.sum())
            layer.dense_macs = float(stage.core.products().macs)
            layer.add("dram.read_bits", events)
            layer.add("weights.read", sums * precision.weight_bits / self.file.weights.line_bits)
            layer.add("adder.add_bits", sums * precision.membrane_bits)
            each = np.divide(sums, events, out=np.zeros(steps), where=events > 0)
            turns = np.ceil(each / self.file.lanes) if fidelity == "cycle" else each / self.file.lanes
            cycles = cycles + events * turns
        for op in stage.epilogue:
            if op.neuron is not None:
                lines = op.out_elements * precision.membrane_bits / self.file.membranes.line_bits
                for action, count in (
                    ("membranes.read", lines),
                    ("membranes.write", lines),
                    ("lif.update", op.out_elements),
                ):
                    layer.each(action, count, np.ones(steps))
                cycles = cycles + op.out_elements
        layer.cycles = cycles
        layer.busy_cycles = float(cycles.sum())
        layer.utilization = 1.0 if layer.busy_cycles else 0.0
        return layer
